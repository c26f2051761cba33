"""What happened, as values: every part emits events, and monitoring, the lab and you listen.

No part knows its listeners. A part asks `if events:` before it builds an event, so with nobody listening the cost is
that one test. Listeners run in the thread that emits, after the fact; one that raises is logged and never disturbs
the part or the other listeners.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

logger = logging.getLogger(__name__)


class Cause(StrEnum):
    """Why a batch left."""

    COUNT = "count"
    """It held `batch_size` items, or as many as the sizing policy calls enough."""
    BYTES = "bytes"
    """It held `batch_bytes` bytes."""
    AGE = "age"
    """Its oldest item had waited `flush_interval` seconds."""
    IDLE = "idle"
    """The writer was idle, and the sizing policy expected nothing worth waiting for any longer."""
    URGENCY = "urgency"
    """It held an item of an urgent lane, or one whose deadline was near."""
    MEMORY = "memory"
    """The buffer was at `max_pending`: waiting longer would only block producers."""
    BARRIER = "barrier"
    """`flush()` asked for it."""
    CLOSE = "close"
    """The batcher is closing."""


class Outcome(StrEnum):
    """How an attempt to write a batch ended."""

    COMMITTED = "committed"
    """Every item is in."""
    PARTIAL = "partial"
    """Bisected: some items are in, the poison ones failed alone."""
    RETRIED = "retried"
    """A transient failure; the batch went back to the front of the buffer."""
    FAILED = "failed"
    """No item is in, and none will be retried."""


@dataclass(frozen=True, slots=True)
class FlushCompleted:
    """One attempt of a batcher to write one batch."""

    items: int
    """Items in the batch."""
    delivered: int
    """Items that are in the database after it."""
    capacity: int
    """The most items that a batch could take when it left."""
    bytes: int
    """Payload bytes, where `batch_bytes` or `max_pending_bytes` asked for them to be measured; else 0."""
    seconds: float
    """Time from the first statement to the end of the transaction."""
    waited: float
    """Seconds that the oldest item had waited when the batch left."""
    round_trips: int
    """Round trips counted while it ran."""
    round_trips_unbatched: int
    """The least that the delivered items would have cost one by one: what one write alone costs on this engine, times
    their number."""
    cause: Cause
    outcome: Outcome
    attempt: int
    """1 for the first attempt."""
    too_much: bool = False
    """Whether an attempt was refused for its size or ran into a timeout, so that a smaller batch may get through."""
    superseded: int = 0
    """Of the delivered items, those that were not sent, because a later one of the batch overwrites all that they would
    have written."""


@dataclass(frozen=True, slots=True)
class FlushFailed:
    """A batch of which not each item is written; told before its `FlushCompleted`, and also where nothing was sent.

    It names kinds of errors and codes of engines. Their messages quote what rows hold, and are for the futures.
    """

    batch: str
    """The same for each attempt at it."""
    items: int
    """Items in the batch."""
    failed: int
    """Items that ended in an error."""
    undecided: int
    """Items that are tried again."""
    errors: tuple[tuple[str, int], ...]
    """What it was for how many items, such as ("RejectedRow (23505)", 3); the most frequent first."""
    cause: Cause
    attempt: int
    """1 for the first attempt."""
    retry_in: float | None
    """Seconds; None: nothing is tried again."""


@dataclass(frozen=True, slots=True)
class JobsEnqueued:
    queue: str
    jobs: int


@dataclass(frozen=True, slots=True)
class JobsClaimed:
    queue: str
    jobs: int
    seconds: float
    waited: float = 0.0
    """Seconds since the time of that among them which was due the longest: its `run_at`, or when it came."""


@dataclass(frozen=True, slots=True)
class JobsFinished:
    queue: str
    done: int = 0
    retried: int = 0
    dead: int = 0
    stale: int = 0
    """Acknowledgements refused because the lease had been lost."""


@dataclass(frozen=True, slots=True)
class LeasesRescued:
    queue: str
    ready: int
    """Jobs that come again, some of them after a back-off."""
    dead: int


@dataclass(frozen=True, slots=True)
class TickCompleted:
    due: int
    enqueued: int
    skipped: int
    late: int
    round_trips: int
    seconds: float
    backed_off: int = 0
    lag_seconds: float = 0.0
    """How long the oldest slot was overdue; 0 where nothing was due."""


@dataclass(frozen=True, slots=True)
class TickFailed:
    """A tick that the database refused or failed: each slot has its job or is still due."""

    error: str
    """The name of its type."""


@dataclass(frozen=True, slots=True)
class CacheAsked:
    """One call that asked a cache for one or many keys."""

    cache: str
    hits: int
    stale: int
    """Served although their life is over, because the database failed."""
    waited: int
    """Got from a read that somebody else had begun."""
    misses: int
    failed: int


@dataclass(frozen=True, slots=True)
class CacheWarmed:
    """Keys were read before anybody asked for them."""

    cache: str
    keys: int
    read: int
    """Of these, those that were not in memory."""
    round_trips: int
    seconds: float


Event = (
    FlushCompleted
    | FlushFailed
    | JobsEnqueued
    | JobsClaimed
    | JobsFinished
    | LeasesRescued
    | TickCompleted
    | TickFailed
    | CacheAsked
    | CacheWarmed
)
Listener = Callable[[Event], None]


class Events:
    """The listeners of one database and of the parts built on it. Falsy while nobody listens."""

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def add(self, listener: Listener) -> None:
        self._listeners = (*self._listeners, listener)

    def remove(self, listener: Listener) -> None:
        self._listeners = tuple(known for known in self._listeners if known is not listener)

    @contextmanager
    def listening(self, listener: Listener) -> Iterator[None]:
        """Listen for the length of a `with` block."""
        self.add(listener)
        try:
            yield
        finally:
            self.remove(listener)

    def emit(self, event: Event) -> None:
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                logger.exception("a listener failed on %s; the part that emitted it goes on", type(event).__name__)
