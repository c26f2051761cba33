"""A worker that empties a queue against a loop by hand, with jobs whose handler does next to nothing.

Both acknowledge one batch and claim the next in one transaction, finished jobs are deleted, and a commit is durable as
the engine has it. A checksum over what the handlers saw belongs to each figure: without the right one there is none.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from perflab.database.database import Database
from perflab.errors import LabError
from perflab.lab.bench.arms import BenchEngine
from perflab.lab.bench.bulk_calls import LEASE_SECONDS, QUEUE
from perflab.lab.bench.comparison import Comparison
from perflab.lab.bench.drain_writes import RAW_TURNS, Lease, Turn
from perflab.lab.sweep.subject import job_payload
from perflab.lab.workloads.flights import load_flights
from perflab.queue.job import Job, NewJob
from perflab.queue.queue import PriorityQueue
from perflab.queue.worker import Worker

JOBS = 20_000
BATCH_SIZES = (100, 1_000)
LIMIT = 1 / 0.8
"""At least 80 % of the throughput."""


class Checksum:
    """What handlers saw: how many jobs, and the sum of their numbers."""

    def __init__(self) -> None:
        self.jobs = 0
        self.total = 0

    def see(self, payload: Any) -> None:
        self.jobs += 1
        self.total += payload["number"]

    def check(self, arm: str) -> None:
        """Refuse a figure of work that was not done.

        Raises:
            LabError: other jobs were seen than there are.
        """
        expected = JOBS, JOBS * (JOBS - 1) // 2
        if (self.jobs, self.total) != expected:
            raise LabError(f"the handlers of {arm!r} saw {(self.jobs, self.total)} instead of {expected}: no figure")


@contextmanager
def filled_queue(engine: BenchEngine) -> Iterator[str]:
    """The URL of a database with jobs of real flights, each with a number of its own."""
    flights = load_flights("week").flights
    jobs = (
        NewJob({**job_payload(flight), "number": number}, flight.priority)
        for number, flight in ((number, flights[number % len(flights)]) for number in range(JOBS))
    )
    with engine.fresh_database() as url:
        with Database.open(url) as database:
            queue = PriorityQueue(database, QUEUE)
            while batch := list(islice(jobs, 1_000)):
                queue.bulk_enqueue(batch)
        engine.settle(url)
        yield url


@dataclass(frozen=True, slots=True)
class OurDrain:
    """One worker with one handler thread, from its start to its end."""

    engine: BenchEngine
    batch_size: int

    @property
    def name(self) -> str:
        return f"Worker, claims of {self.batch_size:,}"

    def visit(self, block: int) -> float:  # noqa: ARG002  # every block drains the same jobs
        checksum = Checksum()

        def handler(job: Job) -> None:
            checksum.see(job.payload)

        # It claims when half of what is claimed ahead has started.
        with filled_queue(self.engine) as url, Database.open(url) as database:
            worker = Worker(
                PriorityQueue(database, QUEUE),
                handler,
                concurrency=1,
                prefetch=2 * self.batch_size,
                batch_size=self.batch_size,
                lease=LEASE_SECONDS,
            )
            start = time.perf_counter()
            worker.run(until_empty=True)
            seconds = time.perf_counter() - start
        checksum.check(self.name)
        return seconds / JOBS


@dataclass(frozen=True, slots=True)
class RawDrain:
    """A loop by hand."""

    name: str
    engine: BenchEngine
    batch_size: int
    turn: Turn

    def visit(self, block: int) -> float:  # noqa: ARG002  # the same
        checksum = Checksum()
        with filled_queue(self.engine) as url, self.engine.connect(url) as connection:
            start = time.perf_counter()
            done: list[Lease] = []
            while True:
                with self.engine.transaction(connection):
                    jobs = self.turn(connection, done, self.batch_size)
                if not jobs:
                    break
                for _, _, payload in jobs:
                    checksum.see(payload)
                done = [(job_id, attempt) for job_id, attempt, _ in jobs]
            seconds = time.perf_counter() - start
        checksum.check(self.name)
        return seconds / JOBS


def drain_comparisons(engine: BenchEngine) -> list[Comparison]:
    """Our worker against the raw loop, for each size of batch."""
    return [
        Comparison(
            name=f"drain of {batch_size:,} at a time",
            engine=engine.name,
            work=f"{JOBS:,} no-op jobs of real flights by one process, deleted when done",
            ours=OurDrain(engine, batch_size),
            others=tuple(RawDrain(name, engine, batch_size, turn) for name, turn in RAW_TURNS[engine.name].items()),
            limit=LIMIT,
        )
        for batch_size in BATCH_SIZES
    ]
