"""How far batches may grow beyond what was written."""

from __future__ import annotations

QUICK_GROWTH = 2.0
CAREFUL_GROWTH = 1.25


class Reach:
    """The largest batch that may be tried: so many times the last full one.

    Twice of it far below the size that is wanted, and a quarter more near to it or after something went wrong, so that
    a wrong estimate is found out before it costs much. The idea is that of the congestion window of TCP: slow start,
    and then congestion avoidance (V. Jacobson, "Congestion Avoidance and Control", SIGCOMM 1988).
    """

    def __init__(self, first: int, largest: int) -> None:
        self.items = first
        self._largest = largest
        self._growth = QUICK_GROWTH
        self._since = ""

    def was_written(self, items: int, *, near: bool) -> None:
        """A batch as large as it might be was written; `near` the wanted size, it grows with care."""
        self._growth = CAREFUL_GROWTH if near or self._since else QUICK_GROWTH
        self.items = min(self._largest, int(items * self._growth) + 1)

    def was_too_much(self, items: int) -> None:
        """A batch was refused for its size, or ran into a timeout."""
        self._since = f" since {items:,} were too much"
        self._growth = CAREFUL_GROWTH
        self.items = max(1, min(self.items, items // 2))

    def was_changed(self, items: int) -> None:
        """What was known of the cost is no longer true; batches of `items` are."""
        self._since = " since the cost has changed"
        self._growth = CAREFUL_GROWTH
        self.items = min(self.items, items)

    @property
    def reason(self) -> str:
        """Why it is not more."""
        if self.items == self._largest:
            return "the batch_size that was stated"
        return f"at most {self._growth:g} times what was written{self._since}"
