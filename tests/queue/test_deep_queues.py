"""Claims see the jobs that they take, however many others are in the table. Pages are counted, and not seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from perflab.database.database import Database
from perflab.database.statements import load_statements
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue

Queue = PriorityQueue[int, bool]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOW_US = round(NOW.timestamp() * 1e6)
FUTURE = 100_000
"""Future-dated jobs, whose numbers go before all others."""
CLAIMED = 10
ROWS = (
    "INSERT INTO perflab_jobs (queue, priority, run_at, state, max_attempts, payload, enqueued_at) "
    "SELECT 'deep', -5, {later} + n, 'scheduled', 5, '1', 0 FROM {numbers}"
)
NUMBERS = {
    "postgresql": f"generate_series(1, {FUTURE}) AS n",
    "sqlite": f"(WITH RECURSIVE upto (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM upto WHERE n < {FUTURE}) "
    "SELECT n FROM upto)",
}


@pytest.fixture
def queue(database: Database) -> Queue:
    later = NOW_US + 3_600_000_000
    with database.driver_transaction() as connection:
        connection.execute(ROWS.format(later=later, numbers=NUMBERS[database.engine_name]))
    return PriorityQueue(database, "deep", now=lambda: NOW)


def test_future_jobs_are_not_in_the_way(queue: Queue) -> None:
    assert queue.claim() == []
    queue.bulk_enqueue(NewJob(number) for number in range(CLAIMED))
    assert [job.payload for job in queue.claim()] == list(range(CLAIMED))
    assert queue.counts().scheduled == FUTURE


def test_those_that_fall_due_are_promoted_in_bulk(queue: Queue) -> None:
    due: Queue = PriorityQueue(queue.db, "deep", now=lambda: NOW + timedelta(hours=2))
    with queue.db.counting() as count:
        assert len(due.claim(CLAIMED)) == CLAIMED
    assert due.counts().scheduled == FUTURE - 10_000, "no more than one claim may hold up others with"
    assert count.round_trips == (1 if queue.db.engine_name == "postgresql" else 4)


@pytest.mark.parametrize("analysed", [False, True])
@pytest.mark.parametrize("engine", ["postgresql"])
def test_a_claim_touches_pages_for_what_it_takes(queue: Queue, analysed: bool) -> None:
    """About a hundred, most of them for writing ten jobs and their index entries; the table alone has a thousand."""
    queue.bulk_enqueue(NewJob(number) for number in range(CLAIMED))
    database = queue.db
    if analysed:
        with database.driver_transaction() as connection:
            connection.execute("ANALYZE perflab_jobs")
    statements = load_statements("perflab.queue", "postgresql")
    parameters = {
        "queue": "deep",
        "limit": CLAIMED,
        "now": NOW_US,
        "lease_until": NOW_US + 1,
        "worker": None,
        "worker_id": None,
        "ageing": 1,
    }
    for name in ("promote", "claim_aged", "claim"):
        plan = explain(database, statements[name], parameters)
        pages = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        assert pages < 20 * CLAIMED, (name, plan)
        if name != "promote":
            assert plan["Actual Rows"] == CLAIMED
            give_back(database)


def explain(database: Database, sql: str, parameters: dict[str, Any]) -> dict[str, Any]:
    with database.driver_transaction() as connection:
        cursor = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", parameters)
    plan: dict[str, Any] = cursor.fetchone()[0][0]["Plan"]
    return plan


def give_back(database: Database) -> None:
    """What an explained claim has taken."""
    with database.driver_transaction() as connection:
        connection.execute("UPDATE perflab_jobs SET state = 'ready', lease_until = NULL WHERE state = 'running'")
