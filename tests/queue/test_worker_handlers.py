"""Handlers may do anything: no job is lost, and the worker goes on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from perflab.queue.job import Job, NewJob, QueueCounts
from perflab.queue.queue import PriorityQueue
from perflab.queue.worker import Worker, WorkerReport

Queue = PriorityQueue[int, bool]
Handler = Callable[[Job], object]
Kind = Callable[[Handler], Handler]
Report = Callable[..., WorkerReport]
A_MINUTE = 60.0
"""Long enough to be a failure; nothing waits for it otherwise."""


@pytest.fixture
def queue(real_time_queue: Queue) -> Queue:
    return real_time_queue


ERRORS = [
    ValueError("wrong"),
    KeyboardInterrupt(),
    SystemExit(3),
    asyncio.CancelledError(),
    GeneratorExit(),
    StopAsyncIteration(),
    RecursionError(),
    BaseException("anything"),
]


def test_whatever_a_handler_raises_is_its_jobs_error(queue: Queue, kind: Kind, report: Report) -> None:
    queue.bulk_enqueue(NewJob(number, max_attempts=1 + number % 2) for number in range(len(ERRORS)))
    queue.enqueue(None, 1)

    def handler(job: Job) -> None:
        if job.payload is not None:
            raise ERRORS[job.payload]

    assert Worker(queue, kind(handler), concurrency=2).run(until_empty=True) == report(failed=len(ERRORS), done=1)
    assert queue.counts() == QueueCounts(scheduled=4, ready=0, running=0, dead=4)
    by_number = "SELECT last_error FROM perflab_jobs ORDER BY CAST(CAST(payload AS TEXT) AS INT)"
    kept = [text for (text,) in queue.db.fetch(by_number)]
    assert [text.partition(":")[0] for text in kept] == [type(error).__name__ for error in ERRORS]


def test_a_def_handler_that_returns_a_coroutine_is_told_so(queue: Queue, report: Report) -> None:
    queue.enqueue(1)

    async def forgotten(_job: Job) -> None:
        await asyncio.sleep(0)

    assert Worker(queue, lambda job: forgotten(job)).run(until_empty=True) == report(failed=1)  # noqa: PLW0108
    assert "async def" in queue.db.fetch("SELECT last_error FROM perflab_jobs")[0][0]


def test_a_handler_that_takes_no_job_fails_its_jobs(queue: Queue, kind: Kind, report: Report) -> None:
    queue.enqueue(1)
    handler: Any = kind(lambda: None)  # type: ignore[misc, arg-type]
    assert Worker(queue, handler).run(until_empty=True) == report(failed=1)


def test_an_async_handler_may_stop_its_loop_or_cancel_what_it_sees(queue: Queue) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(60))

    async def handler(job: Job) -> None:
        if job.payload % 5 == 1:
            asyncio.get_running_loop().stop()
        elif job.payload % 5 == 2:
            current = asyncio.current_task()
            assert current is not None
            current.cancel()
        elif job.payload % 5 == 3:
            for task in asyncio.all_tasks():
                task.cancel()
        elif job.payload % 5 == 4:
            raise SystemExit
        await asyncio.sleep(0)

    result = Worker(queue, handler, concurrency=4).run(until_empty=True)
    assert result.done + result.failed == result.claimed == 60
    assert result.done > 0
    assert queue.counts() == QueueCounts(scheduled=result.failed, ready=0, running=0, dead=0)


def test_tasks_that_an_async_handler_leaves_behind_are_cancelled(queue: Queue, report: Report) -> None:
    queue.enqueue(1)
    cleaned_up: list[bool] = []
    tasks: list[asyncio.Task[None]] = []

    async def linger() -> None:
        try:
            await asyncio.sleep(A_MINUTE)
        finally:
            cleaned_up.append(True)

    async def handler(_job: Job) -> None:
        tasks.append(asyncio.create_task(linger()))
        await asyncio.sleep(0)

    assert Worker(queue, handler).run(until_empty=True) == report(done=1)
    assert cleaned_up == [True]


def test_a_handler_that_acknowledges_by_itself_makes_the_workers_note_stale(queue: Queue, report: Report) -> None:
    queue.bulk_enqueue([NewJob(1), NewJob(2)])
    assert Worker(queue, queue.mark_done).run(until_empty=True) == report(stale=2)


def test_random_handlers_lose_no_job(queue: Queue, kind: Kind, report: Report) -> None:
    rng = Random(5)
    queue.bulk_enqueue(NewJob(rng.choice(["done", "raise", "exit", "own ack"])) for _ in range(300))
    expected = Counter(job for (job,) in queue.db.fetch("SELECT CAST(payload AS TEXT) FROM perflab_jobs"))

    def handler(job: Job) -> None:
        if job.payload == "raise":
            raise ValueError(job.id)
        if job.payload == "exit":
            raise SystemExit(job.id)
        if job.payload == "own ack":
            assert queue.mark_error(job, "by itself")

    result = Worker(queue, kind(handler), concurrency=4, prefetch=10, batch_size=7).run(until_empty=True)
    assert result == report(
        done=expected['"done"'], failed=expected['"raise"'] + expected['"exit"'], stale=expected['"own ack"']
    )
    assert queue.counts() == QueueCounts(scheduled=300 - result.done, ready=0, running=0, dead=0)
