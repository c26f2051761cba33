"""How many items one transaction may hold, learned from those that were too much."""

from __future__ import annotations

from math import inf

GROWTH = 0.1
"""By which a size grows that got through: carefully, because the way back costs a timeout."""


class PartSize:
    """Multiplicative decrease, slow increase: half of what took too long, a tenth more than what got through.

    It outlives the batch, so that what timed out is never tried again at the same size, in this batch, in its retry or
    in the next one.
    """

    def __init__(self) -> None:
        self._largest: float = inf

    def cut(self, items: int) -> int:
        """How many of so many items the next part should hold."""
        return items if items <= self._largest else int(self._largest)

    def too_much(self, items: int) -> None:
        self._largest = max(1, items // 2)

    def fitted(self, items: int) -> None:
        if items + 1 > self._largest:
            self._largest = max(items + 1, self._largest * (1 + GROWTH))
