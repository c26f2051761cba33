"""Idle workers hear of new jobs on PostgreSQL, and find them by looking where they cannot."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta

import pytest

from perflab.database.database import Database
from perflab.queue.arrivals import Arrivals
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue, utc_now
from perflab.queue.worker import Worker, WorkerReport
from tests.engines import on_sqlite
from tests.processes import A_MINUTE, wait_for

Queue = PriorityQueue[int, bool]
Running = Callable[..., AbstractContextManager[list[WorkerReport]]]
LISTENERS = "SELECT pid FROM pg_stat_activity WHERE query = 'LISTEN perflab_jobs'"


@pytest.fixture
def engine() -> str:
    return "postgresql"


@pytest.fixture
def queue(database: Database) -> Queue:
    return PriorityQueue(database)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is heard for having waited."""
    monkeypatch.setattr("perflab.queue.arrivals.LONGEST_WAIT_SECONDS", 3_000.0)


@contextmanager
def listening(queue: Queue) -> Iterator[threading.Semaphore]:
    """The semaphore is released each time that something is heard."""
    heard = threading.Semaphore(0)
    arrivals = Arrivals(queue, heard.release)
    try:
        yield heard
    finally:
        arrivals.close()
        assert not arrivals._thread.is_alive()


def heard_in_all(heard: threading.Semaphore) -> int:
    times = 0
    while heard.acquire(blocking=False):
        times += 1
    return times


def test_one_bulk_call_is_heard_once(queue: Queue) -> None:
    with listening(queue) as heard:
        for _ in range(3):
            queue.bulk_enqueue(NewJob(number) for number in range(500))
            assert heard.acquire(timeout=A_MINUTE)
        queue.enqueue(1)
        assert heard.acquire(timeout=A_MINUTE)
    assert heard_in_all(heard) == 1, "that it ends"


def test_others_and_the_future_are_not_heard_nor_is_what_was_rolled_back(database: Database, queue: Queue) -> None:
    with listening(queue) as heard:
        queue.enqueue(1, run_at=utc_now() + timedelta(hours=1))
        PriorityQueue(database, "other").enqueue(1)
        PriorityQueue(database, notify=False).enqueue(1)
        with pytest.raises(ZeroDivisionError), database.transaction() as connection:
            queue.bulk_enqueue([NewJob(1)], connection=connection)
            raise ZeroDivisionError
        queue.enqueue("the end")
        assert heard.acquire(timeout=A_MINUTE)
    assert heard_in_all(heard) == 1, "that it ends"


@pytest.mark.parametrize("notify", [True, False])
def test_a_notice_costs_no_round_trip(database: Database, *, notify: bool) -> None:
    queue = PriorityQueue(database, notify=notify)
    with database.counting() as count:
        queue.bulk_enqueue(NewJob(number) for number in range(100))
    assert count.round_trips == 1


def test_after_a_lost_connection_it_listens_again(
    database: Database, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perflab.queue.arrivals.LONGEST_WAIT_SECONDS", 0.01)
    with listening(queue):
        ((process_id,),) = database.fetch(LISTENERS)
        database.fetch("SELECT pg_terminate_backend(%s)", (process_id,))
        wait_for(lambda: database.fetch(LISTENERS) not in ([], [(process_id,)]))


@on_sqlite
def test_on_sqlite_nothing_is_heard_and_no_thread_started(queue: Queue) -> None:
    with listening(queue) as heard:
        queue.enqueue(1)
    assert not heard.acquire(blocking=False)


@pytest.mark.parametrize("asynchronously", [False, True])
def test_an_idle_worker_that_does_not_look_is_woken(
    queue: Queue, running: Running, monkeypatch: pytest.MonkeyPatch, *, asynchronously: bool
) -> None:
    monkeypatch.setattr("perflab.queue.worker_run.SHORTEST_POLL_SECONDS", 3_000.0)
    handled = threading.Semaphore(0)

    async def handle(_job: object) -> None:
        handled.release()

    worker = Worker(queue, handle if asynchronously else lambda _job: handled.release(), poll_interval=3_000.0)
    with running(worker) as reports:
        wait_for(lambda: queue.db.fetch(LISTENERS))
        for number in range(20):
            queue.enqueue(number)
            assert handled.acquire(timeout=A_MINUTE)
    assert reports[0].done == 20


def test_a_worker_that_does_not_listen_finds_jobs_all_the_same(queue: Queue, running: Running) -> None:
    handled = threading.Semaphore(0)
    with running(Worker(queue, lambda _job: handled.release(), listen=False, poll_interval=0.01)):
        queue.enqueue(1)
        assert handled.acquire(timeout=A_MINUTE)
        assert queue.db.fetch(LISTENERS) == []
