"""Workers that wait for jobs in a process of their own, and tell when each has started. See `start_latency.py`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from perflab.database.database import Database
from perflab.lab.bench.arms import BenchEngine
from perflab.lab.bench.bulk_calls import LEASE_SECONDS, QUEUE
from perflab.lab.bench.drain_writes import RAW_TURNS, Lease
from perflab.queue.engine import CHANNEL
from perflab.queue.job import Job
from perflab.queue.queue import PriorityQueue
from perflab.queue.worker import Worker

LOOK_SECONDS = 0.01
"""The longest pause between two looks of one who is told nothing."""
LISTEN_SECONDS = 1.0
JOBS_AT_ONCE = 100

Tell = Callable[[tuple[int, float]], None]
"""Takes the number of a job, and when its handler began, by `time.monotonic`."""


class OurWaiting:
    """A `Worker` with one handler thread."""

    def __init__(self, url: str) -> None:
        self._url = url

    def work(self, jobs: int, tell: Tell) -> None:
        """Until so many jobs have started."""

        def handler(job: Job) -> None:
            started = time.monotonic()
            tell((job.payload["number"], started))
            if job.payload["number"] == jobs - 1:
                worker.stop()

        with Database.open(self._url) as database:
            worker = Worker(
                PriorityQueue(database, QUEUE), handler, concurrency=1, lease=LEASE_SECONDS, poll_interval=LOOK_SECONDS
            )
            worker.run()


class RawWaiting:
    """A loop by hand; one turn acknowledges what is done, and claims what is next."""

    def __init__(self, engine: BenchEngine, url: str) -> None:
        self._engine = engine
        self._url = url

    def work(self, jobs: int, tell: Tell) -> None:
        """Until so many jobs have started."""
        (turn,) = RAW_TURNS[self._engine.name].values()
        with self._engine.connect(self._url) as connection:
            wait = _waiting(self._engine, connection)
            done: list[Lease] = []
            last = -1
            while last < jobs - 1:
                with self._engine.transaction(connection):
                    claimed = turn(connection, done, JOBS_AT_ONCE)
                for _, _, payload in claimed:
                    started = time.monotonic()
                    last = payload["number"]
                    tell((last, started))
                done = [(job_id, attempt) for job_id, attempt, _ in claimed]
                if not claimed:
                    wait()


def _waiting(engine: BenchEngine, connection: Any) -> Callable[[], object]:
    """Waits until there may be a job: for a notification, or for the time of the next look."""
    if engine.name == "sqlite":
        return lambda: time.sleep(LOOK_SECONDS)
    connection.execute(f"LISTEN {CHANNEL}")
    return lambda: list(connection.notifies(timeout=LISTEN_SECONDS, stop_after=1))
