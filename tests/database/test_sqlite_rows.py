from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.database.database import Database
from perflab.database.operation import DriverConnection
from perflab.database.sqlite_rows import ROWS_PER_STATEMENT, write_rows

INSERT = "INSERT OR FAIL INTO written (given, a, b, c) VALUES (?1, ?, ?, ?) ON CONFLICT (a) DO NOTHING"
SIZES = st.sampled_from([1, 2, ROWS_PER_STATEMENT - 1, ROWS_PER_STATEMENT, ROWS_PER_STATEMENT + 1, 130])


def written(connection: DriverConnection, columns: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    connection.execute("CREATE TABLE IF NOT EXISTS written (id INTEGER PRIMARY KEY, given, a UNIQUE, b, c)")
    connection.execute("DELETE FROM written")
    result = write_rows(connection, INSERT, ("given",), columns)
    rows: list[tuple[Any, ...]] = connection.execute("SELECT id, given, a, b, c FROM written ORDER BY id").fetchall()
    assert result.changed == len(rows)
    assert result.last_id == rows[-1][0]
    return [row[1:] for row in rows]


@given(st.data(), SIZES)
def test_all_rows_arrive_whatever_they_share(data: st.DataObject, size: int) -> None:
    shared = st.sampled_from([None, 0, 5, "text", ""]).map(lambda value: [value] * size)
    own = st.lists(st.none() | st.integers(-3, 3) | st.text(max_size=2), min_size=size, max_size=size)
    columns = (range(size), data.draw(shared | own), data.draw(shared | own))
    with Database.open("sqlite://") as database, database.driver_transaction() as connection:
        assert written(connection, columns) == [("given", *row) for row in zip(*columns, strict=True)]


def test_what_differs_by_nothing_but_its_type_is_written_as_it_is() -> None:
    with Database.open("sqlite://") as database, database.driver_transaction() as connection:
        rows = written(connection, (range(3), [7, 7, 7], ["7", 7, "7"]))
    assert [row[3] for row in rows] == ["7", 7, "7"]


def test_rows_that_change_nothing_are_not_counted() -> None:
    with Database.open("sqlite://") as database, database.driver_transaction() as connection:
        connection.execute("CREATE TABLE written (id INTEGER PRIMARY KEY, given, a UNIQUE, b, c)")
        assert write_rows(connection, INSERT, (1,), (range(60), range(60), range(60))).changed == 60
        assert write_rows(connection, INSERT, (1,), (range(50, 110), range(60), range(60))).changed == 50


def test_a_row_that_fails_is_an_error() -> None:
    with (
        pytest.raises(sqlite3.IntegrityError),
        Database.open("sqlite://") as database,
        database.driver_transaction() as connection,
    ):
        connection.execute("CREATE TABLE strict (a INTEGER NOT NULL)")
        write_rows(connection, "INSERT OR FAIL INTO strict (a) VALUES (?)", (), ([1, 2, None, 4],))
