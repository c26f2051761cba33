"""What only a server with many writers at once can get wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from perflab.database.database import Database
from perflab.errors import StatementError, TransientError
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import IngestState, Watch

NEW_YEAR = datetime(2013, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

UPSERTER = """
import sys
from random import Random
from perflab.database.database import Database
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import Watch

rng = Random(int(sys.argv[2]))
with Database.open(sys.argv[1], busy_timeout=60.0) as database:
    scheduler = Scheduler(database, "ingest")
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(60):
        names = rng.sample(range(300), 200)
        scheduler.add_watches_bulk([Watch(f"watch-{n}", 60.0, priority=rng.randrange(9)) for n in names])
"""


@pytest.fixture
def engine() -> str:
    return "postgresql"


@pytest.fixture
def database(perflab_url: str) -> Iterator[Database]:
    with Database.open(perflab_url, busy_timeout=60.0) as opened:
        yield opened


@contextmanager
def another_session(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A transaction of somebody else; rolled back at the end unless it commits."""
    with psycopg.connect(url) as connection:
        yield connection
        connection.rollback()


def wait_until_blocked(url: str) -> None:
    """Until some session waits for a lock of another one."""
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        ).fetchone() == (0,):
            pass


def in_thread(call: Callable[[], Any]) -> Future[Any]:
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


# -- no deadlocks ------------------------------------------------------------------------------------------------------


@pytest.mark.case("F13")
def test_two_processes_that_upsert_shuffled_overlapping_names_do_not_deadlock(
    scheduler: Scheduler, perflab_url: str, start_python: Callable[..., Any]
) -> None:
    processes = [start_python(UPSERTER, perflab_url, seed) for seed in (1, 2)]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 2
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=120) for process in processes]
    assert [errors for _, errors in answers] == ["", ""]
    assert [process.returncode for process in processes] == [0, 0]
    assert len(scheduler.watches()) == 300


@pytest.mark.case("F13")
@pytest.mark.parametrize("kinds", [("add", "ingest", "remove", "pause"), ("add", "tick", "remove", "pause")])
def test_calls_of_all_kinds_do_not_deadlock(scheduler: Scheduler, kinds: tuple[str, ...]) -> None:
    """Each call sends names in an order of its own; a deadlock would be an error of one of them."""

    def call(kind: str) -> int:
        rng = Random(kind)
        ticked = 0
        for round_ in range(40):
            names = [f"watch-{n}" for n in rng.sample(range(120), 80)]
            if kind == "add":
                scheduler.add_watches_bulk([Watch(name, 0.001) for name in names])
            elif kind == "ingest":
                scheduler.update_ingest_states_bulk([IngestState(name, cursor=str(round_)) for name in names])
            elif kind == "remove":
                scheduler.remove_watches(names[:40])
            elif kind == "pause":
                scheduler.pause_watches(names)
                scheduler.resume_watches(names)
            else:
                ticked += scheduler.tick(NEW_YEAR + round_ * MINUTE).due
        return ticked

    scheduler.add_watches_bulk([Watch(f"watch-{n}", 0.001) for n in range(120)])
    with ThreadPoolExecutor(4) as pool:
        ticked = sum(pool.map(call, kinds))
    assert (ticked > 0) == ("tick" in kinds)


def test_a_watch_that_is_being_removed_is_unknown_to_its_ingest(
    database: Database, scheduler: Scheduler, perflab_url: str
) -> None:
    """Without its lock, the state would refer to a watch that is gone, and the whole batch would be refused."""
    scheduler.add_watches_bulk([Watch("a", 60.0), Watch("b", 60.0)])
    with another_session(perflab_url) as other:
        other.execute("DELETE FROM perflab_watches WHERE name = 'a'")
        update = in_thread(
            lambda: scheduler.update_ingest_states_bulk([IngestState("b", cursor="1"), IngestState("a", cursor="1")])
        )
        wait_until_blocked(perflab_url)
        other.commit()
    assert update.result(timeout=60) == [True, False]
    assert set(scheduler.ingest_states()) == {"b"}


# -- ticks -------------------------------------------------------------------------------------------------------------


def test_a_tick_does_not_wait_for_a_watch_that_somebody_holds(
    scheduler: Scheduler, perflab_url: str, clock: SimpleNamespace, finish_jobs: Callable[[], list[dict[str, Any]]]
) -> None:
    scheduler.add_watches_bulk(
        [Watch("held", 60.0), Watch("held cron", cron="* * * * *", start_at=NEW_YEAR), Watch("free", 60.0)]
    )
    with another_session(perflab_url) as other:
        other.execute("UPDATE perflab_watches SET priority = 1 WHERE name LIKE 'held%'")
        first = scheduler.tick()
    second = scheduler.tick()
    third = scheduler.tick()  # its expression had moved on with the first

    assert (first.due, first.enqueued, first.skipped) == (1, 1, 0)
    assert (second.due, second.enqueued, second.skipped, second.more) == (1, 1, 0, True)
    assert (third.due, third.enqueued, third.skipped, third.more) == (1, 1, 0, False)
    assert [job["watch"] for job in finish_jobs()] == ["free", "held", "held cron"]


