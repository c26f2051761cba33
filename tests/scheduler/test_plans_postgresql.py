"""What a statement may read on PostgreSQL: 20,000 watches must cost a tick nothing unless they are due."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from perflab.database.database import Database
from perflab.database.statements import load_statements
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import IngestState, Watch
from tests.postgres_databases import PostgresDatabases

MANY = [f"watch-{n}" for n in range(1_000)]
WATCHES = {
    "now": 1,
    "names": MANY,
    "queues": ["ingest"] * 1_000,
    "priorities": [0] * 1_000,
    "intervals": [60] * 1_000,
    "crons": [""] * 1_000,
    "timezones": ["UTC"] * 1_000,
    "first_slots": [0] * 1_000,
    "enabled": [1] * 1_000,
    "overlaps": ["skip"] * 1_000,
    "catch_ups": [1] * 1_000,
    "payloads": ["null"] * 1_000,
    "frames": [],
}
STATES = {
    "now": 1,
    "names": MANY[:300],
    "cursors": ["1"] * 300,
    "etags": [None] * 300,
    "last_successes": [1] * 300,
    "last_errors": [None] * 300,
    "failures": [0] * 300,
}
TICK = {
    "attempts": 5,
    "channel": "perflab_jobs",
    "base": 1,
    "cap": 1,
    "doublings": 1,
    "crons": '{"* * * * * UTC": 1}',
    "next_slots": [2],
    "newest": [1],
    "depths": [1],
    "starts": [1, 2],
    "slots": [1],
}
LONG_AGO, FAR_AWAY = 10, 10**18
BY_NAME = "perflab_watches_name_key"
BY_SLOT = "perflab_watches_due"
BY_ID = "perflab_watches_pkey"
FAILING = "perflab_ingest_states_failing"
JOB_BY_KEY = "perflab_jobs_key"
OF_TICK = {BY_SLOT, BY_ID, FAILING, JOB_BY_KEY}
STATE_BY_ID = "perflab_ingest_states_pkey"
SORTS_ITS_BATCH = {"add_watches", "update_ingest_states", "hold_jobs", "hold_all_jobs"}
SORTS_FEW = {"tick"}  # the slots that one watch catches up, and expressions


@pytest.fixture(
    scope="module",
    params=[
        "before ANALYZE",
        "after ANALYZE",
        "after ANALYZE when all were due",
        "after ANALYZE when nearly all were paused",
    ],
)
def large(request: pytest.FixtureRequest, postgres_databases: PostgresDatabases) -> Iterator[Database]:
    with postgres_databases.new() as url, Database.open(url) as database:
        with database.driver_transaction() as connection:
            for table in ("perflab_watches", "perflab_ingest_states", "perflab_jobs"):
                connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        scheduler = Scheduler(database, "ingest")
        if request.param == "after ANALYZE when nearly all were paused":
            scheduler.add_watches_bulk(Watch(f"watch-{n}", 1_000.0 + n, enabled=n % 500 == 0) for n in range(20_000))
            with database.driver_transaction() as connection:
                connection.execute("ANALYZE")
                connection.execute("TRUNCATE perflab_watches CASCADE")
        scheduler.add_watches_bulk(Watch(f"watch-{n}", 1_000.0 + n, enabled=n % 10 > 0) for n in range(20_000))
        scheduler.update_ingest_states_bulk(IngestState(f"watch-{n}") for n in range(20_000))
        if request.param == "after ANALYZE when all were due":
            with database.driver_transaction() as connection:
                connection.execute("ANALYZE")
        scheduler.tick()
        if request.param == "after ANALYZE":
            with database.driver_transaction() as connection:
                connection.execute("ANALYZE")
        yield database


def explain(database: Database, statement: str, parameters: dict[str, Any]) -> tuple[set[str], list[str]]:
    """The indexes that a statement reads, and its whole plan."""
    sql = load_statements("perflab.scheduler", "postgresql")[statement]
    with database.driver_transaction() as connection:
        answer = connection.execute(f"EXPLAIN (FORMAT json) {sql}", parameters)
    found: set[str] = set()
    nodes: list[str] = []

    def walk(node: dict[str, Any]) -> None:
        nodes.append(f"{node['Node Type']} on {node.get('Relation Name', node.get('CTE Name'))}")
        if "Index Name" in node:
            found.add(node["Index Name"])
        for part in node.get("Plans", []):
            walk(part)

    ((plan,),) = answer.fetchall()
    walk(plan[0]["Plan"])
    return found, nodes


@pytest.mark.parametrize(
    ("statement", "parameters", "expected"),
    [
        ("tick", {"now": FAR_AWAY, "limit": 100, **TICK}, OF_TICK),
        ("tick", {"now": LONG_AGO, "limit": 100, **TICK}, OF_TICK),
        ("tick", {"now": LONG_AGO, "limit": 100_000, **TICK}, OF_TICK),
        ("hold_jobs", {"ids": [*range(100)]}, {"perflab_jobs_pkey"}),
        ("hold_all_jobs", {"ids": [*range(100)], "attempts": [1] * 100}, {"perflab_jobs_pkey"}),
        ("add_watches", WATCHES, set()),
        ("update_ingest_states", STATES, {BY_NAME}),
        ("lock_watches_to_remove", {"names": MANY}, {BY_NAME}),
        ("remove_watches", {"names": MANY}, {BY_NAME, BY_ID}),
        ("lock_watches_to_change", {"names": MANY}, {BY_NAME}),
        ("enable_watches", {"names": MANY, "enabled": True}, {BY_NAME, BY_ID}),
        ("due_soon", {"until": FAR_AWAY, "limit": 100}, {BY_SLOT}),
        ("watches_named", {"names": ["a", "b"]}, {BY_NAME}),
        ("ingest_states_named", {"names": ["a", "b"]}, {BY_NAME, STATE_BY_ID}),
    ],
)
def test_a_statement_reads_by_index_and_sorts_nothing_large(
    large: Database, statement: str, parameters: dict[str, Any], expected: set[str]
) -> None:
    indexes, nodes = explain(large, statement, parameters)

    assert indexes == expected, nodes
    assert not any(node.startswith("Seq Scan") for node in nodes), nodes
    if not statement.endswith("_named") and parameters.get("now") != LONG_AGO:  # the few rows that these return
        assert statement in SORTS_ITS_BATCH | SORTS_FEW or not any("Sort" in node for node in nodes), nodes
