"""How a worker and its queue exchange jobs: ended ones go back, and the next ones come, in one round trip."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any, Literal

from perflab.errors import PerflabError
from perflab.queue.held_lease import HeldLease
from perflab.queue.job import Job
from perflab.queue.jobs_in_hand import Failure, JobsInHand
from perflab.queue.queue import PriorityQueue

logger = logging.getLogger(__name__)

End = Literal["done", "failed", "stale", "released"]
"""How a claimed job left a worker."""


class Exchange:
    """Acknowledges what has ended, claims what is next, and counts both. Used by one thread at a time.

    Args:
        queue: of the jobs.
        in_hand: where they come from, and go to.
    """

    def __init__(self, queue: PriorityQueue[Any, Any], in_hand: JobsInHand) -> None:
        self._queue = queue
        self._in_hand = in_hand
        self.claimed = 0
        self.ends: Counter[End] = Counter()

    def swap(self, lease: HeldLease, room: int) -> int:
        """Acknowledge what has ended, and claim up to `room` jobs into the hand.

        Returns:
            How many were claimed.

        Raises:
            DatabaseError: nothing is known to be written, and what has ended is still to be acknowledged.
        """
        if room <= 0:
            self.acknowledge()
            return 0
        ended = self._in_hand.take_ended()
        try:
            self._acknowledge_failures(ended.failed)
            with lease.claiming() as held:
                accepted, jobs = self._queue.mark_done_and_claim(ended.done, room, held)
                if jobs is None:
                    lease.doubt()
                    jobs = []
                self._in_hand.add(jobs)
        except BaseException:
            self._in_hand.put_back()
            raise
        self._count("done", accepted)
        self._in_hand.acknowledged()
        self.claimed += len(jobs)
        return len(jobs)

    def acknowledge(self) -> None:
        """Acknowledge what has ended.

        Raises:
            DatabaseError: as above.
        """
        ended = self._in_hand.take_ended()
        try:
            self._acknowledge_failures(ended.failed)
            accepted = self._queue.mark_done_bulk(ended.done)
        except BaseException:
            self._in_hand.put_back()
            raise
        self._count("done", accepted)
        self._in_hand.acknowledged()

    def release(self, jobs: list[Job]) -> None:
        """Give jobs back that were taken out of the hand."""
        if not jobs:
            return
        try:
            self._count("released", self._queue.release(jobs))
        except PerflabError:
            logger.exception("%d jobs could not be given back: their lease will run out", len(jobs))

    def close(self, lease: HeldLease) -> None:
        """Give the lease up, with what it still holds."""
        try:
            lease.close()
        except PerflabError:
            logger.exception("the lease could not be closed: what it holds comes free when it runs out")

    def lost(self, jobs: list[Job]) -> None:
        """Jobs went to others before they had started."""
        self.ends["stale"] += len(jobs)

    def _acknowledge_failures(self, failures: list[Failure]) -> None:
        """They are few: a round trip of their own, before the others, and forgotten once it is made."""
        if not failures:
            return
        for job, error in failures:
            logger.warning(
                "job %d of queue %s failed on attempt %d of %d",
                job.id,
                job.queue,
                job.attempt,
                job.max_attempts,
                exc_info=error,
            )
        accepted = self._queue.mark_error_bulk(failures)
        failures.clear()
        self._count("failed", accepted)

    def _count(self, end: End, accepted: list[bool]) -> None:
        good = accepted.count(True)
        self.ends[end] += good
        self.ends["stale"] += len(accepted) - good
