"""Watches, what ingesting them came to, and what a tick did, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from perflab.queue.job import Job, NewJob

Overlap: TypeAlias = Literal["skip", "queue", "coalesce"]
"""What becomes of a slot that comes while a job of its watch is unfinished.

`skip`: it brings no job; at most one job of the watch is unfinished.
`queue`: it brings one of its own; jobs of one watch may run side by side, on workers that are free.
`coalesce`: it brings one unless the last one still waits to be run, which then stands for this slot too. So while one
runs at most one waits, and after each slot there is a run that begins later than it.
"""

LONGEST_NAME = 200
LONGEST_CURSOR = 65_536
SHORTEST_INTERVAL_SECONDS = 0.001
LONGEST_INTERVAL_SECONDS = 36_525 * 86_400.0


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
    """Aware, after 1970: its first slot. None: at once for an interval, the next slot for a cron expression; nothing
    that lies before the watch was added is owed. Of no effect on a watch that is there already with the same
    schedule."""
    overlap: Overlap = "skip"
    catch_up: int = 1
    """How many of the slots that a late tick finds bring a job, the newest ones: 1 … 100. More than 1 needs
    `overlap="queue"`."""


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
class FinishedIngest:
    """All that an ingest leaves behind, to be written together."""

    job: Job
    """As claimed. It is done, or failed if the state has an error."""
    state: IngestState
    watch: Watch | None = None
    """New settings of its watch, such as another interval, or `enabled=False` because its source is gone."""
    jobs: Sequence[NewJob] = ()
    """What follows, in the queue of the job."""
    result: Any = None
    """For a queue that keeps finished jobs."""


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
    """Watches that got no job because one before is not finished, or not begun, as their `overlap` says."""
    late: int
    """Watches that had missed at least one whole slot more."""
    round_trips: int
    seconds: float
    """How long it took."""
    more: bool = False
    """More watches are due: beyond the limit of one tick, or of cron expressions that this scheduler had not met
    before. Tick again."""
    lag_seconds: float = 0.0
    """How long the oldest of the slots had been due; 0 if there was none."""
    backed_off: int = 0
    """Watches that got no job because their ingests fail, and their back-off has not passed."""

    @property
    def caught_up(self) -> int:
        """Jobs for slots that were missed, beyond the one that each watch gets."""
        return self.enqueued + self.skipped + self.backed_off - self.due


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
    """Ticks that the database failed. They are in no other count."""
    lag_seconds: float = 0.0
    """As the last tick reported it."""
    backed_off: int = 0
