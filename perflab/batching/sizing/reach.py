"""How far batches may grow beyond what was seen."""

from __future__ import annotations

from enum import Enum, auto

CAREFUL_GROWTH = 1.1


class _Phase(Enum):
    DOUBLING = auto()
    CAREFUL = auto()


class Reach:
    """The largest batch that may be tried: double what was written, until something goes wrong; then a tenth more.

    The idea is that of the congestion window of TCP: slow start, and then congestion avoidance (V. Jacobson,
    "Congestion Avoidance and Control", SIGCOMM 1988).
    """

    def __init__(self, first: int, largest: int) -> None:
        self.items = first
        self._largest = largest
        self._phase = _Phase.DOUBLING
        self._caution = ""

    def was_written(self, items: int) -> None:
        """A batch as large as it might be was written."""
        grown = 2 * items if self._phase is _Phase.DOUBLING else int(items * CAREFUL_GROWTH) + 1
        self.items = min(self._largest, max(self.items, grown))

    def was_too_much(self, items: int) -> None:
        """A batch was refused for its size, or ran into a timeout."""
        self._phase = _Phase.CAREFUL
        self._caution = f"growing again since {items:,} were too much"
        self.items = max(1, min(self.items, items // 2))

    def hold(self, items: int) -> None:
        """What is known of the cost is no longer true."""
        self._phase = _Phase.CAREFUL
        self._caution = "growing again since the cost has changed"
        self.items = items

    @property
    def reason(self) -> str:
        """Why it is not more."""
        if self.items == self._largest:
            return "the batch_size that was stated"
        if self._phase is _Phase.CAREFUL:
            return self._caution
        return "at most twice of what was written so far"
