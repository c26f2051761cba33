"""Finished jobs and their results, of a queue that keeps them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from perflab.database.compression import decode_stored
from perflab.database.values import check_integer, check_number, from_microseconds, shown, to_microseconds
from perflab.errors import CorruptPayload, InvalidInput
from perflab.queue.base import AFTER_ALL, LARGEST_LIMIT, QueueBase, each
from perflab.queue.engine import DoneRow
from perflab.queue.job import DoneJob


class QueueDone(QueueBase):
    """The part of a `PriorityQueue` that reads finished jobs. Without `keep_done` there are none."""

    def done_jobs(self, limit: int = 100, *, before: DoneJob | None = None) -> list[DoneJob]:
        """A page of finished jobs, the last ones first.

        Args:
            limit: 1 … 1,000,000 jobs.
            before: the last job of the page before this one. Later pages cost no more.

        Raises:
            MissingExtra: there are compressed payloads among them, and zstandard is not installed.
        """
        check_integer(limit, "limit", low=1, high=LARGEST_LIMIT)
        if before is not None and not isinstance(before, DoneJob):
            raise InvalidInput(f"before is {shown(before, 80)}: give the last DoneJob of the page before, or None")
        after = AFTER_ALL if before is None else (to_microseconds(before.done_at, "before.done_at"), before.id)
        return [_done_job(self.name, row) for row in self._engine.done_jobs(self.db, self.name, limit, after)]

    def find_done(self, ids: Iterable[int]) -> list[DoneJob | None]:
        """The finished job of each id, in their order; None: it is not finished, was purged, or is of another queue."""
        ids = [check_integer(job_id, "a job id") for job_id in each(ids)]
        rows = self._engine.find_done(self.db, self.name, ids) if ids else ()
        found = {job.id: job for job in (_done_job(self.name, row) for row in rows)}
        return [found.get(job_id) for job_id in ids]

    def purge_done(self, *, older_than: float = 7 * 86_400.0, limit: int = 10_000) -> int:
        """Delete jobs that have been finished for `older_than` seconds, the oldest first, and return how many."""
        check_number(older_than, "older_than", high=1e10)
        check_integer(limit, "limit", low=1, high=LARGEST_LIMIT)
        with self._transaction("purge_done") as connection:
            purged = self._engine.purge_done(connection, self.name, limit, self._now() - int(older_than * 1e6))
        return len(purged)


def _done_job(queue: str, row: DoneRow) -> DoneJob:
    done_at, job_id, payload_text, payload_frame, result_text, result_frame, priority, attempts, key, enqueued_at = row
    payload, problem = _decoded(payload_text, payload_frame)
    result, problem_of_result = _decoded(result_text, result_frame)
    return DoneJob(
        job_id,
        queue,
        payload,
        result,
        priority,
        attempts,
        key,
        from_microseconds(enqueued_at),
        from_microseconds(done_at),
        problem or problem_of_result,
    )


def _decoded(text: str, frame: bytes | None) -> tuple[Any, str | None]:
    """The value, and what keeps it from being read."""
    try:
        return decode_stored(text, frame), None
    except CorruptPayload as failure:
        return None, str(failure)
