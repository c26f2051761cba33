"""Several batchers on one file, in one process and in several: everything is written, and nothing twice."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite

from perflab.batching.batcher import RequestBatcher
from perflab.batching.drain_report import DrainReport
from perflab.batching.retry import RetryPolicy
from perflab.database.database import Database

StartPython = Callable[..., "subprocess.Popen[str]"]
PATIENCE_SECONDS = 60.0


@pytest.mark.case("F13")
def test_upserts_of_the_same_keys_in_another_order_never_lock_each_other_out(
    db: Database, perflab_url: str, table: Table
) -> None:
    """On SQLite, one writer at a time, and the other tries again; a server locks rows."""
    statement = (sqlite.insert if db.engine_name == "sqlite" else postgresql.insert)(table)
    upsert = statement.on_conflict_do_update(index_elements=["id"], set_={"n": statement.excluded.n})
    retry = RetryPolicy(base_seconds=0.001, cap_seconds=0.02, delivery_timeout=PATIENCE_SECONDS)

    def write(seed: int) -> DrainReport:
        keys = list(range(60))
        Random(seed).shuffle(keys)
        with Database.open(perflab_url, busy_timeout=0.0) as own:
            batcher = RequestBatcher(own, 7, 3600.0, retry=retry)
            for key in keys:
                batcher.submit(upsert, {"id": key, "n": 1_000 * seed + key})
            batcher.flush(PATIENCE_SECONDS)
            metrics = batcher.metrics()
            assert (metrics.items, metrics.failed) == (60, 0)
            return batcher.close(PATIENCE_SECONDS)

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(write, (1, 2))) == [DrainReport(0, 0, 0)] * 2
    stored: list[tuple[Any, ...]] = db.fetch("SELECT id, n FROM sample ORDER BY id")
    assert [key for key, _ in stored] == list(range(60))
    assert {n - key for key, n in stored} <= {1_000, 2_000}


WRITE = """
    import sys
    from perflab.batching.batcher import RequestBatcher
    from perflab.database.database import Database
    from sqlalchemy import Column, Integer, MetaData, Table, insert

    table = Table("sample", MetaData(), Column("n", Integer))
    with Database.open(sys.argv[1], busy_timeout=0.0) as database, RequestBatcher(database, 9, 0.001) as batcher:
        print("ready", flush=True)
        sys.stdin.readline()
        futures = [batcher.submit(insert(table), {"n": int(sys.argv[2]) + n}) for n in range(300)]
        for future in futures:
            future.result()
"""


def test_processes_share_a_database(db: Database, perflab_url: str, start_python: StartPython) -> None:
    writers = [start_python(WRITE, perflab_url, start) for start in (1_000, 2_000, 3_000)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors
    assert db.fetch("SELECT count(*), count(DISTINCT n) FROM sample") == [(900, 900)]
