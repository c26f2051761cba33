"""Watches, what ingesting them came to, and what a tick did, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Watch:
    """Something to be looked at again and again. It is checked when it is added, not when it is made.

    Exactly one of `interval` and `cron` says when. The slots of an interval watch are anchored to its first one, those
    of a cron watch to the wall clock of its time zone.
    """

    name: str
    """Unique, 1 … 200 characters."""
    interval: float | None = None
    """Seconds between two slots, 0.001 … 100 years; kept to the microsecond."""
    cron: str | None = None
    """Five fields: minute, hour, day of the month, month, day of the week. See `perflab.scheduler.cron`."""
    timezone: str = "UTC"
    """The IANA name, such as "America/New_York", that `cron` is read in."""
    queue: str | None = None
    """Where its jobs go; None: the queue of the scheduler that adds it."""
    priority: int = 0
    """Of its jobs: -32768 … 32767; lower numbers go first."""
    payload: Any = None
    """Any JSON value; its jobs carry it."""
    enabled: bool = True
    """False: paused."""
    start_at: datetime | None = None
    """Aware, after 1970: its first slot. None: at once for an interval, the next slot for a cron expression. Of no
    effect on a watch that is there already with the same schedule."""


@dataclass(frozen=True, slots=True)
class WatchStatus:
    """A watch as it is stored."""

    id: int
    watch: Watch
    """With its queue filled in; `start_at` is not kept."""
    next_due_at: datetime
    """Its next slot; in the past if no tick has come since, or if it is paused."""


@dataclass(frozen=True, slots=True)
class IngestState:
    """What one ingest of a watch came to: a success, or an error."""

    watch: str
    """The name of the watch."""
    cursor: str | None = None
    """How far the source has been read, at most 65,536 characters; None keeps the one before."""
    etag: str | None = None
    """The version of the source that was read, at most 65,536 characters; None keeps the one before."""
    succeeded_at: datetime | None = None
    """Aware, after 1970; None: now. Only for a success."""
    error: BaseException | str | None = None
    """Its type and message, or the text, are kept (2,000 characters). None: a success."""


@dataclass(frozen=True, slots=True)
class IngestStatus:
    """What is known of the ingests of a watch."""

    cursor: str | None
    etag: str | None
    last_success_at: datetime | None
    last_error: str | None
    """Of the last ingest; None if it was a success."""
    consecutive_failures: int
    """Since the last success."""
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class TickReport:
    """What one tick did."""

    due: int
    """Watches whose slot had come, and that this tick moved on."""
    enqueued: int
    """Jobs that it enqueued."""
    skipped: int
    """Watches that got no job because their job before is not finished: due = enqueued + skipped."""
    late: int
    """Watches that had missed at least one whole slot more; they too get one job."""
    round_trips: int
    seconds: float
    """How long it took."""
    more: bool = False
    """More watches are due than the limit of one tick: tick again."""
    lag_seconds: float = 0.0
    """How long the oldest of the slots had been due; 0 if there was none."""


@dataclass(frozen=True, slots=True)
class SchedulerMetrics:
    """What the ticks of one scheduler object came to since it was made."""

    ticks: int = 0
    due: int = 0
    enqueued: int = 0
    skipped: int = 0
    late: int = 0
    round_trips: int = 0
    seconds: float = 0.0
    """In ticks, altogether."""
    failures: int = 0
    """Ticks that the database failed. They are in no other count, although on PostgreSQL one that failed at the cron
    watches has enqueued those with intervals."""
    lag_seconds: float = 0.0
    """As the last tick reported it."""
