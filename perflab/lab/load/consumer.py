"""One consumer: a `Worker` that works the jobs of a load off, and sees how long after their moment they are done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from perflab.database.database import Database
from perflab.database.pools import Durability
from perflab.lab.load.items import QUEUE
from perflab.lab.load.observed import Observed, by_window
from perflab.lab.workloads.arrivals import Offsets
from perflab.queue.job import Job
from perflab.queue.queue import PriorityQueue
from perflab.queue.worker import Worker


@dataclass(frozen=True, slots=True)
class Completed:
    """What a consumer saw.

    Attributes:
        observed: From the intended moment of a job to the end of its handler, in the windows of the load.
        seen: How often its handler ran.
        done: Jobs whose acknowledgement was taken.
        checksum: Sum of the numbers that the handler saw.
    """

    observed: Observed
    seen: int
    done: int
    checksum: int


class Consumer:
    """A worker, working since it was made, until it is told to stop.

    Args:
        url: Of the database. It may hold a password.
        concurrency: Handlers at a time.
        durability: Of commits.
        bounds: Of the windows.
    """

    def __init__(self, url: str, concurrency: int, durability: Durability, bounds: Offsets) -> None:
        self._bounds = bounds
        self._ends: list[tuple[int, float, float]] = []  # appending is atomic
        self._database = Database.open(url, durability=durability)
        self._worker = Worker(PriorityQueue(self._database, QUEUE), self._handle, concurrency=concurrency)
        self._done = 0
        self._thread = threading.Thread(target=self._work, daemon=True, name="load-consumer")
        self._failure: BaseException | None = None
        self._thread.start()

    def seen(self, _tell: Callable[[object], None]) -> int:
        """How many jobs it has handled by now.

        Raises:
            BaseException: what its worker ended with.
        """
        if self._failure is not None:
            raise self._failure
        return len(self._ends)

    def stop(self, start_at: float, _tell: Callable[[object], None]) -> Completed:
        """Drain, and tell.

        Args:
            start_at: When the schedule began, by `time.time()` of this machine.
        """
        self._worker.stop()
        self._thread.join()
        self._database.close()
        if self._failure is not None:
            raise self._failure
        numbers, due, ended = np.array(self._ends or np.empty((0, 3))).reshape(-1, 3).T
        counted = due >= self._bounds[0]
        seconds = ended - start_at - due
        last_end = float(ended.max() - start_at) if len(ended) else 0.0
        observed = Observed(by_window(due[counted], seconds[counted], self._bounds), last_end=last_end)
        return Completed(observed, len(numbers), self._done, int(numbers.sum()))

    def _work(self) -> None:
        try:
            self._done = self._worker.run().done
        except BaseException as error:  # noqa: BLE001  # told to whoever asks next
            self._failure = error

    def _handle(self, job: Job) -> None:
        payload = job.payload
        if payload["service"]:
            time.sleep(payload["service"])
        self._ends.append((payload["number"], payload["due"], time.time()))
