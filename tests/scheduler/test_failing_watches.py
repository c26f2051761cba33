"""Watches whose ingests fail come less often, as far as the ingest state says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from perflab.database.database import Database
from perflab.queue.backoff import Backoff
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import IngestState, Watch

NEW_YEAR = datetime(2013, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def patient(database: Database, clock: SimpleNamespace) -> Scheduler:
    backoff = Backoff(base_seconds=10.0, cap_seconds=60.0)
    return Scheduler(database, "ingest", failure_backoff=backoff, now=lambda: clock.now)


@pytest.mark.parametrize("schedule", [{"interval": 1.0}, {"cron": "* * * * *"}])
@pytest.mark.parametrize(("failures", "seconds"), [(1, 10), (2, 20), (3, 40), (4, 60), (5, 60), (70, 60)])
def test_the_wait_doubles_up_to_the_cap(
    patient: Scheduler, clock: SimpleNamespace, schedule: dict[str, Any], failures: int, seconds: int
) -> None:
    patient.add_watch("a", **schedule, start_at=NEW_YEAR)
    patient.update_ingest_states_bulk([IngestState("a", error="gone")] * failures)

    clock.now += seconds * SECOND - timedelta(microseconds=1)
    early = patient.tick()
    patient.add_watch("b", **schedule, start_at=clock.now)
    patient.remove_watches(["a"])
    patient.add_watch("a", **schedule, start_at=NEW_YEAR)
    clock.now = NEW_YEAR
    patient.update_ingest_states_bulk([IngestState("a", error="gone")] * failures)
    clock.now += seconds * SECOND
    in_time = patient.tick()

    assert (early.due, early.enqueued, early.skipped, early.backed_off) == (1, 0, 0, 1)
    assert (in_time.due, in_time.enqueued, in_time.skipped, in_time.backed_off) == (2, 2, 0, 0)


def test_slots_pass_while_it_waits_and_stay_where_they_are(
    patient: Scheduler, clock: SimpleNamespace, finish_jobs: Callable[[], list[dict[str, Any]]]
) -> None:
    patient.add_watch("a", 7.0)
    patient.update_ingest_state("a", error="gone")
    enqueued = []
    for second in range(22):
        clock.now = NEW_YEAR + second * SECOND
        enqueued += [second] * patient.tick().enqueued
        finish_jobs()
    assert enqueued == [14, 21]
    assert patient.metrics().backed_off == 2


def test_a_success_ends_it(patient: Scheduler, clock: SimpleNamespace) -> None:
    patient.add_watches_bulk([Watch("a", 1.0), Watch("b", 1.0)])
    patient.update_ingest_states_bulk([IngestState(name, error="gone") for name in "aabb"])
    patient.update_ingest_state("a", cursor="1")
    clock.now += SECOND
    report = patient.tick()
    assert (report.enqueued, report.backed_off) == (1, 1)


def test_a_missed_slot_of_a_failing_watch_is_not_caught_up(patient: Scheduler, clock: SimpleNamespace) -> None:
    patient.add_watch("a", 1.0, overlap="queue", catch_up=50)
    patient.update_ingest_state("a", error="gone")
    clock.now += 9 * SECOND
    report = patient.tick()
    assert (report.due, report.enqueued, report.backed_off, report.caught_up) == (1, 0, 1, 0)


def test_a_coalescing_watch_that_waits_remembers_no_job(patient: Scheduler, clock: SimpleNamespace) -> None:
    patient.add_watch("a", 1.0, overlap="coalesce")
    patient.update_ingest_state("a", error="gone")
    clock.now += 9 * SECOND
    assert patient.tick().backed_off == 1
    clock.now += SECOND
    assert patient.tick().enqueued == 1


def test_without_a_back_off_failures_are_only_counted(database: Database, clock: SimpleNamespace) -> None:
    scheduler = Scheduler(database, "ingest", failure_backoff=None, now=lambda: clock.now)
    scheduler.add_watch("a", 1.0)
    scheduler.update_ingest_states_bulk([IngestState("a", error="gone")] * 3)
    assert scheduler.tick().enqueued == 1


@pytest.mark.parametrize(("base", "seconds"), [(1e300, 60), (60.0, 60), (0.0, 0)])
def test_any_back_off_can_be_counted_with(
    database: Database, clock: SimpleNamespace, base: float, seconds: int
) -> None:
    backoff = Backoff(base_seconds=base, cap_seconds=60.0)
    scheduler = Scheduler(database, "ingest", failure_backoff=backoff, now=lambda: clock.now)
    scheduler.add_watches_bulk([Watch("early", 3600.0), Watch("in time", 3600.0, start_at=NEW_YEAR + seconds * SECOND)])
    scheduler.update_ingest_states_bulk([IngestState(name, error="gone") for name in ("early", "in time") * 40])
    assert scheduler.tick().backed_off == (1 if seconds else 0)
    clock.now += seconds * SECOND
    assert scheduler.tick().enqueued == (1 if seconds else 0)
