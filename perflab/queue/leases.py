"""One lease for all jobs of a worker: one row in `perflab_workers`, however many jobs there are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from perflab.database.values import check_text, from_microseconds, shown
from perflab.errors import InvalidInput
from perflab.queue.base import QueueBase, each
from perflab.queue.operations import lease_microseconds, lease_of

if TYPE_CHECKING:
    from perflab.queue.job import Job

LONGEST_WORKER_NAME = 200


@dataclass(frozen=True, slots=True)
class WorkerLease:
    """The lease of a worker, as of the call that returned it."""

    id: int
    """Never given twice."""
    worker: str
    """Its name."""
    seconds: float
    """How long it holds after it was opened or renewed."""
    until: datetime


class QueueLeases(QueueBase):
    """The part of a `PriorityQueue` that keeps the leases of workers.

    A lease that has run out is lost for good, as soon as anybody sees that, and so are the jobs claimed with it.
    """

    def open_lease(self, worker: str = "", lease: float = 60.0) -> WorkerLease:
        """Begin a lease to claim jobs with: `queue.claim(limit, opened)`.

        Args:
            worker: its name, to be seen in the table, at most 200 characters.
            lease: seconds until others may have its jobs, unless `renew_lease` is called: best three times as often.
        """
        duration = lease_microseconds(lease)
        check_worker_name(worker)
        with self._transaction("open_lease") as connection:
            until = self._now() + duration
            ids = self._engine.open_lease(connection, self.name, worker, until - duration, lease_until=until)
        return WorkerLease(ids[0], worker, lease, from_microseconds(until))

    def renew_lease(self, lease: WorkerLease) -> WorkerLease | None:
        """Hold all its jobs for as long again, from now.

        Returns:
            None: it has run out, or was closed. What was claimed with it may be with others: `replace_lease` tells.
        """
        duration = _check_lease(lease)
        with self._transaction("renew_lease") as connection:
            until = self._now() + duration
            renewed = self._engine.renew_lease(connection, lease.id, until - duration, lease_until=until)
        return replace(lease, until=from_microseconds(until)) if len(renewed) else None

    def replace_lease(self, lease: WorkerLease, holding: Iterable[Job]) -> tuple[WorkerLease, list[bool]]:
        """Find out what is still held after a lease was lost, or after a claim whose answer never came.

        Such a claim may have leased jobs that nobody knows of, and that a renewed lease would hold for ever. Here the
        old lease is closed, claims still on their way find it gone, and what it held is released, except for `holding`.

        Args:
            lease: to close. It may be gone already.
            holding: jobs to take over into the new lease.

        Returns:
            The new lease, and for each job whether it has it. One that it does not have is no longer yours.
        """
        duration = _check_lease(lease)
        held = [lease_of(job) for job in each(holding)]
        with self._transaction("replace_lease") as connection:
            until = self._now() + duration
            results = self._engine.replace_lease(
                connection, self.name, lease.id, held, until - duration, worker=lease.worker, lease_until=until
            )
        new_id, kept = results[0]
        return WorkerLease(new_id, lease.worker, lease.seconds, from_microseconds(until)), kept

    def close_lease(self, lease: WorkerLease) -> int:
        """End a lease, and return how many jobs it still held: they are released, which costs no attempt."""
        _check_lease(lease)
        with self._transaction("close_lease") as connection:
            released = self._engine.close_lease(connection, self.name, lease.id, self._now())
            if self.notify:
                self._engine.notify(connection, self.name)
        return len(released)


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


def _check_lease(lease: WorkerLease) -> int:
    """Its length in microseconds."""
    if not isinstance(lease, WorkerLease):
        raise InvalidInput(f"the lease is {type(lease).__name__} {shown(lease, 80)}: give what open_lease() returned")
    return lease_microseconds(lease.seconds)
