"""What a statement may read: 20,000 watches must cost a tick nothing unless they are due."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from perflab.database.database import Database
from perflab.database.statements import load_statements
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import IngestState, Watch

SORTS_FEW = {"due_crons", "enqueue_missed"}  # expressions; the slots that one watch catches up
BY_SLOT = "SEARCH perflab_watches USING INDEX perflab_watches_due (next_due_at<?)"
BY_ID = "SEARCH perflab_watches USING INTEGER PRIMARY KEY (rowid=?)"
FAILING = "perflab_ingest_states_failing (watch_id=?"
JOB_BY_KEY = "SEARCH perflab_jobs USING INDEX perflab_jobs_key (queue=? AND key=?)"
STATE_BY_ID = "SEARCH perflab_ingest_states USING INTEGER PRIMARY KEY (rowid=?)"
BY_NAME = "sqlite_autoindex_perflab_watches_1 (name=?)"


@pytest.fixture(scope="module", params=["before ANALYZE", "after ANALYZE"])
def large(request: pytest.FixtureRequest) -> Iterator[Database]:
    with Database.open("sqlite://") as database:
        database.create_schema()
        scheduler = Scheduler(database, "ingest")
        scheduler.add_watches_bulk(Watch(f"watch-{n}", 1.0 + n, enabled=n % 10 > 0) for n in range(20_000))
        scheduler.update_ingest_states_bulk(IngestState(f"watch-{n}") for n in range(20_000))
        scheduler.tick(limit=15_000)
        if request.param == "after ANALYZE":
            with database.driver_transaction() as connection:
                connection.execute("ANALYZE")
        yield database


@pytest.mark.parametrize(
    ("statement", "parameters", "expected"),
    [
        ("due", (1, 100, 1, 1, 1), [BY_SLOT, FAILING, BY_SLOT]),
        ("due_crons", (1, 100), [BY_SLOT]),
        ("late_crons", (1, 100, "[]"), [BY_SLOT]),
        ("enqueue_due", (1, 100, 1, 1, 1, 5, "[]"), [BY_SLOT, FAILING, JOB_BY_KEY]),
        ("enqueue_missed", (1, 100, 1, 1, 1, 5, "[]", "[1]"), [BY_SLOT, FAILING]),
        ("advance", (1, 100, "[]"), [BY_SLOT, BY_ID, JOB_BY_KEY]),
        ("held_jobs", ("[1, 2]",), ["SEARCH perflab_jobs USING INTEGER PRIMARY KEY"]),
        ("due_soon", (1, 100), [BY_SLOT]),
        ("largest_watch_id", (), ["SEARCH perflab_watches"]),  # the end of the table
        ("watch_ids", ('["a"]',), [BY_NAME]),
        ("watches_named", ('["a"]',), [BY_NAME]),
        ("update_ingest_state", ("a", 0, 0, 0, 0, 1), [STATE_BY_ID, BY_NAME]),
        ("watches_with_states", ('["a"]',), [BY_NAME, STATE_BY_ID]),
        ("insert_ingest_states", (1, "a", 0, 0, 0, 0), [BY_NAME]),
        ("remove_watches", ('["a"]',), [BY_NAME, STATE_BY_ID]),
        ("enable_watches", ('["a"]', 1), [BY_NAME]),
        ("ingest_states_named", ('["a"]',), [BY_NAME, STATE_BY_ID]),
    ],
)
def test_a_statement_reads_by_index_and_sorts_nothing_large(
    large: Database, statement: str, parameters: tuple[Any, ...], expected: list[str]
) -> None:
    sql = load_statements("perflab.scheduler", "sqlite")[statement]
    plan = [row[3] for row in large.fetch(f"EXPLAIN QUERY PLAN {sql}", parameters)]

    tables = [step for step in plan if "perflab_" in step]
    assert len(tables) == len(expected), plan
    assert all(part in step for part, step in zip(expected, tables, strict=True)), plan
    assert statement in SORTS_FEW or not any("TEMP B-TREE" in step for step in plan), plan
