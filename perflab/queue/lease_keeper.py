"""Keeping the leases of jobs in hand, and taking those of dead workers away."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from random import Random
from typing import Any

from perflab.queue.job import Job
from perflab.queue.jobs_in_hand import JobsInHand
from perflab.queue.queue import PriorityQueue

logger = logging.getLogger(__name__)

EXTENSIONS_PER_LEASE = 3
"""So that one that fails, or comes late, leaves time for another."""
RESCUED_AT_ONCE = 1_000
"""Jobs in one transaction, so that others get to write in between."""
LONGEST_END_SECONDS = 10.0


class LeaseKeeper:
    """A thread that extends the leases in hand about three times in their length, and rescues expired ones.

    It has a thread of its own, so that neither a busy handler nor a slow claim lets leases run out.

    Args:
        queue: whose leases.
        in_hand: the jobs to keep.
        lease_seconds: to extend by.
        lost: called with jobs whose lease was found lost before they had started; they never will.
        rng: spreads the visits of workers that started together.
    """

    def __init__(
        self,
        queue: PriorityQueue[Any, Any],
        in_hand: JobsInHand,
        lease_seconds: float,
        lost: Callable[[list[Job]], None],
        rng: Random,
    ) -> None:
        self._queue = queue
        self._in_hand = in_hand
        self._lease_seconds = lease_seconds
        self._lost = lost
        self._rng = rng
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="perflab-lease-keeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ending.set()
        self._thread.join(LONGEST_END_SECONDS)

    def _keep(self) -> None:
        interval = self._lease_seconds / EXTENSIONS_PER_LEASE
        while True:
            try:
                self._extend()
                while self._queue.rescue_expired(RESCUED_AT_ONCE) == RESCUED_AT_ONCE:
                    pass
                pause = self._rng.uniform(0.75, 1.0) * interval
            except Exception:
                logger.exception("the leases of queue %s could not be kept; trying again", self._queue.name)
                pause = self._rng.uniform(0.1, 0.2) * interval
            if self._ending.wait(pause):
                return

    def _extend(self) -> None:
        jobs = self._in_hand.jobs()
        kept = self._queue.extend_lease(jobs, self._lease_seconds)
        # One that is False may also have been acknowledged a moment ago; then it is not waiting either.
        lost = self._in_hand.take_waiting(among=[job for job, is_kept in zip(jobs, kept, strict=True) if not is_kept])
        if lost:
            logger.warning("%d leases were lost before their jobs had started", len(lost))
            self._lost(lost)
