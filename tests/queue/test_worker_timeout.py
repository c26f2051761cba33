"""Handlers that take too long."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from perflab.errors import HandlersStuck
from perflab.queue.job import Job, NewJob, QueueCounts
from perflab.queue.queue import PriorityQueue
from perflab.queue.worker import Worker, WorkerReport
from tests.processes import A_MINUTE, wait_for

Queue = PriorityQueue[int, bool]
Report = Callable[..., WorkerReport]
TIMEOUT = 1_000.0


@pytest.fixture
def queue(real_time_queue: Queue) -> Queue:
    return real_time_queue


class Clock:
    """Goes on by itself, and leaps where a handler takes too long: no test depends on how fast the machine is."""

    def __init__(self) -> None:
        self.leapt_seconds = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.leapt_seconds

    def leap(self) -> None:
        self.leapt_seconds += 2 * TIMEOUT


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What handlers of a test wait for; opened at its end, so that no thread stays."""
    event = threading.Event()
    yield event
    event.set()


def test_a_slow_handler_fails_its_job_and_others_go_on(
    queue: Queue, gate: threading.Event, clock: Clock, report: Report
) -> None:
    queue.enqueue("slow", max_attempts=1)
    queue.bulk_enqueue(NewJob(number) for number in range(10))

    def handler(job: Job) -> None:
        if job.payload == "slow":
            clock.leap()
            gate.wait(A_MINUTE)

    worker = Worker(queue, handler, concurrency=1, timeout=TIMEOUT, monotonic=clock)
    assert worker.run(until_empty=True) == report(done=10, failed=1)
    (dead,) = queue.dead_jobs()
    assert dead.error == "TimeoutError: it had not ended after 1000 seconds"


def test_the_late_end_of_a_slow_handler_does_not_count(
    queue: Queue, gate: threading.Event, clock: Clock, report: Report
) -> None:
    queue.enqueue(1)
    ended = threading.Event()

    def handler(_job: Job) -> None:
        clock.leap()
        gate.wait(A_MINUTE)
        ended.set()

    assert Worker(queue, handler, timeout=TIMEOUT, monotonic=clock).run(until_empty=True) == report(failed=1)
    gate.set()
    assert ended.wait(A_MINUTE)
    assert queue.counts() == QueueCounts(scheduled=1, ready=0, running=0, dead=0)


@pytest.mark.case("F08")
def test_a_slow_async_handler_is_cancelled(queue: Queue, clock: Clock, report: Report) -> None:
    queue.bulk_enqueue([NewJob("slow"), NewJob(1), NewJob(2)])
    cancelled: list[object] = []

    async def handler(job: Job) -> None:
        if job.payload == "slow":
            clock.leap()
            try:
                await asyncio.sleep(A_MINUTE)
            finally:
                cancelled.append(job.payload)

    worker = Worker(queue, handler, concurrency=1, timeout=TIMEOUT, monotonic=clock)
    assert worker.run(until_empty=True) == report(done=2, failed=1)
    assert cancelled == ["slow"]


def test_handlers_that_take_less_are_left_alone(queue: Queue, kind: Callable[..., object], report: Report) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(200))
    worker = Worker(queue, kind(lambda _job: None), timeout=A_MINUTE)  # type: ignore[arg-type]
    assert worker.run(until_empty=True) == report(done=200)


def test_where_too_many_threads_do_not_come_back_the_worker_ends_and_says_so(
    queue: Queue, gate: threading.Event, clock: Clock
) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(10))
    inside: list[int] = []

    def handler(job: Job) -> None:
        inside.append(job.payload)
        clock.leap()
        gate.wait(A_MINUTE)

    with pytest.raises(HandlersStuck, match="2 handlers"):
        Worker(queue, handler, concurrency=2, timeout=TIMEOUT, drain_timeout=0, monotonic=clock).run()
    assert len(inside) in (3, 4), "two, and those that took their places"
    counts = queue.counts()
    assert (counts.running, counts.unfinished) == (0, 10), "none is lost"
    assert counts.scheduled >= 3, "those whose time was up have failed"


def test_time_runs_out_while_draining_too(queue: Queue, gate: threading.Event, clock: Clock, report: Report) -> None:
    queue.enqueue(1)

    def handler(_job: Job) -> None:
        worker.stop()
        clock.leap()
        gate.wait(A_MINUTE)

    worker = Worker(queue, handler, timeout=TIMEOUT, drain_timeout=80 * TIMEOUT, monotonic=clock)
    assert worker.run() == report(failed=1)
    wait_for(lambda: queue.counts().scheduled == 1)
