"""Jobs that are enqueued and handled all the time, while something happens to the database; what became of each."""

from __future__ import annotations

import threading
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Self

from perflab.batching.batcher import RequestBatcher
from perflab.batching.retry import RetryPolicy
from perflab.database.database import Database
from perflab.queue.job import Job, NewJob
from perflab.queue.queue import PriorityQueue
from perflab.queue.worker import Worker

PATIENCE_SECONDS = 120.0
QUICK = RetryPolicy(base_seconds=0.01, cap_seconds=0.2, delivery_timeout=PATIENCE_SECONDS)


@dataclass(frozen=True, slots=True)
class Conservation:
    """What became of all jobs: numbers of jobs.

    Attributes:
        submitted: handed to the batcher.
        acknowledged: whose enqueue was answered with an id.
        lost: acknowledged, and never handled.
        unexpected: handled, though their enqueue failed; with an unknown outcome that may be.
        repeated: handled more than once, which at-least-once allows.
    """

    submitted: int
    acknowledged: int
    lost: int
    unexpected: int
    repeated: int


class Traffic:
    """Enqueues jobs at a rate through a batcher, and works them off, in one process, for the length of a block.

    Args:
        url: of a database with perflab's tables.
        rate: jobs per second; None: as many as are taken.
    """

    def __init__(self, url: str, *, rate: float | None = 300.0) -> None:
        self._rate = rate
        self._database = Database.open(url, durability="full", busy_timeout=PATIENCE_SECONDS)
        self._queue: PriorityQueue[Any, Any] = PriorityQueue(self._database, "traffic")
        self._batcher = RequestBatcher(self._database, batch_size=200, flush_interval=0.005, retry=QUICK)
        self._worker = self._another()
        self._submitted = 0
        self._failed: set[int] = set()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._submit), threading.Thread(target=self._worker.run)]
        self.acknowledged = array("d")
        """When each was, and before it when it was handed in: two times for each, so that an hour fits into memory."""
        self.handled = array("d")
        """When each was."""
        self._handled = array("q")

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._threads[0].join()
        self._worker.stop()
        self._threads[1].join()
        self._batcher.close(timeout=PATIENCE_SECONDS)
        self._database.close()

    @property
    def retries(self) -> int:
        return self._batcher.metrics().retries

    def finish(self) -> Conservation:
        """Stop enqueueing, work off the rest, and count."""
        self._stop.set()
        self._threads[0].join()
        self._batcher.flush(PATIENCE_SECONDS)
        self._worker.stop()
        self._threads[1].join()
        while self._queue.counts().unfinished:  # claims whose answer was lost, until their lease ends
            self._another().run(until_empty=True)
        times = Counter(self._handled)
        good = set(range(self._submitted)) - self._failed
        return Conservation(
            submitted=self._submitted,
            acknowledged=len(good),
            lost=len(good - times.keys()),
            unexpected=len(self._failed & times.keys()),
            repeated=sum(count > 1 for count in times.values()),
        )

    def _another(self) -> Worker:
        return Worker(self._queue, self._handle, lease=3.0, poll_interval=0.02)

    def _handle(self, job: Job) -> None:
        self._handled.append(job.payload)
        self.handled.append(time.monotonic())

    def _submit(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            note = partial(self._note, number=self._submitted, submitted=time.monotonic())
            job = NewJob(self._submitted)
            self._submitted += 1
            self._batcher.submit(self._queue.operations.enqueue, job, timeout=PATIENCE_SECONDS).add_done_callback(note)
            if self._rate is not None:
                due += 1 / self._rate
                self._stop.wait(max(due - time.monotonic(), 0.0))

    def _note(self, ended: Future[int], *, number: int, submitted: float) -> None:
        if ended.exception() is None:
            self.acknowledged.extend((submitted, time.monotonic()))
        else:
            self._failed.add(number)


def longest_gap(moments: Sequence[float], start: float, end: float) -> float:
    """The longest time within a span in which nothing came, in seconds."""
    within = [start, *sorted(moment for moment in moments if start < moment < end), end]
    return max(later - earlier for earlier, later in pairwise(within))
