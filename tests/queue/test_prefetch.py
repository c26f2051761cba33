"""How many jobs a worker holds ahead, and for how long a more urgent one waits behind them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.queue.job import Job, NewJob
from perflab.queue.prefetch import MOST_JOBS, PREFETCH_SECONDS, AdaptivePrefetch
from perflab.queue.queue import PriorityQueue
from perflab.queue.worker import Worker, WorkerReport
from tests.processes import A_MINUTE

Queue = PriorityQueue[int, bool]
Running = Callable[..., AbstractContextManager[list[WorkerReport]]]


@pytest.mark.parametrize(("concurrency", "prefetch"), [(1, 0), (1, 1), (1, 8), (3, 9), (4, 0)])
@pytest.mark.parametrize("started_before", [0, 3, 5])
def test_a_more_urgent_job_waits_for_no_more_than_the_bound(
    real_time_queue: Queue, running: Running, concurrency: int, prefetch: int, started_before: int
) -> None:
    """Handlers go on one at a time, so that nothing depends on how fast they are."""
    queue = real_time_queue
    queue.bulk_enqueue(NewJob(number) for number in range(40))
    started: list[object] = []
    one_more, go_on = threading.Semaphore(0), threading.Semaphore(0)

    def handler(job: Job) -> None:
        started.append(job.payload)
        one_more.release()
        assert go_on.acquire(timeout=A_MINUTE)

    worker = Worker(queue, handler, concurrency=concurrency, prefetch=prefetch)
    with running(worker, until_empty=True) as reports:
        for _ in range(concurrency):
            assert one_more.acquire(timeout=A_MINUTE)
        for _ in range(started_before):
            go_on.release()
            assert one_more.acquire(timeout=A_MINUTE)
        queue.enqueue("urgent", -1)
        before = len(started)
        while "urgent" not in started:
            go_on.release()
            assert one_more.acquire(timeout=A_MINUTE)
        go_on.release(100)
    assert reports[0].done == 41
    assert started.index("urgent") - before <= prefetch + concurrency


def test_fast_handlers_get_more_ahead_and_slow_ones_less() -> None:
    prefetch = AdaptivePrefetch(4)
    assert prefetch.jobs == 8
    for _ in range(20):
        prefetch.learn(100, 0.01)
    assert prefetch.jobs == pytest.approx(10_000 * PREFETCH_SECONDS, abs=2)
    for _ in range(40):
        prefetch.learn(1_000, 0.001)
    assert prefetch.jobs == MOST_JOBS
    for _ in range(40):
        prefetch.learn(1, 10.0)
    assert prefetch.jobs == 8


@given(
    st.integers(1, 10_000),
    st.lists(st.tuples(st.integers(0, 10**6), st.floats(0, 1e6, allow_nan=False)), max_size=20),
)
def test_it_stays_within_its_bounds(concurrency: int, news: list[tuple[int, float]]) -> None:
    prefetch = AdaptivePrefetch(concurrency)
    for jobs, seconds in news:
        prefetch.learn(jobs, seconds)
        assert min(2 * concurrency, MOST_JOBS) <= prefetch.jobs <= MOST_JOBS
