"""Why the last batches left, in words and numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from perflab.batching.sizing.policy import Explanation
from perflab.batching.sizing.waits import in_ms
from perflab.events import Cause

RECENT_DEPARTURES = 20
"""Departures that are remembered."""


@dataclass(frozen=True, slots=True)
class Departure:
    """One batch as it left."""

    cause: Cause
    items: int
    capacity: int
    """The most items that it could have taken."""
    bytes: int
    """0 where they are not measured."""
    waited: float
    """Seconds that its oldest item had waited."""
    left: float
    """When, on the batcher's clock."""
    attempt: int
    """1 if no item of it was tried before."""

    def __str__(self) -> str:
        again = "" if self.attempt == 1 else f" (attempt {self.attempt}; the cause is that of the first)"
        return f"{self.items:,} of {self.capacity:,} items after {_seconds(self.waited)}, because {self._reason}{again}"

    @property
    def _reason(self) -> str:
        return {
            Cause.COUNT: "that many are enough",
            Cause.BYTES: f"as many bytes waited as a batch may hold; it holds {self.bytes:,}",
            Cause.AGE: "the oldest had waited for the flush interval",
            Cause.IDLE: "the writer was idle, and nothing more was worth waiting for",
            Cause.URGENCY: "an urgent item, or one whose deadline was near, does not wait",
            Cause.MEMORY: "the buffer was full, and waiting would only have blocked producers",
            Cause.BARRIER: "flush() asked for it",
            Cause.CLOSE: "the batcher was closing",
        }[self.cause]


def _seconds(seconds: float) -> str:
    return in_ms(seconds) if seconds < 1 else f"{seconds:,.1f} s"


@dataclass(frozen=True, slots=True)
class BatcherExplanation:
    """Why the last batches left, and why the next one is to be as large as it is. `str()` gives the words."""

    departures: tuple[Departure, ...]
    """The last batches, at most 20, oldest first; empty before the first."""
    sizing: Explanation
    """The words and the figures of the sizing policy."""

    def __str__(self) -> str:
        if not self.departures:
            return f"Nothing has left yet. {self.sizing}"
        causes = Counter(departure.cause for departure in self.departures)
        counted = ", ".join(f"{count} by {cause}" for cause, count in causes.most_common())
        return (
            f"Of the last {len(self.departures)} batches left {counted}. The last took {self.departures[-1]}. "
            f"{self.sizing}"
        )
