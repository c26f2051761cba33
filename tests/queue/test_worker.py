"""What a worker does with handlers and a database that behave."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest

from perflab.batching.batcher import RequestBatcher
from perflab.database.database import Database
from perflab.errors import InvalidInput
from perflab.events import Event, JobsFinished
from perflab.queue.job import Job, NewJob, QueueCounts
from perflab.queue.queue import PriorityQueue, utc_now
from perflab.queue.worker import Worker, WorkerReport

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


@pytest.mark.parametrize("prefetch", [None, 0, 1, 50])
def test_every_job_is_handled_once_and_done(queue: Queue, kind: Kind, prefetch: int | None, report: Report) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(120))
    handled: list[int] = []
    worker = Worker(queue, kind(lambda job: handled.append(job.payload)), concurrency=3, prefetch=prefetch)
    assert worker.run(until_empty=True) == report(done=120)
    assert sorted(handled) == list(range(120))
    assert queue.counts() == EMPTY


def test_one_at_a_time_means_by_priority(queue: Queue, kind: Kind) -> None:
    queue.bulk_enqueue([NewJob("b", 2), NewJob("c", 3), NewJob("a", 1)])
    handled: list[str] = []
    Worker(queue, kind(lambda job: handled.append(job.payload)), concurrency=1).run(until_empty=True)
    assert handled == ["a", "b", "c"]


def test_a_def_handler_runs_in_as_many_threads_as_stated(queue: Queue, report: Report) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(12))
    together = threading.Barrier(4)
    inside: list[int] = []
    most: list[int] = []

    def handler(job: Job) -> None:
        inside.append(job.id)
        most.append(len(inside))
        together.wait(A_MINUTE)  # passes only if four are in here
        inside.remove(job.id)

    assert Worker(queue, handler, concurrency=4).run(until_empty=True) == report(done=12)
    assert max(most) <= 4 + 3  # up to three may not have left yet when the next four come in


def test_an_async_handler_runs_as_many_jobs_at_a_time_as_stated(queue: Queue, report: Report) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(25))
    inside: set[int] = set()
    most: list[int] = []

    async def handler(job: Job) -> None:
        inside.add(job.id)
        most.append(len(inside))
        await asyncio.sleep(0.001)
        inside.discard(job.id)

    assert Worker(queue, handler, concurrency=5, prefetch=20).run(until_empty=True) == report(done=25)
    assert max(most) == 5


class CallableHandler:
    def __init__(self) -> None:
        self.jobs: list[Job] = []

    async def __call__(self, job: Job) -> None:
        await asyncio.sleep(0)
        self.jobs.append(job)


def test_handlers_may_be_objects_and_partials(queue: Queue, report: Report) -> None:
    queue.bulk_enqueue([NewJob(1), NewJob(2)])
    handler = CallableHandler()
    assert Worker(queue, handler).run(until_empty=True) == report(done=2)

    async def keep(kept: list[Job], job: Job) -> None:
        await asyncio.sleep(0)
        kept.append(job)

    queue.enqueue(3)
    assert Worker(queue, functools.partial(keep, handler.jobs)).run(until_empty=True) == report(done=1)
    assert sorted(job.payload for job in handler.jobs) == [1, 2, 3]


def test_jobs_that_arrive_while_it_runs_are_handled(queue: Queue, report: Report, running: Running) -> None:
    handled = threading.Semaphore(0)
    worker = Worker(queue, lambda _job: handled.release(), poll_interval=0.005)
    with running(worker) as reports:
        for number in range(5):
            queue.enqueue(number)
            assert handled.acquire(timeout=A_MINUTE)
    assert reports == [report(done=5)]


def test_a_handler_may_enqueue_more_and_until_empty_waits_for_it(queue: Queue, report: Report) -> None:
    queue.enqueue(5)

    def handler(job: Job) -> None:
        if job.payload:
            queue.enqueue(job.payload - 1)

    assert Worker(queue, handler, concurrency=1).run(until_empty=True) == report(done=6)


def test_no_more_is_claimed_than_is_run_and_prefetched(queue: Queue, report: Report, running: Running) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(50))
    go_on = threading.Event()
    inside = threading.Semaphore(0)

    def handler(_job: Job) -> None:
        inside.release()
        go_on.wait(A_MINUTE)

    with running(Worker(queue, handler, concurrency=2, prefetch=7), until_empty=True) as reports:
        for _ in range(2):
            inside.acquire(timeout=A_MINUTE)
        while queue.counts().running < 9:
            time.sleep(0.001)
        assert queue.counts() == QueueCounts(scheduled=0, ready=41, running=9, dead=0)
        go_on.set()
    assert reports == [report(done=50)]


def test_acknowledgements_go_in_batches(queue: Queue) -> None:
    queue.bulk_enqueue(NewJob(number) for number in range(1_000))
    finished: list[int] = []

    def note(event: Event) -> None:
        if isinstance(event, JobsFinished):
            finished.append(event.done)

    # However slow the handlers are here, looks into the empty queue get rarer twice as fast.
    worker = Worker(
        queue, lambda _job: None, prefetch=1_000, flush_interval=3600, batch_size=100, poll_interval=3600, listen=False
    )
    with queue.db.events.listening(note):
        worker.run(until_empty=True)
    assert sum(finished) == 1_000
    assert len(finished) < 100


@pytest.mark.case("F01")
def test_jobs_of_a_worker_that_died_are_taken_over(
    database: Database, queue: Queue, report: Report, running: Running
) -> None:
    queue.bulk_enqueue([NewJob(1), NewJob(2)])
    assert len(queue.claim(2, 1)) == 2
    later: Queue = PriorityQueue(database, now=lambda: utc_now() + timedelta(hours=1))
    attempts = threading.Semaphore(0)
    with running(Worker(later, lambda _job: attempts.release(), poll_interval=0.005)) as reports:
        for _ in range(2):
            assert attempts.acquire(timeout=A_MINUTE)
    assert reports == [report(done=2)]


def test_listeners_hear_of_each_job_that_ends(queue: Queue) -> None:
    queue.bulk_enqueue(NewJob(number, max_attempts=2 - number // 2) for number in range(3))
    heard: list[Event] = []

    def handler(job: Job) -> None:
        if job.payload:
            raise ValueError

    with queue.db.events.listening(heard.append):
        Worker(queue, handler).run(until_empty=True)
    finished = [event for event in heard if isinstance(event, JobsFinished)]
    assert sum(event.done for event in finished) == 1
    assert sum(event.retried for event in finished) == 1
    assert sum(event.dead for event in finished) == 1


def test_a_worker_of_a_write_behind_queue_works_the_same(database: Database, report: Report) -> None:
    with RequestBatcher(database) as batcher:
        queue = PriorityQueue(database, "q", batcher)
        job_ids = [queue.enqueue(number) for number in range(10)]
        batcher.flush()
        assert len({job_id.result() for job_id in job_ids}) == 10
        assert Worker(queue, lambda _job: None).run(until_empty=True) == report(done=10)


def test_the_worker_is_named_in_the_table(queue: Queue) -> None:
    queue.enqueue(1)
    seen: list[Any] = []
    worker = Worker(queue, lambda _job: seen.extend(queue.db.fetch("SELECT name FROM perflab_workers")), name="Käthe")
    worker.run(until_empty=True)
    assert seen == [("Käthe",)]
    assert str(os.getpid()) in Worker(queue, print).name


@pytest.mark.parametrize(
    "wrong",
    [
        {"handler": None},
        {"concurrency": 0},
        {"concurrency": True},
        {"prefetch": -1},
        {"prefetch": 1.5},
        {"timeout": 0},
        {"timeout": "1"},
        {"lease": 0},
        {"lease": float("inf")},
        {"poll_interval": 0},
        {"poll_interval": "0.1"},
        {"drain_timeout": -1},
        {"batch_size": 0},
        {"flush_interval": float("nan")},
        {"name": "a\x00"},
        {"name": 7},
    ],
    ids=str,
)
def test_a_bad_setting_is_refused(queue: Queue, wrong: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"handler": print, **wrong}
    with pytest.raises(InvalidInput):
        Worker(queue, arguments.pop("handler"), **arguments)
