"""One visit with the real parts: the rows are right, and a wrong answer has no time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from perflab.database.core_write import CoreWrites
from perflab.errors import WrongAnswer
from perflab.lab.sweep.measure import Slice, measure
from perflab.lab.sweep.plan import Cell, Mode, SweepPlan, Visit
from perflab.lab.sweep.postgresql_target import open_postgresql
from perflab.lab.sweep.run import Slices
from perflab.lab.sweep.sqlite_target import SQLiteTarget
from perflab.lab.sweep.subject import IngestService, ingest_events, watch_names
from perflab.lab.sweep.target import Target
from perflab.lab.workloads.flights import load_flights
from perflab.lab.workloads.trace import EventKind, TraceEvent

REPEAT_A_JOB = (
    "INSERT INTO perflab_jobs (queue, priority, run_at, state, max_attempts, payload, enqueued_at) "
    "SELECT queue, priority, run_at, state, max_attempts, payload, enqueued_at FROM perflab_jobs "
    "WHERE key IS NULL LIMIT 1"
)


@pytest.fixture(scope="module")
def events() -> Sequence[TraceEvent]:
    return ingest_events(load_flights("week"))


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    if request.param == "sqlite":
        yield SQLiteTarget("normal")
        return
    with open_postgresql(request.getfixturevalue("postgres_url"), "normal") as opened:
        yield opened


def test_a_closed_loop_counts_every_item_and_round_trip(events: Sequence[TraceEvent], target: Target) -> None:
    part = Slice(events[:50], events[50:1050])
    found = measure(Cell(Mode.CLOSED_LOOP, 100, 60.0), part, watch_names(events), target)
    assert found.items == 1_000
    assert sum(flush.items for flush in found.flushes) == 1_000
    assert found.mean_batch == 100
    if isinstance(target, SQLiteTarget):
        # BEGIN, at most one statement for each of three tables (enqueue takes two), COMMIT; and one by one it would be
        # at least three for each item
        assert 3 * len(found.flushes) <= found.round_trips <= 8 * len(found.flushes)
        assert found.round_trips_unbatched >= 3_000
    else:
        assert found.round_trips == len(found.flushes)
        assert found.round_trips_unbatched == 1_000
    assert found.p99 is None
    assert found.stable


def test_a_replay_measures_from_the_intended_time(events: Sequence[TraceEvent], target: Target) -> None:
    plan = SweepPlan(replay_batch_sizes=(500,), replay_flush_intervals=(0.020,), replay_seconds=0.3, warm_up_items=10)
    part = Slices(plan, events).of(Visit(0, 0, plan.cells[0]))
    found = measure(plan.cells[0], part, watch_names(events), target)
    assert found.items == len(part.measured)
    assert part.offsets is not None
    assert found.seconds >= float(part.offsets[-1])
    assert found.lag_p99 is not None
    assert found.stable is (found.p50 is not None) is (found.p99 is not None)
    if found.p50 is not None and found.p99 is not None:  # a machine that is too busy does not keep up
        assert 0 < found.p50 <= found.p99
        assert found.p99 >= found.lag_p99


def test_equal_work_has_equal_checksums(events: Sequence[TraceEvent], target: Target) -> None:
    part = Slice(events[:10], events[10:400])
    checksums = {
        measure(Cell(Mode.CLOSED_LOOP, size, 0.01), part, watch_names(events), target).checksum for size in (7, 100)
    }
    assert len(checksums) == 1
    other = measure(Cell(Mode.CLOSED_LOOP, 100, 0.01), Slice((), events[:400]), watch_names(events), target)
    assert other.checksum in checksums  # the same rows, whichever part of them was timed


@pytest.mark.parametrize(
    ("sabotage", "message"),
    [
        ("DELETE FROM perflab_jobs WHERE id = (SELECT max(id) FROM perflab_jobs)", "jobs are there"),
        (REPEAT_A_JOB, "jobs are there"),
        ("UPDATE perflab_jobs SET priority = priority + 1 WHERE key IS NULL", "jobs are there"),
        ("UPDATE perflab_ingest_states SET cursor = 'x'", "ingest states are there"),
        ("DELETE FROM weather", "weather rows are there"),
        ("DELETE FROM perflab_jobs WHERE key IS NOT NULL", "polls, but 0 are there"),
    ],
)
def test_a_wrong_answer_is_found(events: Sequence[TraceEvent], target: Target, sabotage: str, message: str) -> None:
    with target.fresh(None) as fresh:
        service = IngestService(fresh.direct, watch_names(events))
        some = events[:200]
        assert {event.kind for event in some} >= {EventKind.WEATHER, EventKind.SCHEDULED, EventKind.ARRIVED}
        core = CoreWrites(service.database.dialect)
        for operation, item in service.submissions(some):
            service.database.apply(operation if hasattr(operation, "apply") else core.operation(operation), [item])
        service.check(some)
        with service.database.transaction() as connection:
            connection.exec_driver_sql(sabotage)
        with pytest.raises(WrongAnswer, match=message):
            service.check(some)
