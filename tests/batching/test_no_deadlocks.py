"""Processes that write the same rows in any order of theirs wait for each other, and never deadlock."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

WRITER = """
    import json, random, select, sys
    from sqlalchemy import Column, Integer, MetaData, Table, bindparam, delete, update
    from sqlalchemy.dialects.postgresql import insert
    from perflab import Database, RequestBatcher

    url, seed = sys.argv[1], int(sys.argv[2])
    rng = random.Random(seed)
    tables = [
        Table(name, MetaData(), Column("id", Integer, primary_key=True, autoincrement=False), Column("n", Integer))
        for name in ("first", "second")
    ]
    writes = []
    for table in tables:
        upsert = insert(table)
        upsert = upsert.on_conflict_do_update(index_elements=["id"], set_={"n": upsert.excluded.n})
        change = update(table).where(table.c.id == bindparam("which"))
        writes.append((upsert, change, insert(table).on_conflict_do_nothing()))
    batches = 0
    with Database.open(url) as database, RequestBatcher(database, batch_size=400, flush_interval=60.0) as batcher:
        print("ready", flush=True)
        sys.stdin.readline()
        while batches < 10 or not select.select([sys.stdin], [], [], 0.0)[0]:
            keys = rng.sample(range(110), 75)
            for upsert, change, ignore in rng.sample(writes, 2):
                kind = rng.randrange(3)
                for key in keys:
                    row = {"which" if kind == 1 else "id": key, "n": rng.randrange(1_000)}
                    batcher.submit((upsert, change, ignore)[kind], row)
            batcher.flush()
            batches += 1
        metrics = batcher.metrics()
    print(json.dumps({"batches": batches, "retries": metrics.retries, "failed": metrics.failed}))
"""


@pytest.fixture
def engine() -> str:
    return "postgresql"


@pytest.fixture
def tables(perflab_url: str) -> str:
    """Slow ones, so that each transaction is between its first row and its last most of the time."""
    with psycopg.connect(perflab_url, autocommit=True) as connection:
        connection.execute(
            "CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM pg_sleep(0.0001); RETURN NEW; END'"
        )
        for name in ("first", "second"):
            connection.execute(f"DROP TABLE IF EXISTS {name}")
            connection.execute(f"CREATE TABLE {name} (id integer PRIMARY KEY, n integer)")
            connection.execute(
                f"CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON {name} FOR EACH ROW EXECUTE FUNCTION slow()"
            )
    return perflab_url


@pytest.mark.case("F13")
def test_two_processes_with_shuffled_overlapping_keys(
    tables: str, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    """Elsewhere unsorted keys deadlock two upserters (PerformanceMonitor#1801)."""
    writers = [start_python(WRITER, tables, seed) for seed in (1, 2)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    with psycopg.connect(tables, autocommit=True) as connection:
        waits = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        met = 0
        while met < 10 and all(writer.poll() is None for writer in writers):
            met += len(connection.execute(waits).fetchall())
    reports: list[dict[str, Any]] = []
    for writer in writers:
        output, errors = writer.communicate("stop\n", timeout=120)
        assert writer.returncode == 0, errors
        reports.append(json.loads(output))
    assert met == 10, "they did not meet"
    assert all(report["batches"] >= 10 for report in reports)
    assert [(report["retries"], report["failed"]) for report in reports] == [(0, 0), (0, 0)]
