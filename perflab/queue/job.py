"""Jobs as values: what is put in, what a worker gets, and the states in between."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be enqueued. It is checked when it is enqueued, not when it is made."""

    payload: Any
    """Any JSON value; see `perflab.database.values.encode_payload` for what is refused."""
    priority: int = 0
    """-32768 … 32767; lower numbers go first."""
    run_at: datetime | None = None
    """Aware; not before this time. None: at once."""
    key: str | None = None
    """At most one unfinished job of a queue has it, 1 … 200 characters. What a second one does: `on_conflict`."""
    max_attempts: int = 5
    """1 … 32767 leases until an error, or an expired lease, makes the job dead."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job under a lease. `id` and `attempt` together name the lease: with both, an acknowledgement can be refused."""

    id: int
    queue: str
    payload: Any
    priority: int
    run_at: datetime
    attempt: int
    """1 for the first lease. Every claim adds one, and nothing takes one away."""
    max_attempts: int
    lease_until: datetime
    """As of the claim; `extend_lease` moves it in the database only."""
    key: str | None


class _OpenJob:
    """A job while its fields are written."""

    __slots__ = Job.__slots__

    def __init__(  # noqa: PLR0917  # as `Job` has them
        self,
        id: int,  # noqa: A002  # the same
        queue: str,
        payload: Any,
        priority: int,
        run_at: datetime,
        attempt: int,
        max_attempts: int,
        lease_until: datetime,
        key: str | None,
    ) -> None:
        self.id = id
        self.queue = queue
        self.payload = payload
        self.priority = priority
        self.run_at = run_at
        self.attempt = attempt
        self.max_attempts = max_attempts
        self.lease_until = lease_until
        self.key = key


def claimed_job(*fields: Any) -> Job:
    """`Job(*fields)` in 0.3 instead of 0.75 µs: a frozen dataclass writes each field through `object.__setattr__`."""
    job: Any = _OpenJob(*fields)
    job.__class__ = Job
    closed: Job = job
    return closed


@dataclass(frozen=True, slots=True)
class DeadJob:
    """A job that is out of attempts, as `dead_jobs` lists it."""

    id: int
    queue: str
    payload: Any
    """None also where it cannot be read; then `payload_error` says why."""
    priority: int
    attempts: int
    """Leases that it had."""
    key: str | None
    """Others may have it by now."""
    error: str | None
    """What ended its last attempt."""
    enqueued_at: datetime
    died_at: datetime
    payload_error: str | None = None


@dataclass(frozen=True, slots=True)
class DoneJob:
    """A finished job, as a queue with `keep_done` keeps it."""

    id: int
    queue: str
    payload: Any
    """None also where it cannot be read; then `unreadable` says why."""
    result: Any
    """What its handler returned, or was given to `mark_done`, with the same exception."""
    priority: int
    attempts: int
    """Leases that it had."""
    key: str | None
    enqueued_at: datetime
    done_at: datetime
    unreadable: str | None = None


@dataclass(frozen=True, slots=True)
class JobProgress:
    """The last report of how far a job is."""

    id: int
    attempt: int
    """Whose report it is: an earlier one's stays until the present attempt has one."""
    fraction: float
    """0 … 1"""
    note: str
    reported_at: datetime


class JobState(StrEnum):
    """Where an unfinished or dead job stands. A done one has no row, or one in the table of finished jobs."""

    SCHEDULED = "scheduled"
    """Waits for its time."""
    READY = "ready"
    """May be claimed."""
    RUNNING = "running"
    """Leased to a worker."""
    DEAD = "dead"
    """Out of attempts; kept for people to look at, to `retry`, to `redrive` or to `purge`."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One way that a job may go. None stands for "no row"."""

    source: JobState | None
    operation: str
    target: JobState | None
    condition: str = ""


TRANSITIONS = (
    Transition(None, "enqueue", JobState.READY, "run_at has come, or none was given"),
    Transition(None, "enqueue", JobState.SCHEDULED, "run_at lies ahead"),
    Transition(JobState.SCHEDULED, "enqueue", JobState.SCHEDULED, "one with its key replaces it, for later"),
    Transition(JobState.SCHEDULED, "enqueue", JobState.READY, "one with its key replaces it, for now"),
    Transition(JobState.READY, "enqueue", JobState.SCHEDULED, "one with its key replaces it, for later"),
    Transition(JobState.READY, "enqueue", JobState.READY, "one with its key replaces it, for now"),
    Transition(JobState.RUNNING, "enqueue", JobState.RUNNING, "one with its key replaces it, and is another job"),
    Transition(JobState.SCHEDULED, "claim", JobState.READY, "run_at has come, and others go first, or it is paused"),
    Transition(JobState.SCHEDULED, "claim", JobState.RUNNING, "run_at has come, and the queue is not paused"),
    Transition(JobState.READY, "claim", JobState.RUNNING, "the queue is not paused"),
    Transition(JobState.RUNNING, "mark_done", None, "the lease is still held"),
    Transition(JobState.RUNNING, "mark_error", JobState.SCHEDULED, "the lease is still held, attempts are left"),
    Transition(JobState.RUNNING, "mark_error", JobState.DEAD, "the lease is still held; none are left, or Discard"),
    Transition(JobState.RUNNING, "extend_lease", JobState.RUNNING, "the lease is still held"),
    Transition(JobState.RUNNING, "report_progress", JobState.RUNNING, "the lease is still held"),
    Transition(JobState.RUNNING, "release", JobState.READY, "the lease is still held"),
    Transition(JobState.RUNNING, "release", JobState.DEAD, "the lease is still held, and was number 32767"),
    Transition(JobState.RUNNING, "rescue_expired", JobState.READY, "the lease has run out, and was the first"),
    Transition(JobState.RUNNING, "rescue_expired", JobState.SCHEDULED, "the lease has run out, attempts are left"),
    Transition(JobState.RUNNING, "rescue_expired", JobState.DEAD, "the lease has run out, no attempts are left"),
    Transition(JobState.SCHEDULED, "cancel", None),
    Transition(JobState.READY, "cancel", None),
    Transition(JobState.DEAD, "retry", JobState.READY, "no unfinished job has its key"),
    Transition(JobState.DEAD, "redrive", JobState.READY, "no unfinished job has its key"),
    Transition(JobState.DEAD, "purge", None, "dead for long enough"),
)
"""The whole life of a job. Tests hold every step that they see against it."""


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """Jobs of one queue by state, all read at one moment."""

    scheduled: int
    ready: int
    running: int
    dead: int

    @property
    def unfinished(self) -> int:
        return self.scheduled + self.ready + self.running
