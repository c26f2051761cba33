"""How far running jobs are: reported for many at once, and read by id."""

from __future__ import annotations

from collections.abc import Iterable

from perflab.database.values import check_integer, from_microseconds
from perflab.queue.base import QueueBase, each
from perflab.queue.job import JobProgress
from perflab.queue.operations import ProgressItem


class QueueProgress(QueueBase):
    """The part of a `PriorityQueue` that knows how far jobs are."""

    def report_progress(self, reports: Iterable[ProgressItem]) -> list[bool]:
        """Note how far jobs are, for others to read; of several reports for a job the last one counts.

        Args:
            reports: triples of a job, how much of it is done (0 … 1), and a note of up to 2,000 characters.

        Returns:
            False: its lease had been lost.

        Raises:
            InvalidInput: a report is refused; none is written.
        """
        return self._write(self.operations.report_progress, reports)

    def progress(self, ids: Iterable[int]) -> list[JobProgress | None]:
        """The last report of each job, in the order of the ids; None: there is none, or the job is finished."""
        ids = [check_integer(job_id, "a job id") for job_id in each(ids)]
        rows = self._engine.progress(self.db, self.name, ids) if ids else ()
        found = {
            job_id: JobProgress(job_id, attempt, fraction, note, from_microseconds(moment))
            for job_id, attempt, fraction, note, moment in rows
        }
        return [found.get(job_id) for job_id in ids]
