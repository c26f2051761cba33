"""How soon an idle worker in another process starts a job: from before the call that enqueues it to its handler.

On PostgreSQL both enqueues notify, and both workers listen. SQLite notifies nobody: both look again and again. What
other queues take is asked by `perflab peers`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from perflab.database.database import Database
from perflab.errors import LabError
from perflab.lab.bench.arms import BenchEngine
from perflab.lab.bench.bulk_calls import QUEUE, JobRow
from perflab.lab.bench.comparison import Comparison
from perflab.lab.bench.start_workers import LOOK_SECONDS, OurWaiting, RawWaiting
from perflab.lab.bench.start_writes import RAW_ENQUEUES, EnqueueOne
from perflab.lab.load.process import LoadProcess
from perflab.lab.sweep.subject import job_payload
from perflab.lab.workloads.flights import load_flights
from perflab.queue.queue import PriorityQueue

WARM_UP_JOBS = 10
JOBS = 50
PAUSE_SECONDS = (0.02, 0.06)
"""From the start of one job to the next enqueue. By then the worker has acknowledged, and is idle; they vary, so that
looks and enqueues do not fall into step."""


@dataclass(frozen=True, slots=True)
class OurStart:
    """A job at a time."""

    engine: BenchEngine
    name: str = "PriorityQueue.enqueue, Worker"

    def visit(self, block: int) -> float:
        with self.engine.fresh_database() as url, Database.open(url) as database:
            queue: PriorityQueue[int, bool] = PriorityQueue(database, QUEUE)
            worker = LoadProcess("our worker", OurWaiting, url)
            return _median_start(worker, lambda row: queue.enqueue(row.payload, row.priority), block)


@dataclass(frozen=True, slots=True)
class RawStart:
    """The same by hand on both sides."""

    name: str
    engine: BenchEngine
    enqueue: EnqueueOne

    def visit(self, block: int) -> float:
        with self.engine.fresh_database() as url, self.engine.connect(url) as connection:

            def enqueue(row: JobRow) -> None:
                with self.engine.transaction(connection):
                    self.enqueue(connection, row)

            return _median_start(LoadProcess("the raw worker", RawWaiting, self.engine, url), enqueue, block)


def _median_start(worker: LoadProcess, enqueue: Callable[[JobRow], object], block: int) -> float:
    """Seconds: the median of the jobs of a visit.

    Raises:
        LabError: the worker has started another job than the one that was enqueued, or has failed.
    """
    pause = Random(block)
    flights = load_flights("week").flights
    seconds: list[float] = []
    with worker:
        worker.order("work", WARM_UP_JOBS + JOBS)
        for number in range(WARM_UP_JOBS + JOBS):
            flight = flights[number]
            row = JobRow(flight.priority, {**job_payload(flight), "number": number})
            time.sleep(pause.uniform(*PAUSE_SECONDS))
            sent = time.monotonic()  # which is one clock for the processes of a machine
            enqueue(row)
            kind, started = worker.receive()
            if kind == "error":
                raise started
            if started[0] != number:
                raise LabError(f"job {number} was enqueued, and job {started[0]} has started: no figure")
            seconds.append(started[1] - sent)
        worker.receive()  # that it has ended, before its database goes
    return statistics.median(seconds[WARM_UP_JOBS:])


def start_comparison(engine: BenchEngine) -> Comparison:
    """Without a limit: what is promised is to be no later than other queues, which `perflab peers` measures."""
    waits = "both listen" if engine.name == "postgresql" else f"both look every {1_000 * LOOK_SECONDS:g} ms at most"
    return Comparison(
        name="start of a job",
        engine=engine.name,
        work="from before a job is enqueued to its handler in an idle worker process: the median of "
        f"{JOBS} jobs, 20 to 60 ms apart; {waits}",
        ours=OurStart(engine),
        others=tuple(RawStart(name, engine, enqueue) for name, enqueue in RAW_ENQUEUES[engine.name].items()),
        limit=None,
    )
