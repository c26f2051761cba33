"""Idle workers hear of new jobs on PostgreSQL, and find them by looking where they cannot."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from types import SimpleNamespace

import psycopg
import pytest

from perflab.database.database import Database
from perflab.queue.arrivals import Arrivals
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue, utc_now
from perflab.queue.worker import Worker, WorkerReport
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import Watch
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
def test_whatever_makes_jobs_ready_is_heard_once_and_costs_no_round_trip(database: Database, *, notify: bool) -> None:
    clock = SimpleNamespace(now=utc_now())
    queue: Queue = PriorityQueue(database, notify=notify, now=lambda: clock.now)
    scheduler = Scheduler(database, queue, now=lambda: clock.now)
    scheduler.add_watches_bulk(Watch(f"w{number}", interval=60) for number in range(5))
    die = [NewJob(number, max_attempts=1) for number in range(4)]
    PriorityQueue(database, notify=False).bulk_enqueue(die)
    queue.mark_error_bulk((job, "no") for job in queue.claim())
    (first, *_), in_a_minute = queue.dead_jobs(), clock.now + timedelta(minutes=1)
    queue.bulk_enqueue(NewJob(number, run_at=in_a_minute) for number in range(3))

    def promote() -> None:
        clock.now = in_a_minute
        assert len(queue.claim(1)) == 1

    with listening(queue) as heard:
        for act in (lambda: queue.retry([first.id]), queue.redrive, promote, scheduler.tick):
            with database.counting() as count:
                act()
            assert count.round_trips == 1
            if notify:
                assert heard.acquire(timeout=A_MINUTE)
        PriorityQueue(database, notify=False).claim(100)
    assert heard_in_all(heard) == 1, "that it ends"


@pytest.mark.parametrize("notify", [True, False])
def test_whatever_gives_jobs_back_is_heard_once_and_costs_no_round_trip(database: Database, *, notify: bool) -> None:
    queue: Queue = PriorityQueue(database, notify=notify)
    PriorityQueue(database, notify=False).bulk_enqueue(NewJob(number) for number in range(2))
    lease = queue.open_lease("w", 60.0)
    (first,) = queue.claim(1)
    assert len(queue.claim(1, lease)) == 1
    queue.pause()
    with listening(queue) as heard:
        for act in (lambda: queue.release([first]), lambda: queue.close_lease(lease), queue.resume):
            with database.counting() as count:
                assert act()
            assert count.round_trips == 1
            if notify:
                assert heard.acquire(timeout=A_MINUTE)
    assert heard_in_all(heard) == 1, "that it ends"
    assert queue.counts().ready == 2


def test_a_claim_that_takes_all_that_is_due_tells_nobody(queue: Queue) -> None:
    later: Queue = PriorityQueue(queue.db, now=lambda: utc_now() + timedelta(hours=1))
    queue.bulk_enqueue(NewJob(number, run_at=utc_now() + timedelta(minutes=1)) for number in range(3))
    with listening(queue) as heard:
        assert len(later.claim(3)) == 3
    assert heard_in_all(heard) == 1, "that it ends"


def test_a_tick_is_heard_by_each_queue_that_it_puts_jobs_in(database: Database, queue: Queue) -> None:
    other: Queue = PriorityQueue(database, "other")
    idle: Queue = PriorityQueue(database, "idle")
    scheduler = Scheduler(database, queue.name)
    scheduler.add_watches_bulk(
        Watch(f"w{number}", interval=60, queue=(None, "other")[number % 2]) for number in range(8)
    )
    with listening(queue) as heard, listening(other) as heard_there, listening(idle) as heard_nothing:
        assert scheduler.tick().enqueued == 8
        assert heard.acquire(timeout=A_MINUTE)
        assert heard_there.acquire(timeout=A_MINUTE)
    assert [heard_in_all(one) for one in (heard, heard_there, heard_nothing)] == [1, 1, 1], "that it ends"


@pytest.mark.parametrize("notify", [True, False])
def test_a_notice_costs_no_round_trip(database: Database, *, notify: bool) -> None:
    queue = PriorityQueue(database, notify=notify)
    with database.counting() as count:
        queue.bulk_enqueue(NewJob(number) for number in range(100))
    assert count.round_trips == 1


@pytest.mark.case("F17")
def test_a_payload_larger_than_a_notification_holds_is_heard_of_and_in(database: Database) -> None:
    """A NOTIFY takes 7,999 bytes, and counts bytes (elsewhere characters were counted: appstrate#1340)."""
    emoji = "😀" * 2_000
    with pytest.raises(psycopg.errors.InvalidParameterValue), database.driver_transaction() as connection:
        connection.execute("SELECT pg_notify('perflab_jobs', %s)", (emoji,))
    queue: Queue = PriorityQueue(database, "q" * 41)
    with listening(queue) as heard:
        queue.enqueue(emoji, key="😀" * 200)
        assert heard.acquire(timeout=A_MINUTE)
    assert [job.payload for job in queue.claim()] == [emoji]


@pytest.mark.case("F09")
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