def test_a_tick_lets_ingests_pass_and_they_let_it_pass(scheduler: Scheduler, perflab_url: str) -> None:
    scheduler.add_watch("a", 60.0)
    with another_session(perflab_url) as other:
        other.execute("SELECT FROM perflab_watches FOR KEY SHARE")  # what an ingest holds
        assert scheduler.tick().enqueued == 1
    with another_session(perflab_url) as other:
        other.execute("SELECT FROM perflab_watches FOR NO KEY UPDATE")  # what a tick holds
        assert scheduler.update_ingest_state("a", cursor="1") is True


def test_an_expression_that_another_scheduler_has_added_is_met_by_one_tick_and_taken_by_the_next(
    scheduler: Scheduler, database: Database
) -> None:
    others = Scheduler(database, "ingest")
    others.add_watches_bulk([Watch("cron", cron="0 * * * *", start_at=NEW_YEAR), Watch("b", 60.0, start_at=NEW_YEAR)])

    reports = [scheduler.tick(NEW_YEAR) for _ in range(3)]

    assert [(report.due, report.enqueued, report.more) for report in reports] == [
        (1, 1, True),
        (1, 1, False),
        (0, 0, False),
    ]
    assert [report.round_trips for report in reports] == [1, 1, 1]
    for hour in range(1, 4):  # it is known from now on
        report = scheduler.tick(NEW_YEAR + timedelta(hours=hour))
        assert (report.due, report.more, report.round_trips) == (2, False, 1)


@pytest.mark.case("F09")
def test_a_tick_that_is_cut_has_done_all_or_nothing(scheduler: Scheduler, database: Database, perflab_url: str) -> None:
    scheduler.add_watches_bulk([Watch("cron", cron="0 * * * *", start_at=NEW_YEAR), Watch("interval", 60.0)])
    with another_session(perflab_url) as other:
        other.execute("LOCK TABLE perflab_jobs IN EXCLUSIVE MODE")
        ticking = in_thread(scheduler.tick)
        wait_until_blocked(perflab_url)
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        with pytest.raises(TransientError):
            ticking.result(timeout=60)

    assert database.fetch("SELECT key FROM perflab_jobs") == []
    assert {status.next_due_at for status in scheduler.watches().values()} == {NEW_YEAR}
    assert scheduler.tick().enqueued == 2
    assert (scheduler.metrics().failures, scheduler.metrics().enqueued) == (1, 2)


@pytest.mark.case("F14")
def test_failures_of_the_server_are_typed_and_counted(perflab_url: str) -> None:
    with Database.open(perflab_url, busy_timeout=0.01) as database:
        scheduler = Scheduler(database, "ingest")
        scheduler.add_watch("a", 60.0)
        with another_session(perflab_url) as other:
            other.execute("LOCK TABLE perflab_watches IN EXCLUSIVE MODE")
            with pytest.raises(TransientError, match=r"(?s)a tick failed: .*lock timeout.*try again later"):
                scheduler.tick()
        assert scheduler.tick().enqueued == 1
        with database.transaction() as connection:
            connection.exec_driver_sql("DROP TABLE perflab_watches CASCADE")
        with pytest.raises(StatementError, match=r"a tick failed: .*does not exist"):
            scheduler.tick()
        assert (scheduler.metrics().failures, scheduler.metrics().ticks) == (2, 1)


def test_one_round_trip_for_each_call(database: Database, scheduler: Scheduler) -> None:
    calls: list[Callable[[], object]] = [
        lambda: scheduler.add_watches_bulk([Watch(f"{n}", 60.0) for n in range(2_000)]),
        lambda: scheduler.update_ingest_states_bulk([IngestState(f"{n}", error="e") for n in range(3_000)]),
        lambda: scheduler.pause_watches([f"{n}" for n in range(2_000)]),
        lambda: scheduler.resume_watches(["1", "nobody"]),
        scheduler.tick,
        scheduler.watches,
        lambda: scheduler.ingest_states(["1", "2"]),
        lambda: scheduler.remove_watches([f"{n}" for n in range(2_000)]),
        scheduler.tick,
    ]
    for call in calls:
        with database.counting() as count:
            call()
        assert count.round_trips == 1
