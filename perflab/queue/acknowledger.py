"""Telling the queue how each job ended, many at a time, and counting the answers."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from concurrent.futures import Future
from functools import partial
from typing import Any, Literal

from perflab.batching.batcher import RequestBatcher
from perflab.errors import PerflabError
from perflab.queue.job import Job
from perflab.queue.jobs_in_hand import JobsInHand
from perflab.queue.queue import PriorityQueue

logger = logging.getLogger(__name__)

End = Literal["done", "failed", "stale", "released", "unacknowledged"]
"""How a claimed job left a worker."""


class Acknowledger:
    """Acknowledges what handlers finish through a batcher, and gives back what they will not."""

    def __init__(self, queue: PriorityQueue[Any, Any], batcher: RequestBatcher, in_hand: JobsInHand) -> None:
        self._queue = queue
        self._batcher = batcher
        self._in_hand = in_hand
        self._lock = threading.Lock()
        self._ends: Counter[End] = Counter()

    def ends(self) -> Counter[End]:
        """How many jobs ended in which way so far."""
        with self._lock:
            return self._ends.copy()

    def count(self, end: End, jobs: int = 1) -> None:
        with self._lock:
            self._ends[end] += jobs

    def finish(self, job: Job, error: BaseException | None) -> None:
        """Acknowledge a job whose handler has ended. Called in the handler's thread; never raises an `Exception`."""
        if not self._in_hand.finish(job):
            return  # it was given back while it ran
        operations = self._queue.operations
        try:
            if error is None:
                self._note(job, "done", operations.mark_done, job)
            else:
                logger.warning(
                    "job %d of queue %s failed on attempt %d of %d",
                    job.id,
                    job.queue,
                    job.attempt,
                    job.max_attempts,
                    exc_info=error,
                )
                self._note(job, "failed", operations.mark_error, (job, error))
        except PerflabError as refusal:
            self._unacknowledged(job, refusal)

    def release(self, jobs: list[Job]) -> None:
        """Give jobs back that this worker has taken out of its hand."""
        if not jobs:
            return
        try:
            released = self._queue.release(jobs).count(True)
        except PerflabError:
            logger.exception("%d jobs could not be given back: their leases will run out", len(jobs))
            self.count("unacknowledged", len(jobs))
        else:
            self.count("released", released)
            self.count("stale", len(jobs) - released)

    def _note(self, job: Job, end: End, operation: Any, item: Any) -> None:
        future = self._batcher.submit(operation, item)
        future.add_done_callback(partial(self._decided, job, end))

    def _decided(self, job: Job, end: End, future: Future[bool]) -> None:
        failure = future.exception()
        if failure is not None:
            self._unacknowledged(job, failure)
            return
        self._in_hand.forget(job)
        self.count(end if future.result() else "stale")

    def _unacknowledged(self, job: Job, failure: BaseException) -> None:
        self._in_hand.forget(job)
        self.count("unacknowledged")
        logger.error(
            "the end of job %d could not be written: its lease will run out, and it will run again",
            job.id,
            exc_info=failure,
        )
