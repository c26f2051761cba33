"""The durable priority queue."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast, overload

from perflab.database.compression import decode_stored, make_encoder
from perflab.database.database import Database
from perflab.database.values import (
    check_identifier,
    check_integer,
    check_text,
    decode_payload,
    from_microseconds,
    shown,
    to_microseconds,
)
from perflab.errors import CorruptPayload, DatabaseError, InvalidInput, MissingExtra
from perflab.events import JobsClaimed
from perflab.queue.backoff import Backoff
from perflab.queue.care import LARGEST_LIMIT, QueueCare, each
from perflab.queue.engine import ClaimedRow, QueueEngine
from perflab.queue.job import Job, NewJob
from perflab.queue.operations import QueueOperation, QueueSettings, lease_microseconds
from perflab.queue.postgresql import PostgresQueueEngine
from perflab.queue.sqlite import SQLiteQueueEngine

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from perflab.batching.metrics import BatchingMetrics

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")
Id = TypeVar("Id")
Ack = TypeVar("Ack")

LONGEST_WORKER_NAME = 200


def utc_now() -> datetime:
    return datetime.now(UTC)


class WriteBehind(Protocol):
    """What a queue needs of a `RequestBatcher` to write single calls in batches."""

    def submit(self, operation: QueueOperation[Item, Result], item: Item) -> Future[Result]: ...

    def metrics(self) -> BatchingMetrics: ...


class PriorityQueue(QueueCare, Generic[Id, Ack]):
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
        now: the time; aware.
        rng: for the jitter of the back-off.
        stopwatch: monotonic seconds, for the durations in events.

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
        now: Callable[[], datetime] = ...,
        rng: Random | None = ...,
        stopwatch: Callable[[], float] = ...,
    ) -> None: ...

    @overload
    def __init__(
        self: PriorityQueue[Future[int], Future[bool]],
        db: Database,
        name: str = ...,
        batching: WriteBehind = ...,
        *,
        backoff: Backoff | None = ...,
        now: Callable[[], datetime] = ...,
        rng: Random | None = ...,
        stopwatch: Callable[[], float] = ...,
    ) -> None: ...

    def __init__(
        self,
        db: Database,
        name: str = "default",
        batching: WriteBehind | None = None,
        *,
        backoff: Backoff | None = None,
        now: Callable[[], datetime] = utc_now,
        rng: Random | None = None,
        stopwatch: Callable[[], float] = time.perf_counter,
    ) -> None:
        settings = QueueSettings(
            check_identifier(name, "the name of the queue"),
            _engine_for(db),
            lambda: to_microseconds(now(), "the time that now() returned"),
            backoff or Backoff(),
            rng or Random(),
            make_encoder(db.compression),
        )
        super().__init__(db, settings)
        self._batching = batching
        self._clock = now
        self._stopwatch = stopwatch

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
    ) -> Id:
        """Put one job in; the arguments are the fields of `NewJob`.

        Returns:
            Its id, or that of the unfinished job that has its key; a future of it with `batching`.

        Raises:
            InvalidInput: a field is refused.
        """
        job = NewJob(payload, priority, run_at, key, max_attempts)
        return cast("Id", self._write_one(self.operations.enqueue, job))

    def bulk_enqueue(self, jobs: Iterable[NewJob], *, connection: Connection | None = None) -> list[int]:
        """Put many jobs in, all or none.

        Args:
            jobs: in the order in which jobs of equal priority and time shall go.
            connection: a SQLAlchemy connection in a transaction of yours: the jobs exist if you commit. Listeners are
                told at once.

        Returns:
            The id of each; for one whose key an unfinished job has, that job's.

        Raises:
            InvalidInput: a job is refused; none is in.
        """
        return self._write(self.operations.enqueue, jobs, connection=connection)

    # -- out -----------------------------------------------------------------------------------------------------------

    def claim(self, limit: int = 100, lease: float = 60.0, *, worker: str = "") -> list[Job]:
        """Lease up to `limit` jobs: lowest priority number first, then run_at, then id.

        Args:
            limit: 1 … 1,000,000 jobs.
            lease: seconds until others may have the jobs, unless `extend_lease` moves that.
            worker: a name to be seen in the table, at most 200 characters.

        Raises:
            MissingExtra: there are compressed payloads among them, and zstandard is not installed. All are given back.
        """
        check_integer(limit, "limit", low=1, high=LARGEST_LIMIT)
        lease_us = lease_microseconds(lease)
        check_worker_name(worker)
        started = self._stopwatch()
        with self._transaction("claim") as connection:
            now = self._now()
            rows = self._engine.claim(
                connection, self.name, limit, now, lease_until=now + lease_us, worker=worker or None
            )
        try:
            jobs = self._jobs(rows, from_microseconds(now + lease_us))
        except MissingExtra:  # the jobs are sound: others may have them
            with self._transaction("release") as connection:
                self._engine.release(connection, [(row[2], row[4]) for row in rows], self._now())
            raise
        if self.db.events:
            self.db.events.emit(JobsClaimed(self.name, len(jobs), self._stopwatch() - started))
        return jobs

    def mark_done(self, job: Job) -> Ack:
        """Delete a job that is done. False (or a future of it): its lease had been lost, and it may run again."""
        return cast("Ack", self._write_one(self.operations.mark_done, job))

    def mark_done_bulk(self, jobs: Iterable[Job]) -> list[bool]:
        """The same for many jobs."""
        return self._write(self.operations.mark_done, jobs)

    def mark_error(self, job: Job, error: BaseException | str) -> Ack:
        """Note that an attempt failed: the job comes again after a back-off, or is dead after its last attempt.

        Args:
            job: as claimed.
            error: its type and message, or the text, are kept (2,000 characters).

        Returns:
            False (or a future of it): the lease had been lost.
        """
        return cast("Ack", self._write_one(self.operations.mark_error, (job, error)))

    def mark_error_bulk(self, failures: Iterable[tuple[Job, BaseException | str]]) -> list[bool]:
        """The same for many jobs and their errors."""
        return self._write(self.operations.mark_error, failures)

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

    def _write_one(self, operation: QueueOperation[Item, Result], item: Item) -> Result | Future[Result]:
        if self._batching is None:
            return self._write(operation, [item])[0]
        return self._batching.submit(operation, item)

    def _jobs(self, rows: Sequence[ClaimedRow], lease_until: datetime) -> list[Job]:
        jobs = []
        undecodable: list[tuple[Job, str]] = []
        moments: dict[int, datetime] = {}  # jobs of one call share theirs
        for priority, run_at, job_id, text, attempt, max_attempts, key, frame in rows:
            moment = moments.get(run_at) or moments.setdefault(run_at, from_microseconds(run_at))
            problem = payload = None
            try:
                payload = decode_payload(text) if frame is None else decode_stored(text, frame)
            except CorruptPayload as error:
                problem = str(error)
            except (ValueError, RecursionError) as error:
                problem = f"the payload cannot be decoded: {error}"
            job = Job(job_id, self.name, payload, priority, moment, attempt, max_attempts, lease_until, key)
            if problem is None:
                jobs.append(job)
            else:
                undecodable.append((job, problem))
        if undecodable:  # damaged, or not written by perflab: fail these alone, and let the others go on
            logger.warning("%d jobs of queue %s have payloads that cannot be decoded", len(undecodable), self.name)
            try:
                self.mark_error_bulk(undecodable)
            except DatabaseError:
                logger.exception("they could not be marked; their leases will run out")
        return jobs


def check_worker_name(name: str) -> str:
    """A worker's name as it can be stored.

    Raises:
        InvalidInput: not text, or longer than 200 characters.
    """
    if not isinstance(name, str) or len(name) > LONGEST_WORKER_NAME:
        raise InvalidInput(
            f"the name of the worker is {shown(name, 220)}: give at most {LONGEST_WORKER_NAME} characters"
        )
    return check_text(name, "the name of the worker")


def _engine_for(db: Database) -> QueueEngine:
    return PostgresQueueEngine() if db.engine_name == "postgresql" else SQLiteQueueEngine()
