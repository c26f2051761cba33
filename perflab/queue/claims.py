"""Taking jobs out of a queue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from perflab.database.compression import decode_stored
from perflab.database.database import Database
from perflab.database.operation import DriverConnection
from perflab.database.values import check_integer, decode_payload, from_microseconds
from perflab.errors import CorruptPayload, DatabaseError, MissingExtra, ResultLost
from perflab.events import Event, JobsClaimed
from perflab.queue.base import LARGEST_LIMIT, QueueBase, each
from perflab.queue.engine import ClaimedRow, Holder
from perflab.queue.job import Job, claimed_job
from perflab.queue.leases import WorkerLease, check_worker_name
from perflab.queue.operation import QueueOperation, QueueSettings
from perflab.queue.operations import DoneItem, MarkDone, lease_microseconds

logger = logging.getLogger(__name__)


class QueueClaims(QueueBase):
    """The part of a `PriorityQueue` that gives jobs to workers."""

    def __init__(self, db: Database, settings: QueueSettings, stopwatch: Callable[[], float]) -> None:
        super().__init__(db, settings)
        self._stopwatch = stopwatch

    def claim(self, limit: int = 100, lease: float | WorkerLease = 60.0, *, worker: str = "") -> list[Job]:
        """Lease up to `limit` jobs: lowest priority number first, then run_at, then id; or as `ageing` says.

        Args:
            limit: 1 … 1,000,000 jobs.
            lease: seconds until others may have the jobs, unless `extend_lease` moves that; or a worker's lease, which
                holds for all its jobs (with one that is lost, no job is found).
            worker: a name to be seen in the table, at most 200 characters; a worker's lease has its own.

        Raises:
            MissingExtra: there are compressed payloads among them, and zstandard is not installed. All are given back.
        """
        check_integer(limit, "limit", low=1, high=LARGEST_LIMIT)
        duration = lease_microseconds(lease.seconds if isinstance(lease, WorkerLease) else lease)
        check_worker_name(worker)
        started = self._stopwatch()
        with self._transaction("claim") as connection:
            now = self._now()
            holder = _holder(lease, now + duration, worker or None)
            self._engine.promote(connection, self.name, limit, now, notify=self.notify)
            rows = self._engine.claim(connection, self.name, limit, now, holder=holder, ageing=self._settings.ageing)
        return self._claimed(rows, lease, now, duration, started)

    def mark_done_and_claim(
        self, done: Iterable[DoneItem], limit: int, lease: float | WorkerLease
    ) -> tuple[list[bool], list[Job] | None]:
        """`mark_done_bulk` and `claim` in one transaction: one round trip on PostgreSQL, one COMMIT on SQLite.

        Args:
            done: jobs that are done, or pairs of a job and its result.
            limit: 1 … 1,000,000 jobs to claim.
            lease: as `claim` takes it.

        Returns:
            Whether each lease still held, and the claimed jobs. None for these: all is written, but the connection was
            lost before they came. They stay leased; `replace_lease` gives back those of a worker's lease.

        Raises:
            as `mark_done_bulk` and `claim`.
        """
        done = list(each(done))
        if not done:
            return [], self.claim(limit, lease)
        check_integer(limit, "limit", low=1, high=LARGEST_LIMIT)
        duration = lease_microseconds(lease.seconds if isinstance(lease, WorkerLease) else lease)
        started = self._stopwatch()
        mark_done = self.operations.mark_done
        operation = _MarkDoneAndClaim(
            self._settings, mark_done, limit, lambda now: _holder(lease, now + duration, None)
        )
        accepted = self.db.apply(operation, done)
        try:
            rows = list(operation.rows)
        except ResultLost:
            return accepted, None
        return accepted, self._claimed(rows, lease, operation.claimed_at, duration, started)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _claimed(
        self, rows: Sequence[ClaimedRow], lease: float | WorkerLease, now: int, duration: int, started: float
    ) -> list[Job]:
        until = lease.until if isinstance(lease, WorkerLease) else from_microseconds(now + duration)
        try:
            jobs = self._jobs(rows, until)
        except MissingExtra:  # the jobs are sound: others may have them
            with self._transaction("release") as connection:
                self._engine.release(connection, [(row[2], row[4]) for row in rows], self._now())
            raise
        if self.db.events:
            waited = max((now - run_at for _, run_at, *_ in rows), default=0) / 1e6
            self.db.events.emit(JobsClaimed(self.name, len(jobs), self._stopwatch() - started, waited))
        return jobs

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
            job = claimed_job(job_id, self.name, payload, priority, moment, attempt, max_attempts, lease_until, key)
            if problem is None:
                jobs.append(job)
            else:
                undecodable.append((job, problem))
        if undecodable:  # damaged, or not written by perflab: fail these alone, and let the others go on
            logger.warning("%d jobs of queue %s have payloads that cannot be decoded", len(undecodable), self.name)
            try:
                self._write(self.operations.mark_error, undecodable)
            except DatabaseError:
                logger.exception("they could not be marked; their leases will run out")
        return jobs


class _MarkDoneAndClaim(QueueOperation[DoneItem, bool]):
    """An acknowledgement that claims the next jobs in passing; for one call."""

    name = "mark_done_and_claim"
    rows: Sequence[ClaimedRow] = ()
    claimed_at = 0

    def __init__(
        self, settings: QueueSettings, mark_done: MarkDone, limit: int, holder: Callable[[int], Holder]
    ) -> None:
        super().__init__(settings)
        self._limit = limit
        self._holder = holder
        self._mark_done = mark_done

    def prepare(self, item: DoneItem) -> Any:
        return self._mark_done.prepare(item)

    def apply(self, connection: DriverConnection, rows: Sequence[Any]) -> Sequence[bool]:
        accepted = self._mark_done.apply(connection, rows)
        self.claimed_at = now = self._settings.now()
        settings = self._settings
        self._engine.promote(connection, settings.name, self._limit, now, notify=settings.notify)
        self.rows = self._engine.claim(
            connection, settings.name, self._limit, now, holder=self._holder(now), ageing=settings.ageing
        )
        return accepted

    def event(self, items: Sequence[DoneItem], results: Sequence[bool]) -> Event:
        return self._mark_done.event(items, results)


def _holder(lease: float | WorkerLease, until: int, worker: str | None) -> Holder:
    if isinstance(lease, WorkerLease):
        return Holder(None, None, lease.id)
    return Holder(until, worker, None)
