"""PostgreSQL reads what it takes, in the order of an index, where its statistics make sorting all look cheaper."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from perflab.database.database import Database
from perflab.database.operation import DriverConnection
from perflab.database.statements import load_statements
from tests.postgres_databases import PostgresDatabases

MANY = 10_000
"""Jobs of this queue, which alternate with as many of others: an index is then in no order of the table."""
FEW = "n % 500 < 2"
TAKEN = 100
PRIORITIES = 5
STATEMENTS = load_statements("perflab.queue", "postgresql")
PARAMETERS = {
    "queue": "q",
    "limit": TAKEN,
    "most": TAKEN,
    "now": MANY,
    "lease_until": MANY,
    "claimed": 0,
    "channel": "c",
    "worker": None,
    "worker_id": None,
    "ageing": 1,
    "base": 1.0,
    "cap": 9.0,
    "phase": 0.5,
    "attempts": 5,
    "died_before": MANY,
    "done_before": MANY,
    "before": 2 * MANY,
    "before_id": 1,
}
ORDERS = {"scheduled": "run_at", "ready": "priority, run_at, id", "running": "worker_id, lease_until", "dead": "run_at"}
BY_STATE = {
    "scheduled": ["promote", "promote_and_notify", "count_waiting"],
    "ready": ["claim", "claim_aged", "count_waiting"],
    "running": ["rescue_expired"],
    "dead": ["purge", "redrive", "dead_jobs"],
}
FINISHED = ["done_jobs", "purge_done"]


class RollBack(Exception):
    """An explained statement has changed what the next one is to find."""


@pytest.fixture(scope="module")
def database(postgres_databases: PostgresDatabases) -> Iterator[Database]:
    with postgres_databases.new() as url, Database.open(url) as opened:
        run(
            opened,
            *(f"ALTER TABLE {table} SET (autovacuum_enabled = off)" for table in ("perflab_jobs", "perflab_jobs_done")),
        )
        yield opened


def run(database: Database, *statements: str) -> None:
    with database.driver_transaction() as connection:
        for statement in statements:
            connection.execute(statement)


def fill(database: Database, state: str, *, worker_id: str = "NULL", jobs: int = MANY, payload: str = "1") -> None:
    run(
        database,
        "TRUNCATE perflab_jobs, perflab_workers RESTART IDENTITY",
        "INSERT INTO perflab_jobs (queue, priority, run_at, state, attempt, max_attempts, lease_until, worker_id, "
        "payload, enqueued_at) SELECT CASE n % 2 WHEN 0 THEN 'q' ELSE 'other ' || n % 7 END, "
        f"n / 2 % {PRIORITIES}, n / 2, {state}, 1, 5, n / 2, {worker_id}, '{payload}', 0 "
        f"FROM generate_series(2, {2 * jobs}) AS n",
        "INSERT INTO perflab_workers (queue, name, started_at, lease_until) VALUES ('q', 'w', 0, 0)",
    )


def fill_finished(database: Database, of_this_queue: str) -> None:
    run(
        database,
        "TRUNCATE perflab_jobs_done",
        f"INSERT INTO perflab_jobs_done SELECT n, CASE WHEN {of_this_queue} THEN 'q' ELSE 'other ' || n % 7 END, 0, 0, "
        f"1, NULL, '1', NULL, '1', NULL, 0, n / 2 FROM generate_series(2, {2 * MANY}) AS n",
    )


def plan_of(connection: DriverConnection, sql: str, options: str) -> list[dict[str, Any]]:
    def parts(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield plan
        for child in plan.get("Plans", ()):
            yield from parts(child)

    ((explained,),) = connection.execute(f"EXPLAIN ({options}, FORMAT JSON) {sql}", PARAMETERS).fetchall()
    return list(parts(explained[0]["Plan"]))


def assert_reads_what_it_takes(database: Database, statement: str) -> None:
    """That it finds and writes so many rows, for each of the priorities at most, in a run that is undone."""
    plan: list[dict[str, Any]] = []
    with pytest.raises(RollBack), database.driver_conversation() as connection:
        plan = plan_of(connection, STATEMENTS[statement], "ANALYZE, BUFFERS")
        raise RollBack
    read = sum(
        (part["Actual Rows"] + part.get("Rows Removed by Filter", 0)) * part["Actual Loops"]
        for part in plan
        if part.get("Relation Name", "").startswith("perflab_jobs") and "Scan" in part["Node Type"]
    )
    assert TAKEN <= read <= 2 * TAKEN * PRIORITIES, (statement, read, plan)


def assert_misled(database: Database, table: str, condition: str, order: str) -> None:
    """The fault has fired: the plain form reads and sorts all there is."""
    with database.driver_conversation() as connection:
        plan = plan_of(
            connection, f"SELECT * FROM {table} WHERE {condition} ORDER BY {order} LIMIT {TAKEN}", "ANALYZE, BUFFERS"
        )
    assert any("Sort" in part["Node Type"] and part["Plans"][0]["Actual Rows"] >= MANY for part in plan), plan


@pytest.mark.parametrize("state", BY_STATE)
def test_analysed_when_few_were_in_that_state(database: Database, state: str) -> None:
    other = "ready" if state == "dead" else "dead"
    fill(database, f"CASE WHEN {FEW} THEN '{state}' ELSE '{other}' END")
    run(database, "ANALYZE perflab_jobs")
    fill(database, f"'{state}'")

    assert_misled(database, "perflab_jobs", f"queue = 'q' AND state = '{state}'", ORDERS[state])
    for statement in BY_STATE[state]:
        assert_reads_what_it_takes(database, statement)


def test_jobs_of_a_dead_worker_when_it_held_few(database: Database) -> None:
    fill(database, "'running'", worker_id=f"CASE WHEN {FEW} THEN 1 ELSE 2 END")
    run(database, "ANALYZE perflab_jobs")
    fill(database, "'running'", worker_id="1")

    assert_misled(database, "perflab_jobs", "queue = 'q' AND state = 'running' AND worker_id = 1", "lease_until")
    assert_reads_what_it_takes(database, "rescue_expired")


def test_finished_jobs_when_the_queue_had_few(database: Database) -> None:
    fill_finished(database, FEW)
    run(database, "ANALYZE perflab_jobs_done")
    fill_finished(database, "n % 2 = 0")

    assert_misled(database, "perflab_jobs_done", "queue = 'q'", "done_at")
    for statement in FINISHED:
        assert_reads_what_it_takes(database, statement)


def test_a_table_that_was_never_analysed(database: Database) -> None:
    """As after a first large enqueue, before autovacuum comes to it. Its pages tell how many jobs it has. One in 40,000
    is taken to be ready, and four ready ones are enough to have them sorted.
    """
    fill(database, "'ready'", jobs=2 * MANY, payload=f'"{"x" * 1500}"')
    run(database, "DELETE FROM pg_statistic WHERE starelid = 'perflab_jobs'::regclass")

    assert_misled(database, "perflab_jobs", "queue = 'q' AND state = 'ready'", ORDERS["ready"])
    for statement in BY_STATE["ready"]:
        assert_reads_what_it_takes(database, statement)


def test_every_statement_with_a_limit_is_tried() -> None:
    """The others end look-ups that a key or an index answers by one row."""
    limited = {name for name, sql in STATEMENTS.items() if "LIMIT %(" in sql}
    assert limited == {*FINISHED, *(statement for statements in BY_STATE.values() for statement in statements)}
