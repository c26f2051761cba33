"""The arms write what they say: a bench that compares different work has no ratio."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from perflab.database.database import Database
from perflab.errors import InvalidInput
from perflab.lab.bench.comparison import Comparison
from perflab.lab.bench.run import BENCH_NAMES, make_comparisons
from perflab.lab.bench.sqlite_writes import BulkCall, RawForm

QUERIES = {
    "bulk_enqueue": "SELECT queue, priority, state, attempt, max_attempts, key, json(payload) FROM perflab_jobs",
    "add_watches_bulk": (
        "SELECT name, queue, priority, interval, cron, timezone, enabled, json(payload) FROM perflab_watches"
    ),
    "update_ingest_states_bulk": (
        "SELECT watches.name, cursor, etag, last_success_at, last_error, consecutive_failures "
        "FROM perflab_ingest_states JOIN perflab_watches AS watches ON watches.id = watch_id"
    ),
}


def rows_after(arm: BulkCall | RawForm, query: str, folder: Path) -> list[tuple[Any, ...]]:
    """What two batches of an arm leave in a fresh database."""
    path = folder / f"{abs(hash(arm.name))}.db"
    with Database.open(f"sqlite:///{path}") as database:
        database.create_schema()
        arm.prepare(database)
        batches: list[Sequence[Any]] = [arm.make_batch(0), arm.make_batch(1)]
        if isinstance(arm, BulkCall):
            for batch in batches:
                arm.call(database)(batch)
    if isinstance(arm, RawForm):
        with sqlite3.connect(path) as connection:
            for batch in batches:
                arm.write(connection, batch)
        connection.close()
    with Database.open(f"sqlite:///{path}") as database:
        return sorted(database.fetch(query), key=repr)


@pytest.mark.parametrize("name", ["enqueue", "watches", "states"])
def test_all_arms_leave_the_same_rows(name: str, tmp_path: Path) -> None:
    (comparison,) = make_comparisons([name])
    ours, *others = (
        rows_after(arm, QUERIES[comparison.name], tmp_path)
        for arm in comparison.arms
        if isinstance(arm, BulkCall | RawForm)
    )
    assert len(ours) >= 1_000
    assert len(others) == len(comparison.others)
    for other in others:
        assert other == ours


@pytest.mark.parametrize("name", ["submit", "life"])
def test_submits_are_timed(name: str) -> None:
    (comparison,) = make_comparisons([name])
    assert all(0 < arm.visit(0) < 1 for arm in comparison.arms)


def test_all_benches_by_default() -> None:
    made: list[Comparison] = make_comparisons([])
    assert len(made) == len(BENCH_NAMES)


def test_an_unknown_bench_is_refused() -> None:
    with pytest.raises(InvalidInput, match="there is no bench 'claims': use enqueue, watches"):
        make_comparisons(["claims"])
