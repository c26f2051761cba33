"""How fast items arrive, estimated once per flush."""

from __future__ import annotations

FORGET = 0.5 ** (1 / 5)
"""What a flush leaves of the weight of the one before: half after five, because bursts do not announce themselves."""


class ArrivalRate:
    """Items over time, both exponentially weighted.

    A ratio of sums, and not a mean of ratios: a long silence weighs as long as it was, so that one item after it does
    not look like the head of a burst.
    """

    def __init__(self) -> None:
        self._items = 0.0
        self._seconds = 0.0
        self._last: tuple[int, float] | None = None

    def update(self, arrived: int, now: float) -> None:
        """Note that `arrived` items have come in all until `now` (seconds)."""
        if self._last is None:
            if arrived:
                self._last = arrived, now
            return
        items, seconds = arrived - self._last[0], now - self._last[1]
        self._last = arrived, now
        self._items = self._items * FORGET + max(0, items)
        self._seconds = self._seconds * FORGET + max(0.0, seconds)

    @property
    def per_second(self) -> float | None:
        """Items per second; None before two flushes, and where the clock has stood still."""
        return self._items / self._seconds if self._seconds > 0 else None
