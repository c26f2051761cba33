"""What `close` of a batcher returns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DrainReport:
    """How the items ended that were pending when `close` was called."""

    delivered: int
    failed: int
    abandoned: int
    """Not decided within the timeout of `close`. Their futures raise; those in flight may still have been written."""
