"""What a tick takes into account, and what it has come to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from perflab.queue.backoff import Backoff


class FailureBackoff(NamedTuple):
    """How long a watch brings no job after its ingests failed n times in a row: min(cap, base · 2^(n - 1))."""

    base: int
    """Microseconds."""
    cap: int
    doublings: int
    """After so many the cap is reached: bounds the shift."""

    @classmethod
    def of(cls, backoff: Backoff) -> FailureBackoff:
        base, cap = round(backoff.base_seconds * 1e6), round(backoff.cap_seconds * 1e6)
        base = min(base, cap)
        return cls(base, cap, (cap // base).bit_length() if base else 0)


@dataclass(frozen=True, slots=True)
class TickRequest:
    """What the caller of a tick says."""

    limit: int
    """At most so many watches."""
    backoff: FailureBackoff
    notify: bool = True
    """Workers of the queues that get jobs, where the engine can."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """What a tick has done, once it is committed. Its counts are those of `TickReport`."""

    due: int
    enqueued: int
    skipped: int
    backed_off: int
    late: int
    more: bool
    oldest_slot: int | None
    """Microseconds since 1970; None: nothing was due."""
    now: int
    round_trips: int
