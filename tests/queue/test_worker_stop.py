"""How a worker stops: nothing is left leased."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from perflab.errors import LifecycleError
from perflab.queue.job import Job, NewJob, QueueCounts
from perflab.queue.queue import PriorityQueue
from perflab.queue.worker import Worker, WorkerReport
from tests.processes import wait_for

Queue = PriorityQueue[int, bool]
Handler = Callable[[Job], object]
Kind = Callable[[Handler], Handler]
Report = Callable[..., WorkerReport]
Running = Callable[..., AbstractContextManager[list[WorkerReport]]]
EMPTY = QueueCounts(scheduled=0, ready=0, running=0, dead=0)
A_MINUTE = 60.0
"""Long enough to be a failure; nothing waits for it otherwise."""


@pytest.fixture
def queue(real_time_queue: Queue) -> Queue:
    return real_time_queue


def test_a_handler_may_stop_its_worker(queue: Queue, kind: Kind, report: Report) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(20))

    def handler(job: Job) -> None:
        if job.payload == 2:
            worker.stop()

    worker = Worker(queue, kind(handler), concurrency=1, prefetch=4)
    result = worker.run()
    assert result == report(done=result.done, released=result.released)
    assert result.done >= 3
    assert queue.counts() == QueueCounts(scheduled=0, ready=20 - result.done, running=0, dead=0)
    assert worker.run() == report(), "a stopped worker stays stopped"


def test_running_jobs_may_end_while_draining(queue: Queue, report: Report, running: Running) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(10))
    inside, go_on = threading.Event(), threading.Event()

    def handler(_job: Job) -> None:
        inside.set()
        go_on.wait(A_MINUTE)

    def end_when_the_others_are_back() -> None:
        wait_for(lambda: queue.counts().running == 1)
        go_on.set()

    with running(Worker(queue, handler, concurrency=1, prefetch=3)) as reports:
        assert inside.wait(A_MINUTE)
        wait_for(lambda: queue.counts().running == 4)
        draining = threading.Thread(target=end_when_the_others_are_back)
        draining.start()
    draining.join()
    assert reports == [report(done=1, released=3)]


@pytest.mark.case("F05")
def test_what_does_not_end_in_time_is_given_back_and_its_late_end_does_not_count(
    queue: Queue, report: Report, running: Running
) -> None:
    queue.enqueue(1)
    inside, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def handler(_job: Job) -> None:
        inside.set()
        go_on.wait(A_MINUTE)
        ended.set()

    with running(Worker(queue, handler, drain_timeout=0)) as reports:
        assert inside.wait(A_MINUTE)
    assert reports == [report(released=1)]
    go_on.set()
    assert ended.wait(A_MINUTE)
    (job,) = queue.claim()
    assert (job.attempt, job.max_attempts) == (2, 6)


def test_an_async_handler_is_cancelled_when_its_time_is_up(queue: Queue, report: Report, running: Running) -> None:
    queue.enqueue(1)
    inside = threading.Event()
    cleaned_up: list[bool] = []

    async def handler(_job: Job) -> None:
        inside.set()
        try:
            await asyncio.sleep(A_MINUTE)
        finally:
            cleaned_up.append(True)

    with running(Worker(queue, handler, drain_timeout=0)) as reports:
        assert inside.wait(A_MINUTE)
    assert reports == [report(released=1)]
    assert cleaned_up == [True]
    assert queue.counts() == QueueCounts(scheduled=0, ready=1, running=0, dead=0)


def test_a_signal_in_the_main_thread_drains_and_the_handlers_of_before_come_back(queue: Queue, report: Report) -> None:
    before = signal.getsignal(signal.SIGTERM)
    queue.bulk_enqueue(NewJob(number) for number in range(5))

    def handler(job: Job) -> None:
        if job.payload == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    assert Worker(queue, handler, concurrency=1).run() == report(done=5)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_worker_runs_once_at_a_time(queue: Queue, running: Running) -> None:
    worker = Worker(queue, lambda _job: None)
    queue.enqueue(1)
    with running(worker):
        while queue.counts() != EMPTY:
            time.sleep(0.001)
        with pytest.raises(LifecycleError, match="running already"):
            worker.run()


def test_a_worker_that_ran_until_empty_can_run_again(queue: Queue, report: Report) -> None:
    worker = Worker(queue, lambda _job: None)
    for _ in range(2):
        queue.enqueue(1)
        assert worker.run(until_empty=True) == report(done=1)
