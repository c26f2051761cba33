"""`Database.round_trips` equals what SQLite says that it was sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import Table, delete, insert, select, text

from perflab.database.core_write import CoreWrite
from perflab.database.database import Database
from perflab.database.sqlite import SQLiteConnection
from tests.database.sqlite_of import sqlite_of


@pytest.fixture
def engine() -> str:
    return "sqlite"


@contextmanager
def statements_seen(database: Database) -> Iterator[list[str]]:
    """What SQLite's own trace reports on all connections. It reports `executemany` once for each row."""
    database.fetch("SELECT 1")  # so that there is a reader
    seen: list[str] = []
    for connection in database._connections:
        sqlite_of(connection).set_trace_callback(seen.append)
    yield seen
    for connection in database._connections:
        sqlite_of(connection).set_trace_callback(None)


def fail_after(use: Callable[..., object], *arguments: object) -> None:
    use(*arguments)
    raise KeyError


def sqlalchemy_statements(database: Database, table: Table) -> None:
    with database.transaction() as connection:
        connection.execute(insert(table), {"name": "a"})
        connection.execute(select(table)).all()
        connection.execute(text("UPDATE item SET name = 'b'"))


def sqlalchemy_rollback(database: Database, table: Table) -> None:
    with pytest.raises(KeyError), database.transaction() as connection:
        fail_after(connection.execute, delete(table))


def savepoints(database: Database, table: Table) -> None:
    with database.transaction() as connection:
        with connection.begin_nested():
            connection.execute(insert(table), {"name": "a"})
        connection.begin_nested().rollback()


def driver_statements(database: Database, table: Table) -> None:
    with database.driver_transaction() as connection:
        connection.execute("INSERT INTO item (name) VALUES (?)", ("a",))
        cursor = sqlite_of(connection).cursor()
        cursor.execute("UPDATE item SET name = ?", ("b",)).execute("DELETE FROM item")


def driver_rollback(database: Database, table: Table) -> None:
    with pytest.raises(KeyError), database.driver_transaction() as connection:
        fail_after(connection.execute, "DELETE FROM item")


def reads(database: Database, table: Table) -> None:
    database.fetch("SELECT count(*) FROM item")
    with database.reading() as connection:
        connection.execute(select(table)).all()
        connection.execute(select(table)).all()


def empty_transaction(database: Database, table: Table) -> None:
    with database.transaction():
        pass


def returning(database: Database, table: Table) -> None:
    operation = CoreWrite(insert(table).returning(table.c.id), database.dialect)
    database.apply(operation, [{"name": "a"}, {"name": "b"}, {"name": "c"}])


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        (sqlalchemy_statements, 5),
        (sqlalchemy_rollback, 3),
        (savepoints, 7),
        (driver_statements, 5),
        (driver_rollback, 3),
        (reads, 3),
        (empty_transaction, 2),
        (returning, 3),
    ],
)
def test_every_statement_is_one_round_trip(
    plain: Database, table: Table, use: Callable[[Database, Table], None], expected: int
) -> None:
    before = plain.round_trips
    with statements_seen(plain) as seen, plain.counting() as count:
        use(plain, table)
    assert len(seen) == expected
    assert count.round_trips == expected
    assert plain.round_trips == before + expected + 1  # and the read of `statements_seen`


@pytest.mark.parametrize("rows", [1, 2, 500])
def test_an_executemany_is_one_round_trip_however_many_rows(plain: Database, table: Table, rows: int) -> None:
    operation = CoreWrite(insert(table), plain.dialect)
    with statements_seen(plain) as seen, plain.counting() as count:
        plain.apply(operation, [{"name": str(number)} for number in range(rows)])
    assert [statement.split()[0] for statement in seen] == ["BEGIN", *["INSERT"] * rows, "COMMIT"]
    assert count.round_trips == 3

    with plain.counting() as count, plain.transaction() as connection:
        connection.execute(insert(table), [{"name": f"again {number}"} for number in range(rows)])
    assert count.round_trips == 3


def test_a_refused_statement_was_sent_too(plain: Database, table: Table) -> None:
    operation = CoreWrite(insert(table), plain.dialect)
    plain.apply(operation, [{"name": "a"}])
    with statements_seen(plain) as seen, plain.counting() as count, pytest.raises(Exception, match="UNIQUE"):
        plain.apply(operation, [{"name": "a"}])
    assert [statement.split()[0] for statement in seen] == ["BEGIN", "INSERT", "ROLLBACK"]
    assert count.round_trips == 3


def test_setting_up_connections_is_not_counted(database_url: str) -> None:
    with Database.open(database_url) as database:
        assert database.round_trips == 0
        database.fetch("SELECT 1")
        assert database.round_trips == 1
        with database.transaction():
            pass
        assert database.round_trips == 3


def test_a_count_stands_still_after_its_block(plain: Database) -> None:
    with plain.counting() as count:
        plain.fetch("SELECT 1")
        assert count.round_trips == 1, "it can be read while it runs"
        plain.fetch("SELECT 1")
    plain.fetch("SELECT 1")
    assert count.round_trips == 2


def test_counting_includes_other_threads_and_ends_with_an_exception(plain: Database) -> None:
    with ThreadPoolExecutor(1) as threads, pytest.raises(KeyError), plain.counting() as count:
        fail_after(threads.submit(plain.fetch, "SELECT 1").result)
    plain.fetch("SELECT 1")
    assert count.round_trips == 1


@pytest.mark.case("F20")
def test_a_rollback_that_sqlite_already_made_is_not_sent_again(plain: Database) -> None:
    with plain.writing_connection() as connection:
        before = connection.round_trips
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT OR ROLLBACK INTO item (id) VALUES (1)")
        with pytest.raises(Exception, match="UNIQUE"):
            connection.execute("INSERT OR ROLLBACK INTO item (id) VALUES (1)")
        assert not connection.in_transaction
        sqlite_of(connection).rollback()
        sqlite_of(connection).commit()
        assert connection.round_trips - before == 3
        assert isinstance(connection, SQLiteConnection)
