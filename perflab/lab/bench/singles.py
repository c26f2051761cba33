"""Single submits at saturation against the bulk call, with batches of the same size.

At saturation nobody waits for one item: each producer submits a window of jobs as fast as the buffer lets it, and then
asks every future of the window for its result, in order. So up to four windows are on their way, and a batch fills
while another one is written. The bulk call has the same jobs in lists, and waits for each.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from perflab.batching.async_batcher import AsyncRequestBatcher
from perflab.batching.batcher import RequestBatcher
from perflab.database.database import Database
from perflab.lab.bench.arms import BenchEngine
from perflab.lab.bench.bulk_calls import BATCH_SIZE, QUEUE, enqueue_call
from perflab.lab.bench.comparison import Arm, Comparison
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue

PRODUCERS = 4
WARM_UP_WINDOWS = 2
TIMED_WINDOWS = 8
"""Windows of `BATCH_SIZE` jobs that each producer submits."""
LEAST_SHARE = 0.85
"""Of the throughput of the bulk call that single submits shall reach."""

Windows = Sequence[Sequence[NewJob]]


@contextmanager
def _filled(engine: BenchEngine) -> Iterator[tuple[Database, PriorityQueue[int, bool], Windows, Windows]]:
    """A fresh database with its queue, and the windows that warm up and those that are timed.

    Each producer submits the same jobs again and again: a heap of jobs made ahead would be walked by the garbage
    collector, and only where there is much to collect.
    """
    call = enqueue_call()
    with engine.fresh_database() as url, Database.open(url) as database:
        windows = [call.make_items(call.make_rows(database, number)) for number in range(PRODUCERS)]
        yield database, PriorityQueue(database, QUEUE), windows * WARM_UP_WINDOWS, windows * TIMED_WINDOWS


def _seconds_per_job(write: Callable[[Windows], object], warm_up: Windows, timed: Windows) -> float:
    write(warm_up)
    start = time.perf_counter()
    write(timed)
    return (time.perf_counter() - start) / sum(map(len, timed))


@dataclass(frozen=True, slots=True)
class BulkEnqueue:
    """What is to be reached: one call for each window."""

    engine: BenchEngine
    name: str = "bulk_enqueue"

    def visit(self, block: int) -> float:  # noqa: ARG002  # every block writes the same jobs
        with _filled(self.engine) as (_database, queue, warm_up, timed):

            def write(windows: Windows) -> None:
                for window in windows:
                    queue.bulk_enqueue(window)

            return _seconds_per_job(write, warm_up, timed)


@dataclass(frozen=True, slots=True)
class BareFutures:
    """What a batcher in Python costs at least if nothing overlaps: the bulk call, a bare future for each job, and every
    result set and read.
    """

    engine: BenchEngine
    name: str
    new_future: Callable[[asyncio.AbstractEventLoop], Any]

    def visit(self, block: int) -> float:  # noqa: ARG002
        loop = asyncio.new_event_loop()
        try:
            with _filled(self.engine) as (_database, queue, warm_up, timed):

                def write(windows: Windows) -> None:
                    for window in windows:
                        pending = [(job, self.new_future(loop)) for job in window]
                        ids = queue.bulk_enqueue([job for job, _ in pending])
                        for (_, future), job_id in zip(pending, ids, strict=True):
                            future.set_result(job_id)
                        for _, future in pending:
                            future.result()

                return _seconds_per_job(write, warm_up, timed)
        finally:
            loop.close()


@dataclass(frozen=True, slots=True)
class ThreadSingles:
    """Ours, from four threads."""

    engine: BenchEngine
    name: str = f"RequestBatcher.submit, {PRODUCERS} threads"

    def visit(self, block: int) -> float:  # noqa: ARG002
        with (
            _filled(self.engine) as (database, queue, warm_up, timed),
            RequestBatcher(database, BATCH_SIZE) as batcher,
        ):
            enqueue = queue.operations.enqueue

            def produce(windows: Windows) -> None:
                for window in windows:
                    futures = [batcher.submit(enqueue, job) for job in window]
                    for future in futures:
                        future.result()

            def write(windows: Windows) -> None:
                threads = [
                    threading.Thread(target=produce, args=(windows[number::PRODUCERS],)) for number in range(PRODUCERS)
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()

            return _seconds_per_job(write, warm_up, timed)


@dataclass(frozen=True, slots=True)
class AsyncSingles:
    """Ours, from four coroutines."""

    engine: BenchEngine
    name: str = f"AsyncRequestBatcher.submit, {PRODUCERS} coroutines"

    def visit(self, block: int) -> float:  # noqa: ARG002
        with _filled(self.engine) as (database, queue, warm_up, timed), asyncio.Runner() as runner:
            enqueue = queue.operations.enqueue
            batcher = AsyncRequestBatcher(database, BATCH_SIZE)

            async def produce(windows: Windows) -> None:
                for window in windows:
                    futures = [batcher.submit(enqueue, job) for job in window]
                    for future in futures:
                        await future

            async def produce_all(windows: Windows) -> None:
                await asyncio.gather(*(produce(windows[number::PRODUCERS]) for number in range(PRODUCERS)))

            seconds = _seconds_per_job(lambda windows: runner.run(produce_all(windows)), warm_up, timed)
            runner.run(batcher.close())
            return seconds


def singles_comparisons(engine: BenchEngine) -> list[Comparison]:
    """Each shell against the bulk call on one engine, and, for its floor, bare futures on the bulk call."""
    singles = (
        f"{PRODUCERS} producers that each submit windows of {BATCH_SIZE:,} jobs of real flights, one by one, and then "
        f"read each result; batches of {BATCH_SIZE:,}"
    )
    floor = f"the bulk call with {BATCH_SIZE:,} such jobs, with a future made, set and read for each"

    def against_bulk(name: str, work: str, ours: Arm, limit: float | None) -> Comparison:
        return Comparison(name, engine.name, work, ours, (BulkEnqueue(engine),), limit)

    limit = round(1 / LEAST_SHARE, 3)
    return [
        against_bulk("singles, threads", singles, ThreadSingles(engine), limit),
        against_bulk("singles, asyncio", singles, AsyncSingles(engine), limit),
        against_bulk("futures alone, threads", floor, BareFutures(engine, "bare Future", lambda _loop: Future()), None),
        against_bulk(
            "futures alone, asyncio",
            floor,
            BareFutures(engine, "bare asyncio.Future", lambda loop: loop.create_future()),
            None,
        ),
    ]
