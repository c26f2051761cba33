"""What it costs to be watched: the same submits with all of monitoring on, and with nobody listening."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from perflab.batching.batcher import RequestBatcher
from perflab.database.database import Database
from perflab.lab.bench.arms import BenchEngine
from perflab.lab.bench.bulk_calls import QUEUE
from perflab.lab.bench.comparison import Comparison
from perflab.monitoring.failure_log import FailureLog
from perflab.monitoring.publishing import MetricsPublisher
from perflab.monitoring.registry import MetricsRegistry
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue

BATCH_SIZE = 100
WARM_UP_BATCHES, TIMED_BATCHES = 20, 200
LARGEST_RATIO = 1.03


@dataclass(frozen=True, slots=True)
class Submits:
    """One thread that submits jobs as fast as their batches are written, and asks for all results."""

    engine: BenchEngine
    is_watched: bool

    @property
    def name(self) -> str:
        return "registry, failure log and publisher" if self.is_watched else "nobody listens"

    def visit(self, block: int) -> float:  # noqa: ARG002  # every block writes the same jobs
        with self.engine.fresh_database() as url, Database.open(url) as database:
            queue: PriorityQueue[int, bool] = PriorityQueue(database, QUEUE)
            jobs = [NewJob(number) for number in range(BATCH_SIZE)]
            with self._watching(database), RequestBatcher(database, BATCH_SIZE, 60.0) as batcher:

                def write(batches: int) -> None:
                    futures = [batcher.submit(queue.operations.enqueue, job) for _ in range(batches) for job in jobs]
                    for future in futures:
                        future.result()

                write(WARM_UP_BATCHES)
                start = time.perf_counter()
                write(TIMED_BATCHES)
                return (time.perf_counter() - start) / (TIMED_BATCHES * BATCH_SIZE)

    @contextmanager
    def _watching(self, database: Database) -> Iterator[None]:
        with ExitStack() as stack:
            if self.is_watched:
                registry = MetricsRegistry()
                stack.enter_context(registry.observing(database))
                stack.enter_context(FailureLog(database))
                stack.enter_context(MetricsPublisher(registry, database))
            yield


def monitoring_comparison(engine: BenchEngine) -> Comparison:
    """Held to 3 % of the throughput at a batch size of 100."""
    return Comparison(
        name="monitoring",
        engine=engine.name,
        work=f"{TIMED_BATCHES * BATCH_SIZE:,} enqueues of one thread through a batcher of {BATCH_SIZE}, all results",
        ours=Submits(engine, is_watched=True),
        others=(Submits(engine, is_watched=False),),
        limit=LARGEST_RATIO,
    )
