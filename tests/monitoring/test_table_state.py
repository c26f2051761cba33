"""How queues and watches are, as their tables say, and at what cost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from perflab.database.database import Database
from perflab.database.statements import load_statements
from perflab.errors import StatementError
from perflab.monitoring import table_state
from perflab.monitoring.snapshot import Snapshot
from perflab.monitoring.table_state import JOBS, OLDEST, OVERDUE, PAUSED, WATCHES, WORKERS, TableState
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import IngestState
from tests.engines import on_postgresql

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def db(perflab_url: str) -> Iterator[Database]:
    with Database.open(perflab_url) as opened:
        yield opened


def queue_at(db: Database, name: str, now: datetime = NOW) -> PriorityQueue[int, bool]:
    return PriorityQueue(db, name=name, now=lambda: now)


def look(db: Database, later_seconds: float = 0.0) -> Snapshot:
    return TableState(db, clock=lambda: NOW.timestamp() + later_seconds).snapshot()


def test_empty_tables_have_no_queue(db: Database) -> None:
    snapshot = look(db)
    assert snapshot.gauged(JOBS) == []
    assert snapshot.gauged(WATCHES) == [0, 0, 0]
    assert snapshot.gauged(OVERDUE) == [0.0]


def test_jobs_are_counted_by_queue_and_state(db: Database) -> None:
    mail, other = queue_at(db, "mail"), queue_at(db, "another")
    mail.bulk_enqueue([NewJob(n, priority=n % 3) for n in range(10)])
    mail.bulk_enqueue([NewJob(n, run_at=NOW + timedelta(hours=1)) for n in range(4)])
    other.bulk_enqueue([NewJob(n, max_attempts=1) for n in range(3)])
    mail.open_lease("worker", 60.0)
    mail.claim(2)
    other.mark_error(other.claim(1)[0], "no")
    other.pause()
    snapshot = look(db)
    expected = {"mail": (4, 8, 2, 0), "another": (0, 2, 0, 1)}
    for queue, counts in expected.items():
        states = ("scheduled", "ready", "running", "dead")
        assert tuple(snapshot.gauged(JOBS, queue=queue, state=state)[0] for state in states) == counts
    assert [snapshot.gauged(PAUSED, queue=queue) for queue in expected] == [[0], [1]]
    assert [snapshot.gauged(WORKERS, queue=queue) for queue in expected] == [[1], [0]]
    assert look(db, 61.0).gauged(WORKERS, queue="mail") == [0], "its lease has run out"


def test_the_oldest_due_job_is_found_under_any_priority_and_state(db: Database) -> None:
    queue = queue_at(db, "mail")
    queue.bulk_enqueue([NewJob(1, priority=5, run_at=NOW - timedelta(seconds=90)), NewJob(2, priority=0)])
    queue_at(db, "later").enqueue(3, run_at=NOW + timedelta(seconds=10))
    assert look(db).gauged(OLDEST, queue="mail") == [90.0]
    assert look(db).gauged(OLDEST, queue="later") == [0.0]
    assert look(db, 40.0).gauged(OLDEST, queue="later") == [30.0], "due, though no claim has come by"


def test_watches_are_counted_and_the_most_overdue_found(db: Database) -> None:
    scheduler = Scheduler(db, "mail", now=lambda: NOW)
    scheduler.add_watch("now", interval=60.0)
    scheduler.add_watch("later", interval=60.0, start_at=NOW + timedelta(seconds=30))
    scheduler.add_watch("off", interval=60.0, enabled=False)
    scheduler.update_ingest_states_bulk([IngestState("now", error="no")])
    snapshot = look(db, 20.0)
    counts = [snapshot.gauged(WATCHES, state=state) for state in ("enabled", "due", "failing")]
    assert counts == [[2], [1], [1]]
    assert snapshot.gauged(OVERDUE) == [20.0]


def test_a_count_ends_at_its_most(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_state, "MOST_COUNTED", 5)
    queue_at(db, "mail").bulk_enqueue([NewJob(n, priority=n % 2) for n in range(20)])
    assert look(db).gauged(JOBS, queue="mail", state="ready") == [5]


def test_nothing_is_written_and_a_missing_table_is_said(db: Database, database_url: str) -> None:
    with db.recording() as recorder:
        look(db)
    assert len(recorder.statements()) == 7
    assert all(statement.sql.lstrip().startswith(("SELECT", "WITH")) for statement in recorder.statements())


@on_postgresql
def test_plans_go_by_the_partial_indexes_of_a_deep_table(db: Database) -> None:
    queue = queue_at(db, "mail")
    queue.bulk_enqueue([NewJob(n, priority=n % 3, run_at=NOW + timedelta(seconds=n % 2)) for n in range(20_000)])
    with db.transaction() as connection:
        connection.exec_driver_sql("ANALYZE perflab_jobs")
    for name, sql in load_statements("perflab.monitoring", "postgresql").items():
        if name in table_state.STATES:
            plan = "\n".join(str(row[0]) for row in db.fetch(f"EXPLAIN {sql}", {"most": 1_000}))
            assert "Seq Scan on perflab_jobs" not in plan, f"{name}: {plan}"


def test_without_tables_it_says_what_to_do(database_url: str) -> None:
    with Database.open(database_url) as bare, pytest.raises(StatementError, match="create_schema"):
        look(bare)
