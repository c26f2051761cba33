"""Many rows into one table."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text

from perflab.batching.inserter import BulkInserter, InsertReport
from perflab.batching.retry import RetryPolicy
from perflab.database.database import Database
from perflab.errors import DeliveryTimeout, InvalidInput, LifecycleError, RejectedRow
from perflab.events import Cause, FlushCompleted, Outcome
from tests.listening import to_flushes

Rows = Callable[[], list[int]]
Stored = list[tuple[Any, ...]]
PATIENCE_SECONDS = 60.0
DUPLICATE = r'UNIQUE constraint failed: sample\.id|duplicate key value violates unique constraint "sample_pkey"'
CHECK = "CHECK constraint failed|violates check constraint"


@pytest.fixture(params=["sqlite", "postgresql", "postgresql by COPY"])
def db(
    request: pytest.FixtureRequest, tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    """On each engine, and in each of its forms; a lock is waited for as shortly as the engine can."""
    on_file = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'test.db'}" if on_file else request.getfixturevalue("postgres_url")
    if request.param == "postgresql by COPY":
        monkeypatch.setattr("perflab.database.bulk.postgresql.COPY_FROM_ROWS", 1)
        monkeypatch.setattr("perflab.database.bulk.postgresql.STAGING_FROM_ROWS", 1)
    with Database.open(url, busy_timeout=0.0 if on_file else 0.01) as opened:
        with opened.transaction() as connection:
            table.create(connection)
            if not on_file:  # where an id that is given does not move the next one that is made
                connection.exec_driver_sql("ALTER SEQUENCE sample_id_seq RESTART WITH 1000")
        yield opened


def stored(db: Database) -> Stored:
    return db.fetch("SELECT id, n, name FROM sample ORDER BY id")


# -- what goes in ------------------------------------------------------------------------------------------------------


def test_rows_of_every_shape(db: Database, table: Table) -> None:
    with BulkInserter(db, table, 100, 3600.0) as inserter:
        inserter.add({"id": 1, "n": 1})
        inserter.add((2, 2, "b"))
        inserter.add([3, 3, None])
        inserter.extend([{"n": 4, "name": "d"}, (5, 5, "e")])
        inserter.extend((n, n, None) for n in (6, 7))
        inserter.extend(pd.DataFrame({"n": np.array([8, 9]), "name": ["h", np.nan]}))
    assert sorted(row[1:] for row in stored(db)) == [
        (n, name) for n, name in enumerate((None, "b", None, "d", "e", None, None, "h", None), start=1)
    ]
    assert {row[:2] for row in stored(db)} >= {(1, 1), (2, 2), (3, 3), (5, 5), (6, 6), (7, 7)}
    assert inserter.close() == InsertReport(delivered=9, rejected=0)


def test_tuples_may_be_for_some_columns(db: Database, table: Table) -> None:
    with BulkInserter(db, table, columns=["name", "n"]) as inserter:
        inserter.add(("a", 1))
    assert [row[1:] for row in stored(db)] == [(1, "a")]


def test_a_table_may_be_given_by_name(db: Database) -> None:
    with BulkInserter(db, "sample") as inserter:
        inserter.extend([{"n": 1, "name": "a"}, (7, 2, "b")])
    assert sorted(row[1:] for row in stored(db)) == [(1, "a"), (2, "b")]
    assert (7, 2, "b") in stored(db)


def test_batches_are_full_and_savings_counted(
    db: Database, table: Table, rows: Rows, flushes: list[FlushCompleted]
) -> None:
    with BulkInserter(db, table, 4, 3600.0) as inserter:
        inserter.extend({"n": n} for n in range(20, 30))
        assert rows() == list(range(20, 28)), "a full batch is written by the call that fills it"
    assert [(flush.cause, flush.items) for flush in flushes] == [(Cause.COUNT, 4), (Cause.COUNT, 4), (Cause.CLOSE, 2)]
    metrics = inserter.metrics()
    assert metrics.items == 10
    if db.engine_name == "sqlite":
        assert (metrics.round_trips, metrics.round_trips_saved) == (9, 21)
    else:  # with COPY one more, once, for the types of the columns
        assert metrics.round_trips in (3, 4)
        assert metrics.round_trips_saved == 10 - metrics.round_trips


def test_batches_may_be_bounded_by_bytes(db: Database, table: Table, flushes: list[FlushCompleted]) -> None:
    with BulkInserter(db, table, 100, 3600.0, batch_bytes=220) as inserter:
        inserter.extend({"n": n, "name": "x" * 100} for n in range(20, 26))  # of 113 bytes each
    assert [flush.items for flush in flushes] == [1] * 5 + [1]
    assert all(flush.bytes == 113 for flush in flushes)


def test_a_source_is_read_no_faster_than_it_is_written(db: Database, table: Table, rows: Rows) -> None:
    ahead: list[int] = []

    def generate() -> Iterator[dict[str, int]]:
        for n in range(20, 60):
            ahead.append(n - 20 - len(rows()))
            yield {"n": n}

    with BulkInserter(db, table, 5, 3600.0) as inserter:
        inserter.extend(generate())
    assert max(ahead) == 4
    assert len(rows()) == 40


@pytest.mark.case("F39")
def test_memory_stays_flat_for_a_long_source(db: Database) -> None:
    bare = Table("bare", MetaData(), Column("n", Integer, primary_key=True))
    with db.transaction() as connection:
        bare.create(connection)

    def peak_bytes(rows: range) -> int:
        tracemalloc.start()
        try:
            inserter.extend({"n": n} for n in rows)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    with BulkInserter(db, bare, 1_000, 3600.0) as inserter:
        inserter.extend({"n": n} for n in range(1_000, 3_000))  # everything is compiled and cached
        short = peak_bytes(range(10_000, 15_000))
        long = peak_bytes(range(100_000, 300_000))
    assert long < 2 * short
    assert db.fetch("SELECT count(*) FROM bare") == [(207_000,)]


# -- conflicts ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def taken(db: Database) -> Database:
    with db.driver_transaction() as connection:
        connection.execute("INSERT INTO sample VALUES (1, 1, 'old'), (2, 2, 'old')")
    return db


def test_on_conflict_error_rejects_the_row(taken: Database, table: Table) -> None:
    inserter = BulkInserter(taken, table)
    inserter.extend([(3, 3, "new"), (1, 10, "new"), (4, 4, "new")])
    with pytest.raises(RejectedRow, match=DUPLICATE):
        inserter.close()
    assert stored(taken) == [(1, 1, "old"), (2, 2, "old"), (3, 3, "new"), (4, 4, "new")]
    assert inserter.close() == InsertReport(delivered=2, rejected=1)


def test_on_conflict_ignore_leaves_the_old_row(taken: Database, table: Table) -> None:
    with BulkInserter(taken, table, on_conflict="ignore") as inserter:
        inserter.extend([(1, 10, "new"), (3, 3, "new"), (3, 30, "again")])
    assert stored(taken) == [(1, 1, "old"), (2, 2, "old"), (3, 3, "new")]
    assert inserter.close() == InsertReport(delivered=3, rejected=0)


def test_on_conflict_update_touches_only_the_columns_that_the_row_has(taken: Database, table: Table) -> None:
    with BulkInserter(taken, table, on_conflict="update") as inserter:
        inserter.add({"id": 1, "name": "new"})
        inserter.add({"id": 2, "n": 20})
        inserter.add({"id": 3, "n": 3, "name": "new"})
        inserter.add({"id": 3, "name": "newer"})
        inserter.add({"id": 1})
        inserter.add({"n": 4})
    assert stored(taken)[:3] == [(1, 1, "new"), (2, 20, "old"), (3, 3, "newer")]
    assert [row[1:] for row in stored(taken)[3:]] == [(4, None)]
    assert inserter.close() == InsertReport(delivered=6, rejected=0)


@pytest.mark.case("F30")
def test_the_last_of_several_updates_in_one_batch_wins(taken: Database, table: Table) -> None:
    with BulkInserter(taken, table, on_conflict="update") as inserter:
        inserter.extend((1, n, f"v{n}") for n in (5, 6, 7))
    assert stored(taken)[0] == (1, 7, "v7")


def test_update_needs_a_primary_key(db: Database) -> None:
    keyless = Table("keyless", MetaData(), Column("n", Integer))
    with pytest.raises(InvalidInput, match="on_conflict='update' needs a primary key, and 'keyless' has none"):
        BulkInserter(db, keyless, on_conflict="update")


def test_a_key_of_two_columns(db: Database) -> None:
    pair = Table(
        "pair",
        MetaData(),
        Column("a", Text, primary_key=True),
        Column("b", Text, primary_key=True),
        Column("n", Integer),
    )
    with db.transaction() as connection:
        pair.create(connection)
    with BulkInserter(db, pair, on_conflict="update") as inserter:
        inserter.extend([("x", "y", 1), ("x", "z", 2), ("x", "y", 3)])
    assert db.fetch("SELECT a, b, n FROM pair ORDER BY b") == [("x", "y", 3), ("x", "z", 2)]


# -- bad rows ----------------------------------------------------------------------------------------------------------

BAD = [{"n": 13}, {"n": 1, "nope": 2}, {"name": "\0"}, {"n": float("nan")}, {"n": 2**63}, {"n": 21}, {"n": object()}]
"""Refused by a constraint, by a check, as unknown, as a duplicate of a good one, and by the driver."""


@pytest.mark.case("F31")
@pytest.mark.parametrize("position", [0, 3, 6])
@pytest.mark.parametrize("bad", BAD, ids=[str(n) for n in range(len(BAD))])
def test_a_bad_row_never_takes_its_neighbours(
    db: Database, table: Table, rows: Rows, bad: dict[str, Any], position: int
) -> None:
    rejected: list[tuple[Mapping[str, Any], Exception]] = []
    good: list[dict[str, Any]] = [{"n": n} for n in range(21, 27)]
    if bad == {"n": 21} and position == 0:
        position = 1  # it is the second of two that is refused
    with BulkInserter(db, table, 100, 3600.0, on_reject=lambda *refused: rejected.append(refused)) as inserter:
        inserter.extend([*good[:position], bad, *good[position:]])
    assert rows() == list(range(21, 27))
    ((row, error),) = rejected
    assert row is bad
    assert isinstance(error, InvalidInput | RejectedRow)
    assert inserter.close() == InsertReport(delivered=6, rejected=1)


def test_without_on_reject_the_first_error_is_raised_after_the_neighbours_are_in(
    db: Database, table: Table, rows: Rows
) -> None:
    inserter = BulkInserter(db, table, 5, 3600.0)
    with pytest.raises(RejectedRow, match=CHECK) as caught:
        inserter.extend({"n": n} for n in (1, 13, 2, 1, 3))
    assert caught.value.__notes__ == ["1 more rows were rejected; with on_reject you are told of each"]
    assert rows() == [1, 2, 3]
    inserter.add({"n": 4})
    assert inserter.close() == InsertReport(delivered=4, rejected=2)
    assert rows() == [1, 2, 3, 4]


def test_a_row_of_a_wrong_shape_is_refused_before_it_is_added(db: Database, table: Table, rows: Rows) -> None:
    with BulkInserter(db, table) as inserter:
        inserter.add({"n": 1})
        for bad in ("text", 5, (1, 2)):
            with pytest.raises(InvalidInput):
                inserter.add(bad)  # type: ignore[arg-type]
        inserter.add({"n": 2})
    assert rows() == [1, 2]


def test_an_on_reject_that_raises_is_heard_after_all_were_told(db: Database, table: Table, rows: Rows) -> None:
    told: list[Any] = []

    def complain(row: Mapping[str, Any], error: Exception) -> None:
        told.append(row)
        raise KeyError(len(told))

    inserter = BulkInserter(db, table, 100, 3600.0, on_reject=complain)
    inserter.extend([{"n": 13}, {"n": 1}, {"nope": 1}])
    with pytest.raises(KeyError, match="1"):
        inserter.flush()
    assert len(told) == 2
    assert rows() == [1]
    assert inserter.close() == InsertReport(delivered=1, rejected=2)


def test_on_reject_may_add_the_corrected_row(db: Database, table: Table, rows: Rows) -> None:
    def correct(row: Mapping[str, Any], error: Exception) -> None:
        inserter.add({"n": 100, "name": "instead of 13"})

    inserter = BulkInserter(db, table, 2, 3600.0, on_reject=correct)
    inserter.extend([{"n": 13}, {"n": 1}, {"n": 2}])
    inserter.flush()
    assert inserter.close() == InsertReport(delivered=3, rejected=1)
    assert sorted(rows()) == [1, 2, 100]


# -- time --------------------------------------------------------------------------------------------------------------


def test_an_old_row_is_written_without_another_call(db: Database, table: Table, rows: Rows) -> None:
    written = threading.Event()
    db.events.add(to_flushes(lambda _flush: written.set()))
    with BulkInserter(db, table, 100, 0.005) as inserter:
        inserter.add({"n": 1})
        assert written.wait(PATIENCE_SECONDS)
        written.clear()
        inserter.add({"n": 2})
        assert written.wait(PATIENCE_SECONDS), "again after the first"
        assert inserter.metrics().causes == {Cause.AGE: 2}
    assert rows() == [1, 2]


def test_an_error_in_the_background_is_raised_by_the_next_call(db: Database, table: Table, rows: Rows) -> None:
    written = threading.Event()
    db.events.add(to_flushes(lambda _flush: written.set()))
    inserter = BulkInserter(db, table, 100, 0.005)
    inserter.add({"n": 13})
    assert written.wait(PATIENCE_SECONDS)
    with pytest.raises(RejectedRow, match=CHECK):
        inserter.flush()
    inserter.add({"n": 1})
    assert inserter.close() == InsertReport(delivered=1, rejected=1)
    assert rows() == [1]


def test_without_a_thread_the_next_call_writes(
    db: Database, table: Table, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot_start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    now = 0.0
    monkeypatch.setattr(threading.Thread, "start", cannot_start)
    with BulkInserter(db, table, 100, 5.0, clock=lambda: now) as inserter:
        inserter.add({"n": 1})
        now = 4.9
        inserter.add({"n": 2})
        assert rows() == []
        now = 5.0
        inserter.add({"n": 3})
        assert rows() == [1, 2, 3]


@pytest.mark.case("F18")
def test_a_busy_file_is_waited_for(db: Database, table: Table, rows: Rows, lock: Any) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            lock.release()

    retry = RetryPolicy(base_seconds=0.001, cap_seconds=0.002)
    with BulkInserter(db, table, 2, 3600.0, retry=retry, sleep=sleep) as inserter:
        lock.hold()
        inserter.extend({"n": n} for n in (1, 2))
        assert inserter.metrics().retries >= 1, "the fault fired"
        assert len(slept) >= 2
    assert rows() == [1, 2]


def test_a_file_that_stays_busy_rejects_the_rows(db: Database, table: Table, rows: Rows, lock: Any) -> None:
    lock.hold()
    rejected: list[Exception] = []
    retry = RetryPolicy(base_seconds=0.001, cap_seconds=0.002, delivery_timeout=0.01)
    with BulkInserter(
        db, table, 2, 3600.0, retry=retry, on_reject=lambda _row, error: rejected.append(error)
    ) as inserter:
        inserter.extend({"n": n} for n in (1, 2))
        assert [type(error) for error in rejected] == [DeliveryTimeout] * 2
        lock.release()
        inserter.add({"n": 3})
    assert rows() == [3]


# -- the end -----------------------------------------------------------------------------------------------------------


def test_closing_twice_changes_nothing(db: Database, table: Table, rows: Rows) -> None:
    inserter = BulkInserter(db, table)
    inserter.add({"n": 1})
    assert inserter.close() == inserter.close() == InsertReport(delivered=1, rejected=0)
    with pytest.raises(LifecycleError, match="is closed"):
        inserter.add({"n": 2})
    inserter.flush()
    assert rows() == [1]


def test_an_operation_that_is_broken_off_is_heard_and_not_repeated(
    db: Database, table: Table, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    inserter = BulkInserter(db, table, 100, 3600.0)
    inserter.add({"n": 1})

    def broken_off(_batch: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(inserter._delivery, "attempt", broken_off)
        with pytest.raises(SystemExit):
            inserter.flush()
    assert inserter.metrics().pending == 0
    inserter.add({"n": 2})
    assert inserter.close() == InsertReport(delivered=1, rejected=1)
    assert rows() == [2]


def test_a_listener_hears_of_partial_batches(db: Database, table: Table, flushes: list[FlushCompleted]) -> None:
    with BulkInserter(db, table, 100, 3600.0, on_reject=lambda _row, _error: None) as inserter:
        inserter.extend({"n": n} for n in (1, 13, 2))
    assert [(flush.outcome, flush.items, flush.delivered) for flush in flushes] == [(Outcome.PARTIAL, 3, 2)]


# -- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"flush_interval": -1.0}, "flush_interval is -1"),
        ({"batch_bytes": 0}, "batch_bytes is 0"),
        ({"on_conflict": "replace"}, "on_conflict is 'replace': use one of 'error', 'ignore', 'update'"),
        ({"columns": ["n", "nope"]}, "'sample' has no column 'nope'"),
        ({"table": "missing"}, "there is no table 'missing' in '.*': create it first"),
        ({"table": 5}, "the table is a int: give a SQLAlchemy Table or the name of one"),
    ],
)
def test_bad_settings_are_refused(db: Database, table: Table, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        BulkInserter(db, **{"table": table, **settings})
