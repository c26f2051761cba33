"""The durable priority queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast, get_args, overload

from perflab.batching.limits import check_choice
from perflab.database.compression import make_encoder
from perflab.database.database import Database
from perflab.database.values import check_identifier, check_number, to_microseconds
from perflab.queue.backoff import Backoff
from perflab.queue.base import each
from perflab.queue.care import QueueCare
from perflab.queue.claims import QueueClaims
from perflab.queue.depth import CountWaiting, DepthGate, DepthLimit, QueuePressure
from perflab.queue.done import QueueDone
from perflab.queue.engine import OnConflict, QueueEngine
from perflab.queue.enqueue import Enqueue
from perflab.queue.job import Job, NewJob
from perflab.queue.leases import QueueLeases
from perflab.queue.operation import QueueOperation, QueueSettings
from perflab.queue.operations import DoneItem
from perflab.queue.postgresql import PostgresQueueEngine
from perflab.queue.progress import QueueProgress
from perflab.queue.sqlite import SQLiteQueueEngine

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from perflab.batching.metrics import BatchingMetrics

Item = TypeVar("Item")
Result = TypeVar("Result")
Id = TypeVar("Id")
Ack = TypeVar("Ack")

LONGEST_AGEING_SECONDS = 366 * 86_400.0
_ON_CONFLICT = get_args(OnConflict)


def utc_now() -> datetime:
    return datetime.now(UTC)


class WriteBehind(Protocol):
    """What a queue needs of a `RequestBatcher` to write single calls in batches."""

    def submit(self, operation: QueueOperation[Item, Result], item: Item) -> Future[Result]: ...

    def metrics(self) -> BatchingMetrics: ...


class PriorityQueue(QueueClaims, QueueLeases, QueueCare, QueueDone, QueueProgress, Generic[Id, Ack]):
    """A queue of jobs in a database: durable, ordered by priority, shared by any number of processes.

    A job is done when its acknowledgement is committed: until then, if its worker dies or loses its lease, another one
    gets it. Handlers may therefore run more than once for a job, and an acknowledgement of a lost lease is refused.

    Safe to share between threads.

    Args:
        db: where the jobs are; `db.create_schema()` has run.
        name: 1 to 41 lower-case letters, digits and underscores. A queue exists as soon as it is named.
        batching: a `RequestBatcher` of the same database turns write-behind on: `enqueue`, `mark_done` and `mark_error`
            hand their item over and return a `Future`; refused input is then the future's error. Bulk calls always
            write at once.
        backoff: how long a failed job waits.
        keep_done: move finished jobs, with their results, to where `done_jobs` and `find_done` read them, until
            `purge_done`. Otherwise they are deleted, which is faster.
        notify: on PostgreSQL, wake idle workers: each bulk call or batch that makes jobs ready, `retry` and `redrive`
            among them, sends one NOTIFY in its own round trip, and so does a claim that finds more due than it takes.
        max_depth: jobs that may wait here before `enqueue` and `bulk_enqueue` wait in turn, as `DepthLimit` says.
        ageing: seconds that one priority is worth, up to a year; None: more than any wait, so that low priorities may
            starve. With it, claims go by virtual deadline, run_at + priority · ageing: a job of priority p is overtaken
            only by those of a priority q < p that come within (p - q) · ageing seconds after it, so that it never waits
            longer than that and the time that the work before its deadline takes. A claim then costs as much as one
            of each priority that is waiting. It holds for claims through this object.
        now: the time; aware.
        rng: for jitter.
        stopwatch: monotonic seconds.
        sleep: seconds, while there is no room.

    Raises:
        InvalidInput: the name is refused.
    """

    @overload
    def __init__(
        self: PriorityQueue[int, bool],
        db: Database,
        name: str = ...,
        batching: None = None,
        *,
        backoff: Backoff | None = ...,
        keep_done: bool = ...,
        notify: bool = ...,
        max_depth: DepthLimit | int | None = ...,
        ageing: float | None = ...,
        now: Callable[[], datetime] = ...,
        rng: Random | None = ...,
        stopwatch: Callable[[], float] = ...,
        sleep: Callable[[float], None] = ...,
    ) -> None: ...

    @overload
    def __init__(
        self: PriorityQueue[Future[int], Future[bool]],
        db: Database,
        name: str = ...,
        batching: WriteBehind = ...,
        *,
        backoff: Backoff | None = ...,
        keep_done: bool = ...,
        notify: bool = ...,
        max_depth: DepthLimit | int | None = ...,
        ageing: float | None = ...,
        now: Callable[[], datetime] = ...,
        rng: Random | None = ...,
        stopwatch: Callable[[], float] = ...,
        sleep: Callable[[float], None] = ...,
    ) -> None: ...

    def __init__(
        self,
        db: Database,
        name: str = "default",
        batching: WriteBehind | None = None,
        *,
        backoff: Backoff | None = None,
        keep_done: bool = False,
        notify: bool = True,
        max_depth: DepthLimit | int | None = None,
        ageing: float | None = None,
        now: Callable[[], datetime] = utc_now,
        rng: Random | None = None,
        stopwatch: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        settings = QueueSettings(
            check_identifier(name, "the name of the queue"),
            _engine_for(db),
            lambda: to_microseconds(now(), "the time that now() returned"),
            backoff or Backoff(),
            rng or Random(),
            make_encoder(db.compression),
            keep_done,
            notify,
            None if ageing is None else int(check_number(ageing, "ageing", high=LONGEST_AGEING_SECONDS) * 1e6),
        )
        super().__init__(db, settings, stopwatch)
        self._batching = batching
        self._clock = now
        self._limit = max_depth if max_depth is None or isinstance(max_depth, DepthLimit) else DepthLimit(max_depth)
        self._gate = self._limit and DepthGate(
            name, self._limit, self._count_waiting, clock=stopwatch, sleep=sleep, rng=settings.rng
        )
        self._count_inside = CountWaiting(settings)

    def __repr__(self) -> str:
        return f"PriorityQueue({self.db!r}, {self.name!r})"

    # -- in ------------------------------------------------------------------------------------------------------------

    def enqueue(
        self,
        payload: Any,
        priority: int = 0,
        *,
        run_at: datetime | None = None,
        key: str | None = None,
        max_attempts: int = 5,
        on_conflict: OnConflict = "skip",
    ) -> Id:
        """Put one job in; the arguments are the fields of `NewJob`, and `on_conflict` as in `bulk_enqueue`.

        Returns:
            Its id; a future of it with `batching`.

        Raises:
            InvalidInput: a field is refused.
        """
        job = NewJob(payload, priority, run_at, key, max_attempts)
        if self._gate:
            self._gate.admit(1)
        return cast("Id", self._write_one(self._enqueueing(on_conflict), job))

    def bulk_enqueue(
        self, jobs: Iterable[NewJob], *, on_conflict: OnConflict = "skip", connection: Connection | None = None
    ) -> list[int]:
        """Put many jobs in, all or none.

        Args:
            jobs: in the order in which jobs of equal priority and time shall go.
            on_conflict: what becomes of one whose key an unfinished job has. "skip": it is not written. "raise": none
                is. "replace": a job that waits becomes this one, and keeps its id; one that runs goes on without its
                key, is not tried again if it fails, and this one is written. Of several with one key, "skip" takes the
                first, "replace" the last, and "raise" none.
            connection: a SQLAlchemy connection in a transaction of yours: the jobs exist if you commit. Listeners are
                told at once.

        Returns:
            The id of each job, or of the one that has its key.

        Raises:
            InvalidInput: a job is refused; none is in.
            RejectedRow: a key is taken, and it was to be raised; none is in.
            QueueFull: `max_depth` leaves no room, or not in time; at once if there is a `connection`. None is in.
        """
        enqueue = self._enqueueing(on_conflict)
        if self._gate:
            jobs = list(each(jobs))
            if connection is None:
                self._gate.admit(len(jobs))
            else:
                self._gate.admit_at_once(len(jobs), lambda most: self._count_waiting(most, connection))
        return self._write(enqueue, jobs, connection=connection)

    def pressure(self) -> QueuePressure:
        """How full the queue is: a producer that looks at it can slow down before it is stopped."""
        if self._limit is None:
            counts = self.counts()
            return QueuePressure(counts.scheduled + counts.ready, None)
        return QueuePressure(self._count_waiting(self._limit.jobs), self._limit.jobs)

    # -- out -----------------------------------------------------------------------------------------------------------

    def mark_done(self, job: Job, result: Any = None) -> Ack:
        """Delete a job that is done, or move it to the finished ones with its result if the queue keeps those.

        Returns:
            False (or a future of it): its lease had been lost, and it may run again.

        Raises:
            InvalidInput: the result is no JSON value, or the queue keeps none.
        """
        return cast("Ack", self._write_one(self.operations.mark_done, job if result is None else (job, result)))

    def mark_done_bulk(self, jobs: Iterable[DoneItem], *, connection: Connection | None = None) -> list[bool]:
        """The same for many jobs, or pairs of a job and its result.

        Args:
            jobs: what is done.
            connection: a SQLAlchemy connection in a transaction of yours: they are done if you commit, together with
                whatever else you write. Listeners are told at once.
        """
        return self._write(self.operations.mark_done, jobs, connection=connection)

    def mark_error(self, job: Job, error: BaseException | str) -> Ack:
        """Note that an attempt failed: the job comes again after a back-off, or is dead after its last attempt.

        Args:
            job: as claimed.
            error: its type and message, or the text, are kept (2,000 characters). `Retry` and `Discard` say what is to
                become of the job.

        Returns:
            False (or a future of it): the lease had been lost.
        """
        return cast("Ack", self._write_one(self.operations.mark_error, (job, error)))

    def mark_error_bulk(
        self, failures: Iterable[tuple[Job, BaseException | str]], *, connection: Connection | None = None
    ) -> list[bool]:
        """The same for many jobs and their errors; `connection` as in `mark_done_bulk`."""
        return self._write(self.operations.mark_error, failures, connection=connection)

    def extend_lease(self, jobs: Iterable[Job], lease: float = 60.0) -> list[bool]:
        """Hold jobs for `lease` seconds from now. False: the lease had been lost."""
        return self._write(self.operations.extend_lease, ((job, lease) for job in each(jobs)))

    def release(self, jobs: Iterable[Job]) -> list[bool]:
        """Give jobs back for others to claim; that costs no attempt. False: the lease had been lost."""
        return self._write(self.operations.release, jobs)

    def get_batching_metrics(self) -> BatchingMetrics | None:
        """The metrics of the write-behind batcher; None without one."""
        return None if self._batching is None else self._batching.metrics()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _count_waiting(self, most: int, connection: Connection | None = None) -> int:
        if connection is None:
            return self._engine.count_waiting(self.db, self.name, most)
        return self.db.apply(self._count_inside, [most], connection=connection)[0]

    def _enqueueing(self, on_conflict: OnConflict) -> Enqueue:
        check_choice(on_conflict, "on_conflict", _ON_CONFLICT)
        operations = self.operations
        if on_conflict == "skip":
            return operations.enqueue
        return operations.enqueue_or_raise if on_conflict == "raise" else operations.enqueue_replacing

    def _write_one(self, operation: QueueOperation[Item, Result], item: Item) -> Result | Future[Result]:
        if self._batching is None:
            return self._write(operation, [item])[0]
        return self._batching.submit(operation, item)


def _engine_for(db: Database) -> QueueEngine:
    return PostgresQueueEngine() if db.engine_name == "postgresql" else SQLiteQueueEngine()
