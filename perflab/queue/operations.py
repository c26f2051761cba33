"""The queue's writes, each as an operation with one bulk form.

`queue.operations` has them for a batcher: `batcher.submit(queue.operations.mark_done, job)`. An operation checks and
encodes its items here, the same for every engine; the engine's own file writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from perflab.database.compression import StoredPayload
from perflab.database.operation import DriverConnection
from perflab.database.values import (
    approximate_bytes,
    check_integer,
    check_number,
    check_text,
    shown,
)
from perflab.errors import InvalidInput
from perflab.events import Event, JobsFinished
from perflab.queue.engine import DIES, ErrorRow, Lease, ProgressRow, RetryRow
from perflab.queue.enqueue import Enqueue
from perflab.queue.hints import Discard
from perflab.queue.hints import Retry as RetryHint
from perflab.queue.job import Job
from perflab.queue.operation import MOST_ATTEMPTS, ROW_BYTES, QueueOperation, QueueSettings
from perflab.queue.plain_jobs import plain_leases

Item = TypeVar("Item")
Result = TypeVar("Result")
Subject = TypeVar("Subject")
Parameter = TypeVar("Parameter")

LONGEST_LEASE_SECONDS = 366 * 86_400.0
LONGEST_ERROR = 2_000
"""Characters of an error that are kept."""
LONGEST_NOTE = 2_000
"""Characters of a note on progress; a longer one is refused."""


DoneItem: TypeAlias = Job | tuple[Job, Any]
"""A job, or a job and its result."""
ProgressItem: TypeAlias = tuple[Job, float, str]
"""A job, how much of it is done (0 … 1), and a note for people."""


@dataclass(frozen=True, slots=True)
class EncodedResult:
    """A result that was checked and encoded where it came about; what it was made of may change from then on."""

    stored: StoredPayload


class MarkDone(QueueOperation[DoneItem, bool]):
    """False: the lease had been lost."""

    name = "mark_done"

    def done_item(self, job: Job, result: object) -> DoneItem:  # noqa: ARG002  # those who keep it look at it
        """What acknowledges a job whose handler has returned this."""
        return job

    def prepare(self, item: DoneItem) -> Lease:
        if isinstance(item, tuple) and _pair(item, "(job, result)")[1] is not None:
            raise InvalidInput(
                f"a result is given for {shown(item[0], 80)}, and the queue {self._settings.name!r} keeps no finished "
                "jobs: make it with PriorityQueue(…, keep_done=True), or give no result"
            )
        return lease_of(job_of(item))

    def prepare_plain(self, items: Sequence[DoneItem]) -> Sequence[Any] | None:
        return plain_leases(items)

    def apply(self, connection: DriverConnection, rows: Sequence[Lease]) -> Sequence[bool]:
        return self._engine.mark_done(connection, rows)

    def event(self, items: Sequence[DoneItem], results: Sequence[bool]) -> Event:  # noqa: ARG002
        done = results.count(True)
        return JobsFinished(self._settings.name, done=done, stale=len(results) - done)


NO_RESULT = "null"


class KeepDone(MarkDone):
    """The same for a queue that keeps finished jobs."""

    tables = frozenset({"perflab_jobs", "perflab_jobs_done"})

    def done_item(self, job: Job, result: object) -> DoneItem:
        """With the result as it is kept.

        Raises:
            Discard: it cannot be kept. To run the job again would bring the like, and repeat all that it does.
        """
        try:
            return job, EncodedResult(self._settings.encode(result, "result"))
        except InvalidInput as refusal:
            raise Discard(f"it was done, but {refusal}") from None

    def prepare(self, item: DoneItem) -> Any:
        job, result = _pair(item, "(job, result)") if isinstance(item, tuple) else (item, None)
        stored = result.stored if isinstance(result, EncodedResult) else self._settings.encode(result, "result")
        return *lease_of(job), stored

    def prepare_plain(self, items: Sequence[DoneItem]) -> Sequence[Any] | None:
        leases = plain_leases(items)
        return None if leases is None else [(*lease, NO_RESULT) for lease in leases]

    def size_bytes(self, item: DoneItem) -> int:
        return ROW_BYTES + (approximate_bytes(item[1]) if isinstance(item, tuple) else 0)

    def apply(self, connection: DriverConnection, rows: Sequence[Any]) -> Sequence[bool]:
        return self._engine.keep_done(connection, rows, self._settings.now())


class MarkError(QueueOperation[tuple[Job, BaseException | str], bool]):
    """Takes the job and its error. False: the lease had been lost.

    The delay can be drawn before the row is read: the fence makes sure that the attempt is the job's own.
    """

    name = "mark_error"

    def prepare(self, item: tuple[Job, BaseException | str]) -> ErrorRow:
        job, error = _pair(item, "(job, error)")
        if not isinstance(error, str | BaseException):
            raise InvalidInput(f"an error is {type(error).__name__} {shown(error, 80)}: give an exception or text")
        job_id, attempt = lease_of(job)
        return job_id, attempt, self._delay(attempt, error), describe_error(error)

    def _delay(self, attempt: int, error: BaseException | str) -> int:
        """Microseconds until the next attempt, or `DIES`."""
        if isinstance(error, Discard):
            return DIES
        if isinstance(error, RetryHint):
            return int(error.after_seconds * 1e6)
        return int(self._settings.backoff.delay_seconds(attempt, self._settings.rng) * 1e6)

    def size_bytes(self, item: tuple[Job, BaseException | str]) -> int:
        return ROW_BYTES + min(LONGEST_ERROR, len(str(item[1])))

    def apply(self, connection: DriverConnection, rows: Sequence[ErrorRow]) -> Sequence[bool]:
        return self._engine.mark_error(connection, rows, self._settings.now())

    def event(self, items: Sequence[tuple[Job, BaseException | str]], results: Sequence[bool]) -> JobsFinished:
        accepted = [item for item, accepted in zip(items, results, strict=True) if accepted]
        dead = sum(job.attempt >= job.max_attempts or isinstance(error, Discard) for job, error in accepted)
        return JobsFinished(
            self._settings.name, retried=len(accepted) - dead, dead=dead, stale=len(results) - len(accepted)
        )


class Release(QueueOperation[Job, bool]):
    """False: the lease had been lost."""

    name = "release"

    def prepare(self, item: Job) -> Lease:
        return lease_of(item)

    def apply(self, connection: DriverConnection, rows: Sequence[Lease]) -> Sequence[bool]:
        released = self._engine.release(connection, rows, self._settings.now())
        if self._settings.notify:
            self._engine.notify(connection, self._settings.name)
        return released


class ExtendLease(QueueOperation[tuple[Job, float], bool]):
    """Takes the job and the seconds from now. False: the lease had been lost."""

    name = "extend_lease"

    def prepare(self, item: tuple[Job, float]) -> tuple[Lease, int]:
        job, lease_seconds = _pair(item, "(job, lease)")
        return lease_of(job), lease_microseconds(lease_seconds)

    def apply(self, connection: DriverConnection, rows: Sequence[tuple[Lease, int]]) -> Sequence[bool]:
        now = self._settings.now()
        return self._engine.extend_lease(connection, [(*lease, now + duration) for lease, duration in rows])


class ReportProgress(QueueOperation[ProgressItem, bool]):
    """False: the lease had been lost. Of several reports for a job the last one counts."""

    name = "report_progress"

    def prepare(self, item: ProgressItem) -> ProgressRow:
        if not isinstance(item, tuple) or len(item) != 3:
            raise InvalidInput(f"an item is {type(item).__name__} {shown(item, 80)}: give (job, fraction, note)")
        job, fraction, note = item
        check_progress(fraction, note)
        return *lease_of(job), float(fraction), note

    def size_bytes(self, item: ProgressItem) -> int:
        return ROW_BYTES + len(item[2])

    def apply(self, connection: DriverConnection, rows: Sequence[ProgressRow]) -> Sequence[bool]:
        return self._engine.report_progress(connection, rows, self._settings.now())


class Cancel(QueueOperation[int, bool]):
    """Takes an id. False: there is no such job in this queue, or it is running or dead."""

    name = "cancel"

    def prepare(self, item: int) -> int:
        return check_integer(item, "a job id")

    def apply(self, connection: DriverConnection, rows: Sequence[int]) -> Sequence[bool]:
        return self._engine.cancel(connection, self._settings.name, rows)


class Retry(QueueOperation[tuple[int, int], bool]):
    """Takes an id and a number of further attempts. False: the job is not dead, or another one has its key now."""

    name = "retry"

    def prepare(self, item: tuple[int, int]) -> RetryRow:
        job_id, attempts = _pair(item, "(id, attempts)")
        return check_integer(job_id, "a job id"), check_integer(attempts, "attempts", low=1, high=MOST_ATTEMPTS)

    def apply(self, connection: DriverConnection, rows: Sequence[RetryRow]) -> Sequence[bool]:
        revived = self._engine.retry(connection, self._settings.name, rows, self._settings.now())
        if self._settings.notify:
            self._engine.notify(connection, self._settings.name)
        return revived


class QueueOperations:
    """Every write of one queue. The objects stay the same, so that a batcher can tell which items go together."""

    def __init__(self, settings: QueueSettings) -> None:
        self.enqueue = Enqueue(settings, "skip")
        self.enqueue_or_raise = Enqueue(settings, "raise")
        self.enqueue_replacing = Enqueue(settings, "replace")
        self.mark_done = KeepDone(settings) if settings.keep_done else MarkDone(settings)
        self.mark_error = MarkError(settings)
        self.release = Release(settings)
        self.extend_lease = ExtendLease(settings)
        self.report_progress = ReportProgress(settings)
        self.cancel = Cancel(settings)
        self.retry = Retry(settings)


def lease_microseconds(lease_seconds: float) -> int:
    """A checked lease.

    Raises:
        InvalidInput: not above zero, or longer than a year.
    """
    return int(check_number(lease_seconds, "lease", high=LONGEST_LEASE_SECONDS, above_low=True) * 1e6)


def check_progress(fraction: float, note: str) -> None:
    """Refuse a report that cannot be kept.

    Raises:
        InvalidInput: the fraction is not within 0 … 1, or the note no text, too long, or one that engines cannot hold.
    """
    check_number(fraction, "the fraction that is done", high=1.0)
    if not isinstance(note, str) or len(note) > LONGEST_NOTE:
        raise InvalidInput(f"the note is {shown(note, 80)}: give at most {LONGEST_NOTE:,} characters")
    check_text(note, "the note")


def describe_error(error: BaseException | str) -> str:
    """Text for `last_error` that every engine can hold: type and message, not too long, no NUL, no lone surrogate.

    Never raises: an error that cannot be described must not keep its job from being retried.
    """
    try:
        text = str(error)
    except Exception as failure:  # noqa: BLE001  # a message of the user's own may do anything
        text = f"(its message could not be read: {type(failure).__name__})"
    if not isinstance(error, str):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text[:LONGEST_ERROR].replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _pair(item: tuple[Subject, Parameter], shape: str) -> tuple[Subject, Parameter]:
    if not isinstance(item, tuple) or len(item) != 2:
        raise InvalidInput(f"an item is {type(item).__name__} {shown(item, 80)}: give {shape}")
    return item


def job_of(item: DoneItem) -> Job:
    """Whose acknowledgement this is."""
    return item[0] if isinstance(item, tuple) else item


def lease_of(job: Job) -> Lease:
    """Id and attempt.

    Raises:
        InvalidInput: not a job that was claimed.
    """
    if not isinstance(job, Job):
        raise InvalidInput(f"a job is {type(job).__name__} {shown(job, 80)}: give a Job that claim() returned")
    return job.id, job.attempt
