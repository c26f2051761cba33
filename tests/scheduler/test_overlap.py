"""Slots that come while a job of their watch is unfinished, and slots that were missed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.database.database import Database
from perflab.database.values import from_microseconds
from perflab.queue.job import Job
from perflab.queue.queue import PriorityQueue
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import Overlap, TickReport, Watch

NEW_YEAR = datetime(2013, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
Jobs = list[dict[str, Any]]
EVERY_MINUTE = [{"interval": 60.0}, {"cron": "* * * * *"}]


@pytest.fixture
def queue(database: Database, clock: SimpleNamespace) -> PriorityQueue[int, bool]:
    return PriorityQueue(database, "ingest", now=lambda: clock.now)


@pytest.fixture
def tick(scheduler: Scheduler, clock: SimpleNamespace) -> Callable[[], tuple[int, int]]:
    """Tick at the next slot: what was enqueued and what was skipped of the one watch."""

    def tick_next() -> tuple[int, int]:
        report = scheduler.tick()
        assert report.due == 1
        clock.now += MINUTE
        return report.enqueued, report.skipped

    return tick_next


def minutes(jobs: list[Job] | Jobs) -> list[int]:
    """How many minutes after New Year the slots of jobs are."""
    payloads = [job.payload if isinstance(job, Job) else job for job in jobs]
    return [int((datetime.fromisoformat(payload["slot"]) - NEW_YEAR) / MINUTE) for payload in payloads]


@pytest.mark.parametrize("schedule", EVERY_MINUTE)
def test_queued_slots_each_bring_a_job(
    scheduler: Scheduler,
    queue: PriorityQueue[int, bool],
    tick: Callable[[], tuple[int, int]],
    schedule: dict[str, Any],
) -> None:
    scheduler.add_watch("a", **schedule, start_at=NEW_YEAR, overlap="queue")

    assert [tick() for _ in range(4)] == [(1, 0)] * 4

    jobs = queue.claim()
    assert minutes(jobs) == [0, 1, 2, 3]
    assert len({job.key for job in jobs}) == 4
    assert [tick()] == [(1, 0)]  # while they run


@pytest.mark.case("F38")
@pytest.mark.parametrize("schedule", EVERY_MINUTE)
def test_slots_coalesce_into_the_job_that_waits(
    scheduler: Scheduler,
    queue: PriorityQueue[int, bool],
    tick: Callable[[], tuple[int, int]],
    clock: SimpleNamespace,
    schedule: dict[str, Any],
) -> None:
    scheduler.add_watch("a", **schedule, start_at=NEW_YEAR, overlap="coalesce")

    assert [tick(), tick(), tick()] == [(1, 0), (0, 1), (0, 1)]
    (first,) = queue.claim(lease=3600.0)
    assert [tick(), tick()] == [(1, 0), (0, 1)]  # one runs, one waits
    (second,) = queue.claim(lease=3600.0)
    assert [tick()] == [(1, 0)]  # two run, and a run that begins after this slot is owed
    assert queue.mark_error(first, "again") is True
    assert [tick()] == [(0, 1)]  # the last one still waits
    assert minutes([first, second]) == [0, 3]
    clock.now += timedelta(hours=1)
    queue.mark_done_bulk([*queue.claim(), second])
    assert scheduler.tick().enqueued == 1


def test_a_retry_is_what_slots_coalesce_into(
    scheduler: Scheduler, queue: PriorityQueue[int, bool], tick: Callable[[], tuple[int, int]]
) -> None:
    scheduler.add_watch("a", 60.0, overlap="coalesce")
    assert tick() == (1, 0)
    (job,) = queue.claim()
    queue.mark_error(job, "again")
    assert tick() == (0, 1)


def test_a_dead_job_is_in_nobodys_way(
    scheduler: Scheduler, queue: PriorityQueue[int, bool], tick: Callable[[], tuple[int, int]], database: Database
) -> None:
    scheduler.add_watch("a", 60.0, overlap="coalesce")
    assert tick() == (1, 0)
    with database.driver_transaction() as connection:
        connection.execute("UPDATE perflab_jobs SET state = 'dead'")
    assert tick() == (1, 0)


def test_overlaps_do_not_disturb_one_another(scheduler: Scheduler, clock: SimpleNamespace) -> None:
    """Of watches in one tick, and with names that hold what keys are made of."""
    overlaps: tuple[Overlap, ...] = ("skip", "queue", "coalesce")
    scheduler.add_watches_bulk(
        [Watch(f"{overlap}:{n}", 60.0, overlap=overlap) for overlap in overlaps for n in range(50)]
    )
    reports = []
    for _ in range(3):
        reports.append(scheduler.tick())
        clock.now += MINUTE
    assert [(report.due, report.enqueued, report.skipped, report.caught_up) for report in reports] == [
        (150, 150, 0, 0),
        (150, 50, 100, 0),
        (150, 50, 100, 0),
    ]


@pytest.mark.parametrize("schedule", EVERY_MINUTE)
@pytest.mark.parametrize(
    ("catch_up", "missed", "expected"),
    [(1, 10, [10]), (3, 10, [8, 9, 10]), (3, 2, [0, 1, 2]), (3, 1, [0, 1]), (3, 0, [0]), (100, 10, [*range(11)])],
)
def test_the_newest_missed_slots_are_caught_up(  # noqa: PLR0917  # three fixtures and a table of four columns
    scheduler: Scheduler,
    clock: SimpleNamespace,
    finish_jobs: Callable[[], Jobs],
    schedule: dict[str, Any],
    catch_up: int,
    missed: int,
    expected: list[int],
) -> None:
    scheduler.add_watch("a", **schedule, start_at=NEW_YEAR, overlap="queue", catch_up=catch_up)
    clock.now += missed * MINUTE + timedelta(seconds=30)

    report = scheduler.tick()

    assert minutes(finish_jobs()) == expected
    assert (report.due, report.enqueued, report.skipped) == (1, len(expected), 0)
    assert (report.caught_up, report.late) == (len(expected) - 1, int(missed > 0))
    assert scheduler.watches()["a"].next_due_at == NEW_YEAR + (missed + 1) * MINUTE


def test_the_first_slot_of_a_cron_watch_may_be_none_of_its_expression(
    scheduler: Scheduler, clock: SimpleNamespace, finish_jobs: Callable[[], Jobs]
) -> None:
    scheduler.add_watch("a", cron="*/5 * * * *", start_at=NEW_YEAR + 2 * MINUTE, overlap="queue", catch_up=100)
    clock.now += 17 * MINUTE
    assert scheduler.tick().enqueued == 4
    assert minutes(finish_jobs()) == [2, 5, 10, 15]


def test_watches_of_one_expression_catch_up_each_as_it_says(
    scheduler: Scheduler, clock: SimpleNamespace, finish_jobs: Callable[[], Jobs]
) -> None:
    """Also where the process that ticks has not met the expression, or not with so many slots."""
    Scheduler(scheduler.db, "ingest").add_watches_bulk(
        [
            Watch("one", cron="* * * * *", start_at=NEW_YEAR),
            Watch("four", cron="* * * * *", start_at=NEW_YEAR, overlap="queue", catch_up=4),
            Watch("other", cron="*/2 * * * *", start_at=NEW_YEAR, overlap="queue", catch_up=2),
        ]
    )
    clock.now += 9 * MINUTE
    reports: list[TickReport] = [scheduler.tick()]
    while reports[-1].more:
        reports.append(scheduler.tick())

    found: dict[str, list[int]] = {}
    for job in finish_jobs():
        found.setdefault(job["watch"], []).extend(minutes([job]))
    assert found == {"one": [9], "four": [6, 7, 8, 9], "other": [6, 8]}
    assert sum(report.caught_up for report in reports) == 4
    assert len(reports) <= 2


@pytest.mark.case("F38")
@settings(max_examples=60)
@given(
    interval_us=st.integers(1_000, 10**7),
    catch_up=st.integers(1, 100),
    late_us=st.lists(st.integers(0, 10**8), min_size=1, max_size=4),
)
def test_caught_up_slots_are_those_of_the_model(
    shared_scheduler: Scheduler, interval_us: int, catch_up: int, late_us: list[int]
) -> None:
    slot = now = 10**9
    shared_scheduler.add_watch(
        "model", interval_us / 1e6, start_at=from_microseconds(slot), overlap="queue", catch_up=catch_up
    )
    try:
        for late in late_us:
            now += late
            missed = [*range(slot, now + 1, interval_us)]
            slot += len(missed) * interval_us

            report = shared_scheduler.tick(from_microseconds(now))

            rows = shared_scheduler.db.fetch("SELECT run_at FROM perflab_jobs ORDER BY run_at")
            assert [run_at for (run_at,) in rows] == missed[-catch_up:]
            assert report.enqueued == len(missed[-catch_up:])
            with shared_scheduler.db.driver_transaction() as connection:
                connection.execute("DELETE FROM perflab_jobs")
    finally:
        shared_scheduler.remove_watches(["model"])
