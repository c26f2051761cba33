"""Snapshots of several processes in one table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from perflab.database.database import Database
from perflab.errors import InvalidInput, StatementError
from perflab.monitoring.instruments import databases, flushes
from perflab.monitoring.publishing import MetricsPublisher, published_snapshots
from perflab.monitoring.registry import MetricsRegistry
from tests.monitoring.flushes import FLUSH

PATIENCE_SECONDS = 60.0


@pytest.fixture
def db(perflab_url: str) -> Iterator[Database]:
    with Database.open(perflab_url) as opened:
        yield opened


def eventually(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_a_process_publishes_is_read_back_and_follows_it(db: Database) -> None:
    registry = MetricsRegistry()
    with registry.observing(db), MetricsPublisher(registry, db, interval=0.1) as publisher:
        (first,) = published_snapshots(db)
        assert first.process == publisher.process
        assert first.snapshot.gauged(databases.POOL_SIZE) == [db.most_connections]
        db.events.emit(FLUSH)
        eventually(lambda: published_snapshots(db)[0].snapshot.counted(flushes.DELIVERED) == FLUSH.delivered)


def test_one_that_ended_leaves_its_counts_and_no_gauges(db: Database) -> None:
    registry = MetricsRegistry()
    with registry.observing(db):
        publisher = MetricsPublisher(registry, db, interval=600.0)
        db.events.emit(FLUSH)
        publisher.close()
        publisher.close()
    (left,) = published_snapshots(db)
    assert left.snapshot.counted(flushes.DELIVERED) == FLUSH.delivered, "the last publication has all"
    assert not left.snapshot.gauges


def aged(db: Database, seconds: float) -> None:
    with db.transaction() as connection:
        connection.exec_driver_sql(f"UPDATE perflab_metrics SET heard_at = heard_at - {int(seconds * 1e6)}")


def test_a_killed_one_loses_its_gauges_and_is_forgotten_later(db: Database) -> None:
    registry = MetricsRegistry()
    with registry.observing(db):
        killed = MetricsPublisher(registry, db, interval=50.0)
    aged(db, 151.0)
    (lost,) = published_snapshots(db)
    assert not lost.snapshot.gauges
    assert lost.snapshot.counters
    aged(db, 300.0)
    assert published_snapshots(db) == []
    with MetricsPublisher(registry, db, interval=600.0) as other:
        assert db.fetch("SELECT process FROM perflab_metrics") == [(other.process,)], "the row is gone, too"
    killed.close()


def test_several_processes_are_kept_apart(db: Database, run_python: Any, perflab_url: str) -> None:
    program = """
        import sys
        from perflab import Database, MetricsPublisher, MetricsRegistry, NewJob, PriorityQueue
        with Database.open(sys.argv[1]) as db:
            registry = MetricsRegistry()
            registry.observe(db)
            with MetricsPublisher(registry, db):
                PriorityQueue(db, "mail").bulk_enqueue([NewJob(n) for n in range(int(sys.argv[2]))])
    """
    for jobs in (2, 3):
        run_python(program, perflab_url, jobs)
    counts = [dict(one.snapshot.counters) for one in published_snapshots(db)]
    enqueued = [
        value for found in counts for series, value in found.items() if series.metric == "perflab_jobs_enqueued_total"
    ]
    assert sorted(enqueued) == [2.0, 3.0]


def test_another_form_is_left_out_and_said(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    with MetricsPublisher(MetricsRegistry(), db, interval=600.0):
        with db.transaction() as connection:
            connection.exec_driver_sql("UPDATE perflab_metrics SET snapshot = '{\"form\": 99}'")
        assert published_snapshots(db) == []
    assert "form 99" in caplog.text


@pytest.mark.parametrize("interval", [0.0, 601.0])
def test_an_interval_out_of_range_is_refused(db: Database, interval: float) -> None:
    with pytest.raises(InvalidInput, match="interval"):
        MetricsPublisher(MetricsRegistry(), db, interval=interval)


def test_without_its_table_it_says_what_to_do(database_url: str) -> None:
    with Database.open(database_url) as bare, pytest.raises(StatementError, match="create_schema"):
        MetricsPublisher(MetricsRegistry(), bare)
