from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.database.database import Database
from perflab.database.values import from_microseconds, to_microseconds
from perflab.errors import InvalidInput, StatementError, TransientError
from perflab.events import Event, TickCompleted
from perflab.queue.queue import PriorityQueue
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import SchedulerMetrics, Watch

NEW_YEAR = datetime(2013, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
REFUSE_UPDATES = {
    "sqlite": ["CREATE TRIGGER refuse BEFORE UPDATE ON perflab_watches BEGIN SELECT raise(ABORT, 'not now'); END"],
    "postgresql": [
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$",
        "CREATE TRIGGER refuse BEFORE UPDATE ON perflab_watches FOR EACH ROW EXECUTE FUNCTION refuse()",
    ],
}
Jobs = list[dict[str, Any]]


def slots(jobs: Jobs) -> list[datetime]:
    return [datetime.fromisoformat(job["slot"]) for job in jobs]


def test_a_job_says_what_its_handler_needs(database: Database, scheduler: Scheduler, clock: SimpleNamespace) -> None:
    payload = {"origin": "JFK", "text": 'quotes " \\ and é \n'}
    slot = NEW_YEAR + timedelta(microseconds=7)
    scheduler.add_watch("jfk-lax 'é\"\\\n", 60.0, priority=5, payload=payload, start_at=slot)
    clock.now += timedelta(seconds=1)
    scheduler.tick()

    (job,) = PriorityQueue(database, "ingest", now=lambda: clock.now).claim()

    assert job.payload == {
        "watch": "jfk-lax 'é\"\\\n",
        "slot": "2013-01-01T00:00:00.000007+00:00",
        "payload": payload,
    }
    assert (job.priority, job.run_at, job.attempt, job.max_attempts) == (5, slot, 1, 5)
    assert job.key == "watch:jfk-lax 'é\"\\\n"


@pytest.mark.parametrize(
    "slot", ["1970-01-01T00:00:00.000001", "2262-02-28T23:59:59.999999", "9998-12-31T23:59:59.999999"]
)
def test_a_slot_is_exact_to_the_microsecond(scheduler: Scheduler, finish_jobs: Callable[[], Jobs], slot: str) -> None:
    moment = datetime.fromisoformat(slot).replace(tzinfo=UTC)
    scheduler.add_watch("a", 60.0, start_at=moment)
    scheduler.tick(moment)
    assert [job["slot"] for job in finish_jobs()] == [f"{slot}+00:00"]
    assert scheduler.watches()["a"].next_due_at == moment + MINUTE


def test_jobs_go_in_the_order_of_their_slots(database: Database, scheduler: Scheduler) -> None:
    for name, minutes in (("c", 3), ("a", 1), ("b", 2)):
        scheduler.add_watch(name, 3600.0, start_at=NEW_YEAR - minutes * MINUTE)
    scheduler.tick()
    jobs = PriorityQueue(database, "ingest").claim()
    assert [job.payload["watch"] for job in jobs] == ["c", "b", "a"]


def test_slots_do_not_drift(scheduler: Scheduler, clock: SimpleNamespace, finish_jobs: Callable[[], Jobs]) -> None:
    scheduler.add_watch("a", 60.0)
    fired: Jobs = []
    for seconds in (0.0, 75.5, 121.0, 299.999999, 300.0):
        clock.now = NEW_YEAR + timedelta(seconds=seconds)
        scheduler.tick()
        fired += finish_jobs()
    assert [slot - NEW_YEAR for slot in slots(fired)] == [0 * MINUTE, 1 * MINUTE, 2 * MINUTE, 4 * MINUTE, 5 * MINUTE]


@pytest.mark.case("F38")
def test_late_slots_become_one_job(
    scheduler: Scheduler, clock: SimpleNamespace, finish_jobs: Callable[[], Jobs]
) -> None:
    scheduler.add_watches_bulk([Watch("minute", 60.0), Watch("hour", 3600.0), Watch("cron", cron="*/10 * * * *")])
    scheduler.tick()
    finish_jobs()

    clock.now = NEW_YEAR + timedelta(minutes=35, seconds=30)
    report = scheduler.tick()

    assert (report.due, report.enqueued, report.late) == (2, 2, 2)
    assert report.lag_seconds == 34.5 * 60
    assert {job["watch"]: job["slot"][11:16] for job in finish_jobs()} == {"minute": "00:35", "cron": "00:30"}
    assert {name: status.next_due_at for name, status in scheduler.watches().items()} == {
        "minute": NEW_YEAR + 36 * MINUTE,
        "hour": NEW_YEAR + 60 * MINUTE,
        "cron": NEW_YEAR + 40 * MINUTE,
    }


@pytest.mark.parametrize(
    ("late_by", "late"), [(timedelta(seconds=59.999999), 0), (timedelta(seconds=60), 1), (timedelta(seconds=61), 1)]
)
@pytest.mark.parametrize("schedule", [{"interval": 60.0}, {"cron": "* * * * *"}])
def test_late_means_a_whole_slot_more(
    scheduler: Scheduler, clock: SimpleNamespace, schedule: dict[str, Any], late_by: timedelta, late: int
) -> None:
    scheduler.add_watch("a", **schedule, start_at=NEW_YEAR)
    clock.now += late_by
    assert scheduler.tick().late == late


def test_a_watch_is_skipped_while_its_job_is_unfinished(
    database: Database, scheduler: Scheduler, clock: SimpleNamespace
) -> None:
    queue = PriorityQueue(database, "ingest", now=lambda: clock.now)
    scheduler.add_watch("a", 60.0)

    def tick() -> tuple[int, int, int]:
        report = scheduler.tick()
        clock.now += MINUTE
        return report.due, report.enqueued, report.skipped

    assert tick() == (1, 1, 0)
    assert tick() == (1, 0, 1)  # it is ready
    (job,) = queue.claim(lease=3600.0)
    assert tick() == (1, 0, 1)  # it is running
    queue.mark_error(job, "try again")
    assert tick() == (1, 0, 1)  # it is scheduled
    clock.now += timedelta(hours=1)
    (job,) = queue.claim()
    queue.mark_done(job)
    assert tick() == (1, 1, 0)
    for _ in range(5):
        (job,) = queue.claim()
        queue.mark_error(job, "for good")
        clock.now += timedelta(hours=1)
    assert queue.counts().dead == 1
    assert tick() == (1, 1, 0)  # a dead job is in nobody's way


def test_one_name_in_two_queues(scheduler: Scheduler, clock: SimpleNamespace) -> None:
    """A watch that moves to another queue does not wait for its job in the old one."""
    scheduler.add_watch("a", 60.0)
    scheduler.tick()
    scheduler.add_watch("a", 60.0, queue="other")
    clock.now += MINUTE
    assert scheduler.tick().enqueued == 1


@pytest.mark.parametrize(
    ("schedule", "trips"),
    [
        ({"interval": 60.0}, {"sqlite": 5, "postgresql": 1}),
        ({"cron": "* * * * *"}, {"sqlite": 7, "postgresql": 1}),
    ],
)
def test_round_trips_do_not_grow_with_the_due_watches(
    database: Database, scheduler: Scheduler, schedule: dict[str, Any], trips: dict[str, int]
) -> None:
    for due in (1, 10, 1_000):
        scheduler.add_watches_bulk([Watch(f"{due}-{n}", **schedule, start_at=NEW_YEAR) for n in range(due)])
        with database.counting() as count:
            report = scheduler.tick()
        assert report.due == report.enqueued == due
        assert report.round_trips == count.round_trips == trips[database.engine_name]


def test_an_idle_tick(database: Database, scheduler: Scheduler) -> None:
    with database.counting() as count:
        report = scheduler.tick()
    assert (report.due, report.enqueued, report.skipped, report.late, report.lag_seconds) == (0, 0, 0, 0, 0.0)
    assert report.round_trips == count.round_trips == {"sqlite": 3, "postgresql": 1}[database.engine_name]


def test_a_limit_takes_the_oldest_slots_first(
    scheduler: Scheduler, clock: SimpleNamespace, finish_jobs: Callable[[], Jobs]
) -> None:
    """Whatever their schedules are: moving one kind on must not change which of the other kind are taken."""
    scheduler.add_watches_bulk(
        [
            Watch(f"{n}", **({"interval": 3600.0} if n % 2 else {"cron": "0 * * * *"}), start_at=NEW_YEAR - n * MINUTE)
            for n in range(10)
        ]
    )
    taken = []
    for expected_more in (True, True, False):
        report = scheduler.tick(limit=4)
        assert report.more is expected_more
        taken.append(sorted((job["watch"] for job in finish_jobs()), reverse=True))
    assert taken == [["9", "8", "7", "6"], ["5", "4", "3", "2"], ["1", "0"]]
    assert all(status.next_due_at > clock.now for status in scheduler.watches().values())


def test_no_more_when_the_limit_fits_exactly(scheduler: Scheduler) -> None:
    scheduler.add_watches_bulk([Watch(f"{n}", 60.0) for n in range(4)])
    assert scheduler.tick(limit=4).more is False


@pytest.mark.case("F36")
def test_a_clock_that_is_set_back_fires_nothing_twice(
    scheduler: Scheduler, clock: SimpleNamespace, finish_jobs: Callable[[], Jobs]
) -> None:
    scheduler.add_watches_bulk([Watch("interval", 600.0), Watch("cron", cron="*/10 * * * *", start_at=NEW_YEAR)])
    fired: list[tuple[str, str]] = []
    for minute in (*range(0, 61, 5), *range(5, 121, 5)):  # the first hour comes twice
        clock.now = NEW_YEAR + minute * MINUTE
        scheduler.tick()
        fired += [(job["watch"], job["slot"]) for job in finish_jobs()]
    assert len(fired) == len(set(fired)) == 2 * 13


@pytest.mark.case("F36")
def test_a_clock_that_jumps_forward_brings_one_job_for_each_watch(
    scheduler: Scheduler, clock: SimpleNamespace, finish_jobs: Callable[[], Jobs]
) -> None:
    scheduler.add_watches_bulk([Watch("interval", 60.0), Watch("cron", cron="* * * * *", start_at=NEW_YEAR)])
    scheduler.tick()
    finish_jobs()
    clock.now += timedelta(days=30)

    report = scheduler.tick()
    finish_jobs()

    assert (report.enqueued, report.late) == (2, 2)
    assert scheduler.tick().due == 0
    clock.now += MINUTE
    assert scheduler.tick().enqueued == 2


@pytest.mark.case("F37")
@pytest.mark.parametrize(
    ("expression", "expected_utc"),
    [
        ("30 2 * * *", ["2013-03-09T07:30", "2013-03-10T07:00", "2013-03-11T06:30"]),
        ("30 1 * * *", ["2013-11-02T05:30", "2013-11-03T05:30", "2013-11-04T06:30"]),
    ],
)
def test_a_daily_watch_fires_once_on_the_nights_when_clocks_change(
    scheduler: Scheduler,
    clock: SimpleNamespace,
    finish_jobs: Callable[[], Jobs],
    expression: str,
    expected_utc: list[str],
) -> None:
    clock.now = datetime.fromisoformat(expected_utc[0]).replace(tzinfo=UTC) - timedelta(hours=20)
    scheduler.add_watch("daily", cron=expression, timezone="America/New_York")
    fired: Jobs = []
    for _ in range(3 * 24 * 6):
        clock.now += 10 * MINUTE
        scheduler.tick()
        fired += finish_jobs()
    assert [slot.isoformat()[:16] for slot in slots(fired)] == expected_utc


@given(
    interval_us=st.integers(1_000, 10**9),
    start_us=st.integers(1, 10**15),
    steps_us=st.lists(st.integers(-(10**9), 10**10), min_size=1, max_size=8),
)
def test_slots_are_those_of_the_model(
    shared_scheduler: Scheduler, interval_us: int, start_us: int, steps_us: list[int]
) -> None:
    """The model walks from slot to slot in exact integers; ticks come late, early, and with the clock set back."""
    shared_scheduler.add_watch("model", interval_us / 1e6, start_at=from_microseconds(start_us))
    slot, now = start_us, start_us
    try:
        for step in steps_us:
            now = max(0, now + step)
            expected = []
            late = 0
            if slot <= now:
                late = int(slot + interval_us <= now)
                slot += (now - slot) // interval_us * interval_us
                expected = [from_microseconds(slot)]
                slot += interval_us
                assert slot - interval_us <= now < slot

            report = shared_scheduler.tick(from_microseconds(now))

            jobs = PriorityQueue(shared_scheduler.db, "ingest", now=lambda: from_microseconds(10**17)).claim()
            assert [datetime.fromisoformat(job.payload["slot"]) for job in jobs] == expected
            assert (report.due, report.enqueued, report.late) == (len(expected), len(expected), late)
            assert to_microseconds(shared_scheduler.watches()["model"].next_due_at, "next_due_at") == slot
            with shared_scheduler.db.driver_transaction() as connection:
                connection.execute("DELETE FROM perflab_jobs")
    finally:
        shared_scheduler.remove_watches(["model"])


def test_a_watch_whose_next_slot_cannot_be_told_is_paused(
    database: Database, scheduler: Scheduler, clock: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler.add_watches_bulk([Watch("lost", cron="* * * * *"), Watch("good", cron="* * * * *"), Watch("a", 60.0)])
    with database.driver_transaction() as connection:
        connection.execute("UPDATE perflab_watches SET timezone = 'Mars/Olympus' WHERE name = 'lost'")
    clock.now += MINUTE

    with caplog.at_level(logging.ERROR):
        reports = [scheduler.tick(), scheduler.tick()]  # on PostgreSQL the second one knows what the first one met

    assert sum(report.enqueued for report in reports) == 3
    assert "'* * * * *' in 'Mars/Olympus' are paused" in caplog.text
    assert {name: status.watch.enabled for name, status in scheduler.watches().items()} == {
        "lost": False,
        "good": True,
        "a": True,
    }


def test_listeners_and_metrics_hear_of_a_tick(database: Database, scheduler: Scheduler, clock: SimpleNamespace) -> None:
    heard: list[Event] = []
    scheduler.add_watches_bulk([Watch("a", 60.0), Watch("b", 60.0)])
    assert scheduler.metrics() == SchedulerMetrics()

    with database.events.listening(heard.append):
        first = scheduler.tick()
        clock.now += 3 * MINUTE
        second = scheduler.tick()

    assert heard == [
        TickCompleted(2, 2, 0, 0, first.round_trips, first.seconds, 0, first.lag_seconds),
        TickCompleted(2, 0, 2, 2, second.round_trips, second.seconds, 0, second.lag_seconds),
    ]
    assert scheduler.metrics() == SchedulerMetrics(
        ticks=2,
        due=4,
        enqueued=2,
        skipped=2,
        late=2,
        round_trips=first.round_trips + second.round_trips,
        seconds=first.seconds + second.seconds,
        failures=0,
        lag_seconds=120.0,
    )


@pytest.mark.parametrize("now", [datetime(2013, 1, 1), "2013-01-01", 0])  # noqa: DTZ001
def test_a_bad_time_is_refused(scheduler: Scheduler, now: datetime) -> None:
    scheduler.add_watch("a", 60.0)
    with pytest.raises(InvalidInput, match="now is"):
        scheduler.tick(now)
    assert scheduler.watches()["a"].next_due_at == NEW_YEAR


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, 10**9])
def test_a_bad_limit_is_refused(scheduler: Scheduler, limit: int) -> None:
    with pytest.raises(InvalidInput, match="limit is"):
        scheduler.tick(limit=limit)


def test_failures_of_the_database_are_typed_and_counted(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    with Database.open(url, busy_timeout=0.01) as database:
        scheduler = Scheduler(database, "ingest")
        with pytest.raises(StatementError, match="a tick failed: no such table"):
            scheduler.tick()
        database.create_schema()
        scheduler.add_watch("a", 60.0)
        other = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TransientError, match="try again later"):
            scheduler.tick()
        other.close()
        assert scheduler.tick().enqueued == 1
        assert (scheduler.metrics().failures, scheduler.metrics().ticks) == (2, 1)


def test_a_failed_tick_leaves_its_slots_due(database: Database, scheduler: Scheduler) -> None:
    scheduler.add_watch("a", 60.0)
    with database.driver_transaction() as connection:
        for statement in REFUSE_UPDATES[database.engine_name]:
            connection.execute(statement)
    with pytest.raises(Exception, match="not now"):
        scheduler.tick()
    assert database.fetch("SELECT count(*) FROM perflab_jobs") == [(0,)]
    assert scheduler.watches()["a"].next_due_at == NEW_YEAR
