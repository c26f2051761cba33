"""What people and clocks do with a queue: look after its jobs, dead ones among them, and pause it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from perflab.database.compression import decode_stored
from perflab.database.values import check_integer, check_number, from_microseconds, shown, to_microseconds
from perflab.errors import CorruptPayload, InvalidInput
from perflab.events import LeasesRescued
from perflab.queue.base import AFTER_ALL, LARGEST_LIMIT, QueueBase, each
from perflab.queue.engine import DeadRow
from perflab.queue.job import DeadJob, JobState, QueueCounts
from perflab.queue.operation import MOST_ATTEMPTS

if TYPE_CHECKING:
    from datetime import datetime


class QueueCare(QueueBase):
    """The part of a `PriorityQueue` that neither puts jobs in nor takes them out."""

    def cancel(self, ids: Iterable[int]) -> list[bool]:
        """Delete jobs that have not started. False: no such job in this queue, or it is running or dead."""
        return self._write(self.operations.cancel, ids)

    def retry(self, ids: Iterable[int], *, attempts: int = 5) -> list[bool]:
        """Make dead jobs ready for `attempts` more. False: not dead, or its key belongs to an unfinished job by now."""
        return self._write(self.operations.retry, ((job_id, attempts) for job_id in each(ids)))

    def redrive(self, limit: int = 1000, *, attempts: int = 5) -> int:
        """Make up to `limit` dead jobs ready for `attempts` more, those that died first, and return how many.

        Those whose key an unfinished job has stay dead, and so do all but the first of several with one key. They never
        stand in the way of others: call it again until it returns 0.
        """
        check_integer(limit, "limit", low=1, high=LARGEST_LIMIT)
        check_integer(attempts, "attempts", low=1, high=MOST_ATTEMPTS)
        with self._transaction("redrive") as connection:
            ids = self._engine.redrive(connection, self.name, limit, self._now(), attempts=attempts)
            if self.notify:
                self._engine.notify(connection, self.name)
        return len(ids)

    def dead_jobs(self, limit: int = 100, *, before: DeadJob | None = None) -> list[DeadJob]:
        """A page of dead jobs, those that died last first.

        Args:
            limit: 1 … 1,000,000 jobs.
            before: the last job of the page before this one. Later pages cost no more.

        Raises:
            MissingExtra: there are compressed payloads among them, and zstandard is not installed.
        """
        check_integer(limit, "limit", low=1, high=LARGEST_LIMIT)
        if before is not None and not isinstance(before, DeadJob):
            raise InvalidInput(f"before is {shown(before, 80)}: give the last DeadJob of the page before, or None")
        after = AFTER_ALL if before is None else (to_microseconds(before.died_at, "before.died_at"), before.id)
        return [_dead_job(self.name, row) for row in self._engine.dead_jobs(self.db, self.name, limit, after)]

    def rescue_expired(self, limit: int = 1000) -> int:
        """Take jobs away whose lease has run out, or their worker's, and return how many: at most `limit`.

        They are ready again at once after their first attempt, after the queue's back-off after others, and dead after
        their last one. Workers call this now and then. Jobs that somebody is just acknowledging are left to them.
        """
        check_integer(limit, "limit", low=1, high=LARGEST_LIMIT)
        spread = self._settings.backoff.spread(self._settings.rng)
        with self._transaction("rescue_expired") as connection:
            states = self._engine.rescue_expired(connection, self.name, limit, self._now(), spread=spread)
        if states and self.db.events:
            dead = states.count(JobState.DEAD)
            self.db.events.emit(LeasesRescued(self.name, len(states) - dead, dead))
        return len(states)

    def purge(self, *, older_than: float = 7 * 86_400.0, limit: int = 10_000) -> int:
        """Delete jobs that have been dead for `older_than` seconds, the oldest first, and return how many."""
        check_number(older_than, "older_than", high=1e10)
        check_integer(limit, "limit", low=1, high=LARGEST_LIMIT)
        with self._transaction("purge") as connection:
            purged = self._engine.purge(connection, self.name, limit, self._now() - int(older_than * 1e6))
        return len(purged)

    def pause(self) -> bool:
        """Let no claim of any process find a job here, from claims that begin now until `resume`.

        Jobs still come in, and those that were claimed before go on. False: it is paused already.
        """
        with self._transaction("pause") as connection:
            paused = self._engine.pause(connection, self.name, self._now())
        return len(paused) > 0

    def resume(self) -> bool:
        """Let claims find jobs again. False: the queue is not paused."""
        with self._transaction("resume") as connection:
            resumed = self._engine.resume(connection, self.name)
            if self.notify:
                self._engine.notify(connection, self.name)
        return len(resumed) > 0

    def paused_at(self) -> datetime | None:
        """When the queue was paused; None while it is not."""
        moment = self._engine.paused_at(self.db, self.name)
        return None if moment is None else from_microseconds(moment)

    def counts(self) -> QueueCounts:
        """How many jobs are in each state."""
        return self._engine.counts(self.db, self.name)


def _dead_job(queue: str, row: DeadRow) -> DeadJob:
    died_at, job_id, text, frame, priority, attempts, key, error, enqueued_at = row
    payload = problem = None
    try:
        payload = decode_stored(text, frame)
    except CorruptPayload as failure:  # often what it died of
        problem = str(failure)
    return DeadJob(
        job_id,
        queue,
        payload,
        priority,
        attempts,
        key,
        error,
        from_microseconds(enqueued_at),
        from_microseconds(died_at),
        problem,
    )
