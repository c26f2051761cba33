"""The lease of a running worker: kept, and replaced where it is lost or in doubt."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from perflab.queue.job import Job
from perflab.queue.jobs_in_hand import JobsInHand
from perflab.queue.leases import WorkerLease
from perflab.queue.queue import PriorityQueue

logger = logging.getLogger(__name__)

RENEWALS_PER_LEASE = 3
"""So that one that fails, or comes late, leaves time for another."""
RESCUED_AT_ONCE = 1_000
"""Jobs in one transaction, so that others get to write in between."""
LONGEST_END_SECONDS = 10.0


class HeldLease:
    """A thread that renews the lease about three times in its length, and rescues what others have lost.

    It has a thread of its own, so that neither a busy handler nor a slow claim lets the lease run out.

    Args:
        queue: whose lease.
        in_hand: the jobs that it holds.
        name: of the worker, to be seen in the table.
        seconds: of the lease.
        lost: called with jobs that went to others before they had started; they never will here.
        rng: spreads the visits of workers that started together.
    """

    def __init__(
        self,
        queue: PriorityQueue[Any, Any],
        in_hand: JobsInHand,
        name: str,
        seconds: float,
        *,
        lost: Callable[[list[Job]], None],
        rng: Random,
    ) -> None:
        self._queue = queue
        self._in_hand = in_hand
        self._lost = lost
        self._rng = rng
        self._lock = threading.Lock()
        self._lease = queue.open_lease(name, seconds)
        self._is_in_doubt = False
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="perflab-lease", daemon=True)
        self._thread.start()

    @contextmanager
    def claiming(self) -> Iterator[WorkerLease]:
        """The lease, to claim with and to add what was claimed to the jobs in hand.

        If the block fails, it may have claimed jobs that nobody heard of; they are given back before the next one.
        """
        with self._lock:
            if self._is_in_doubt:
                self._replace()
            try:
                yield self._lease
            except BaseException:
                self.doubt()
                raise

    def doubt(self) -> None:
        """A claim may have leased jobs that are not in hand."""
        self._is_in_doubt = True

    def close(self) -> int:
        """End the lease, and give back what it still holds; how many jobs that was."""
        self._ending.set()
        self._thread.join(LONGEST_END_SECONDS)
        return self._queue.close_lease(self._lease)

    def look_after(self) -> bool:
        """Renew the lease, or replace it if it is lost, and rescue jobs; whether there may be jobs to claim now."""
        rescued = 0
        holds = self._renew()
        while (page := self._queue.rescue_expired(RESCUED_AT_ONCE)) == RESCUED_AT_ONCE:
            rescued += page
        return not holds or rescued + page > 0

    def _keep(self) -> None:
        interval = self._lease.seconds / RENEWALS_PER_LEASE
        while True:
            try:
                self.look_after()
                pause = self._rng.uniform(0.75, 1.0) * interval
            except Exception:
                logger.exception("the lease on queue %s could not be kept; trying again", self._queue.name)
                pause = self._rng.uniform(0.1, 0.2) * interval
            if self._ending.wait(pause):
                return

    def _renew(self) -> bool:
        lease = self._lease
        if self._queue.renew_lease(lease) is not None:
            return True
        with self._lock:
            if self._lease is lease and not self._ending.is_set():
                logger.warning("the lease on queue %s was lost", self._queue.name)
                self._replace()
        return False

    def _replace(self) -> None:
        jobs = self._in_hand.jobs()
        self._lease, kept = self._queue.replace_lease(self._lease, jobs)
        self._is_in_doubt = False
        # One that is lost may also run, or have ended: then its acknowledgement will be refused.
        lost = self._in_hand.take_waiting(among=[job for job, is_kept in zip(jobs, kept, strict=True) if not is_kept])
        if lost:
            logger.warning("%d jobs went to others before they had started", len(lost))
            self._lost(lost)
