"""What `close` of a batcher returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from perflab.batching.metrics import BatchingMetrics


@dataclass(frozen=True, slots=True)
class DrainReport:
    """How the items ended that were pending when `close` was called."""

    delivered: int
    failed: int
    abandoned: int
    """Not decided within the timeout of `close`. Their futures raise; those in flight may still have been written."""

    @classmethod
    def between(cls, before: BatchingMetrics, after: BatchingMetrics, *, abandoned: int, in_flight: int) -> Self:
        """What was decided from one moment to another, by which `abandoned` items were failed and so many left."""
        failed = after.failed - before.failed - abandoned
        return cls(after.items - before.items, failed, abandoned + in_flight)
