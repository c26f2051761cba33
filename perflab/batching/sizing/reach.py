"""How far batches may grow beyond what was written."""

from __future__ import annotations

BLIND_GROWTH = 2.0
CAREFUL_GROWTH = 1.25


class Reach:
    """The largest batch that may be tried: so many times the last full one.

    Twice of it until the cost is known or something goes wrong, and a quarter more afterwards, so that a wrong estimate
    is found out before it costs much. The idea is that of the congestion window of TCP: slow start, and then congestion
    avoidance (V. Jacobson, "Congestion Avoidance and Control", SIGCOMM 1988).
    """

    def __init__(self, first: int, largest: int) -> None:
        self.items = first
        self._largest = largest
        self._growth = BLIND_GROWTH
        self._since = ""

    def was_written(self, items: int) -> None:
        """A batch as large as it might be was written."""
        self.items = min(self._largest, int(items * self._growth) + (self._growth < BLIND_GROWTH))

    def was_too_much(self, items: int) -> None:
        """A batch was refused for its size, or ran into a timeout."""
        self.careful(f"since {items:,} were too much")
        self.items = max(1, min(self.items, items // 2))

    def was_changed(self, items: int) -> None:
        """What was known of the cost is no longer true; batches of `items` are."""
        self.careful("since the cost has changed")
        self.items = min(self.items, items)

    def careful(self, since: str = "") -> None:
        """From now on grow slowly."""
        self._growth = CAREFUL_GROWTH
        self._since = since or self._since

    @property
    def reason(self) -> str:
        """Why it is not more."""
        if self.items == self._largest:
            return "the batch_size that was stated"
        if self._growth == BLIND_GROWTH:
            return "at most twice of what was written so far"
        return " ".join(filter(None, ["growing by a quarter with each full one", self._since]))
