"""Transactions: how they begin and end, one at a time, between threads and between processes."""

from __future__ import annotations

import sqlite3
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import Table, insert, select
from sqlalchemy.exc import IntegrityError

from perflab.database.core_write import CoreWrite
from perflab.database.database import Database
from perflab.errors import InvalidInput, LifecycleError, PoolExhausted, RejectedRow, StatementError, TransientError
from tests.database.sqlite_of import sqlite_of
from tests.engines import on_sqlite

StartPython = Callable[..., "subprocess.Popen[str]"]


def names(database: Database) -> list[str]:
    return [name for (name,) in database.fetch("SELECT name FROM item ORDER BY id")]


def fail_after(use: Callable[..., object], *arguments: object) -> None:
    use(*arguments)
    raise KeyError


# -- how they begin and end --------------------------------------------------------------------------------------------


@pytest.mark.case("F19")
@on_sqlite
def test_every_writing_transaction_begins_immediate(plain: Database, table: Table) -> None:
    sent: list[str] = []
    with plain.writing_connection() as connection:
        sqlite_of(connection).set_trace_callback(sent.append)
    with plain.transaction() as sqlalchemy_connection:
        sqlalchemy_connection.execute(select(table)).all()
    with plain.driver_transaction() as connection:
        connection.execute("INSERT INTO item (name) VALUES ('a')")
    plain.apply(CoreWrite(insert(table), plain.dialect), [{"name": "b"}])
    begins = [statement for statement in sent if statement.startswith("BEGIN")]
    assert begins == ["BEGIN IMMEDIATE"] * 3


@pytest.mark.case("F19")
@on_sqlite
def test_a_transaction_holds_the_write_lock_from_its_first_moment(plain: Database, database_url: str) -> None:
    with Database.open(database_url, busy_timeout=0.0) as other, plain.transaction():
        with (
            pytest.raises(TransientError, match="beginning a transaction failed: database is locked"),
            other.transaction(),
        ):
            pass
        with pytest.raises(sqlite3.OperationalError, match="locked"), other.driver_transaction():
            pass
        assert other.fetch("SELECT count(*) FROM item") == [(0,)], "readers do not wait"


def test_a_transaction_commits_at_its_end(plain: Database, table: Table) -> None:
    with plain.transaction() as connection:
        connection.execute(insert(table), [{"name": "a"}, {"name": "b"}])
    with plain.driver_transaction() as driver:
        driver.execute("INSERT INTO item (name) VALUES ('c')")
    assert names(plain) == ["a", "b", "c"]


def test_a_transaction_rolls_back_on_an_exception(plain: Database, table: Table) -> None:
    with pytest.raises(KeyError), plain.transaction() as connection:
        fail_after(connection.execute, insert(table), {"name": "a"})
    with pytest.raises(KeyError), plain.driver_transaction() as driver:
        fail_after(driver.execute, "INSERT INTO item (name) VALUES ('a')")
    with pytest.raises(IntegrityError), plain.transaction() as connection:
        connection.execute(insert(table), [{"name": "a"}, {"name": "a"}])
    assert names(plain) == []


def test_a_savepoint_rolls_back_alone(plain: Database, table: Table) -> None:
    with plain.transaction() as connection:
        connection.execute(insert(table), {"name": "a"})
        savepoint = connection.begin_nested()
        connection.execute(insert(table), {"name": "b"})
        savepoint.rollback()
    assert names(plain) == ["a"]


# -- one at a time -----------------------------------------------------------------------------------------------------


@on_sqlite
def test_a_transaction_inside_a_transaction_is_refused_at_once(plain: Database, table: Table) -> None:
    operation = CoreWrite(insert(table), plain.dialect)
    with plain.transaction() as connection:
        with pytest.raises(LifecycleError, match="inside a transaction of the same thread"), plain.transaction():
            pass
        with pytest.raises(LifecycleError, match=r"connection=…"), plain.driver_transaction():
            pass
        with pytest.raises(LifecycleError, match="inside a transaction"):
            plain.apply(operation, [{"name": "lost"}])
        plain.apply(operation, [{"name": "kept"}], connection=connection)
    assert names(plain) == ["kept"]
    plain.apply(operation, [{"name": "after"}])
    assert names(plain) == ["kept", "after"]


def test_in_memory_a_read_inside_a_transaction_is_refused_at_once() -> None:
    with Database.open("sqlite://") as database, database.transaction():
        with pytest.raises(LifecycleError, match="inside a transaction"):
            database.fetch("SELECT 1")
        with pytest.raises(LifecycleError, match="inside a transaction"), database.reading():
            pass


@pytest.mark.case("F23")
@on_sqlite
def test_another_thread_that_never_gets_the_connection_gets_a_typed_error(database_url: str) -> None:
    with Database.open(database_url, busy_timeout=0.05) as database, ThreadPoolExecutor(1) as threads:

        def write() -> None:
            with database.transaction():
                pass

        with database.transaction(), pytest.raises(PoolExhausted, match="no connection was free within"):
            threads.submit(write).result()
        threads.submit(write).result()


@pytest.mark.case("F15")
def test_more_readers_than_connections_get_a_typed_error(database_url: str) -> None:
    with Database.open(database_url, busy_timeout=0.05) as database:
        readers = [database.reading() for _ in range(database._pools.reader.size)]
        for reader in readers:
            reader.__enter__()
        with pytest.raises(PoolExhausted, match="no connection was free within"):
            database.fetch("SELECT 1")
        for reader in readers:
            reader.__exit__(None, None, None)
        assert database.fetch("SELECT 1") == [(1,)]


# -- many writers ------------------------------------------------------------------------------------------------------


@pytest.mark.case("F23")
@pytest.mark.parametrize("kind", ["file", "memory"])
def test_threads_write_and_read_without_losing_a_row(database_url: str, table: Table, kind: str) -> None:
    with Database.open(database_url if kind == "file" else "sqlite://") as database:
        with database.transaction() as connection:
            table.create(connection)
        operation = CoreWrite(insert(table), database.dialect)

        def write(thread: int) -> None:
            for number in range(25):
                database.apply(operation, [{"name": f"{thread}-{number}"}])
                assert (f"{thread}-{number}",) in database.fetch("SELECT name FROM item")

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(write, range(4)))
        assert database.fetch("SELECT count(*), count(DISTINCT name) FROM item") == [(100, 100)]


WRITE_MANY = """
    import sys
    from perflab.database.database import Database
    with Database.open(sys.argv[1], busy_timeout=60) as database:
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(50):
            with database.driver_transaction() as connection:
                connection.execute(f"INSERT INTO item (name) VALUES ('{sys.argv[2]}-{number}')")
"""
HOLD_THE_LOCK = """
    import sys
    from perflab.database.database import Database
    with Database.open(sys.argv[1]) as database, database.transaction() as connection:
        connection.exec_driver_sql("INSERT INTO item (name) VALUES ('other process')")
        print("locked", flush=True)
        sys.stdin.readline()
"""


@pytest.mark.case("F18")
def test_processes_write_without_losing_a_row(plain: Database, database_url: str, start_python: StartPython) -> None:
    writers = [start_python(WRITE_MANY, database_url, name) for name in ("a", "b")]
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
    assert plain.fetch("SELECT count(*), count(DISTINCT name) FROM item") == [(100, 100)]


@pytest.mark.case("F18")
@on_sqlite
def test_a_lock_of_another_process_is_waited_for_and_then_a_typed_error(
    plain: Database, database_url: str, table: Table, start_python: StartPython
) -> None:
    holder = start_python(HOLD_THE_LOCK, database_url)
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == "locked\n"
    operation = CoreWrite(insert(table), plain.dialect)
    with Database.open(database_url, busy_timeout=0.05) as impatient:
        with pytest.raises(TransientError, match="insert item of 1 items failed: database is locked; it may pass"):
            impatient.apply(operation, [{"name": "impatient"}])

        with ThreadPoolExecutor(1) as threads:
            patient = threads.submit(plain.apply, operation, [{"name": "patient"}])
            assert not patient.done()
            holder.communicate("let go\n", timeout=60)
            assert patient.result(timeout=60) == [None]
        impatient.apply(operation, [{"name": "impatient"}])
    assert names(plain) == ["other process", "patient", "impatient"]


@pytest.mark.case("F02")
def test_a_killed_writer_leaves_nothing_of_its_transaction(
    plain: Database, database_url: str, start_python: StartPython
) -> None:
    with plain.driver_transaction() as connection:
        connection.execute("INSERT INTO item (name) VALUES ('committed')")
    holder = start_python(HOLD_THE_LOCK, database_url)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    holder.kill()
    holder.wait()
    with Database.open(database_url) as reopened:
        assert names(reopened) == ["committed"]
        if reopened.engine_name == "sqlite":
            assert reopened.fetch("PRAGMA integrity_check") == [("ok",)]
        with reopened.driver_transaction() as connection:
            connection.execute("INSERT INTO item (name) VALUES ('after')")


def test_opening_does_not_wait_for_a_writer(plain: Database, database_url: str) -> None:
    with plain.transaction(), Database.open(database_url, busy_timeout=3600.0) as other:
        assert other.fetch("SELECT count(*) FROM item") == [(0,)]


# -- apply -------------------------------------------------------------------------------------------------------------


def test_apply_writes_all_items_or_none(plain: Database, table: Table) -> None:
    operation = CoreWrite(insert(table), plain.dialect)
    assert plain.apply(operation, iter([{"name": "a"}, {"name": "b"}])) == [None, None]
    with pytest.raises(RejectedRow, match=r"(?is)insert item of 2 items failed: .*unique constraint") as caught:
        plain.apply(operation, [{"name": "c"}, {"name": "a"}])
    assert type(caught.value.__cause__) in (sqlite3.IntegrityError, psycopg.errors.UniqueViolation)
    with pytest.raises(InvalidInput, match="NUL"):
        plain.apply(operation, [{"name": "c"}, {"name": "\0"}])
    assert names(plain) == ["a", "b"]


def test_applying_nothing_sends_nothing(plain: Database, table: Table) -> None:
    with plain.counting() as count:
        assert plain.apply(CoreWrite(insert(table), plain.dialect), []) == []
    assert count.round_trips == 0


def test_apply_joins_a_transaction_that_the_caller_ends(plain: Database, table: Table) -> None:
    operation = CoreWrite(insert(table), plain.dialect)
    with pytest.raises(KeyError), plain.transaction() as connection:
        fail_after(lambda: plain.apply(operation, [{"name": "a"}], connection=connection))
    assert names(plain) == []


def test_apply_refuses_a_connection_without_a_transaction(plain: Database, table: Table) -> None:
    operation = CoreWrite(insert(table), plain.dialect)
    with plain.reading() as connection, pytest.raises(LifecycleError, match="not in a transaction of this database"):
        plain.apply(operation, [{"name": "a"}], connection=connection)
    with (
        Database.open("sqlite://") as other,
        other.transaction() as connection,
        pytest.raises(LifecycleError, match="not in a transaction of this database"),
    ):
        plain.apply(operation, [{"name": "a"}], connection=connection)
    assert names(plain) == []


def test_an_exception_of_the_operation_itself_passes_as_it_is(plain: Database) -> None:
    class Faulty:
        name = "faulty"
        tables = frozenset({"item"})

        def prepare(self, item: int) -> int:
            return item

        def size_bytes(self, item: int) -> int:
            return item

        def apply(self, connection: object, rows: object) -> list[int]:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        plain.apply(Faulty(), [1])
    assert caught.value.__cause__ is None


def test_a_read_of_a_missing_table_is_a_typed_error(plain: Database) -> None:
    reason = '(no such table: none|relation "none" does not exist)'
    with pytest.raises(StatementError, match=f"(?s)a read failed: .*{reason}.*; check the table and column names"):
        plain.fetch("SELECT * FROM none")


def test_closing_while_another_thread_is_in_a_transaction_lets_it_end(plain: Database, database_url: str) -> None:
    inside, closed = threading.Event(), threading.Event()

    def write() -> None:
        with plain.driver_transaction() as connection:
            connection.execute("INSERT INTO item (name) VALUES ('a')")
            inside.set()
            assert closed.wait(60)

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        assert inside.wait(60)
        plain.close()
        closed.set()
        writing.result(timeout=60)
    with Database.open(database_url) as reopened:
        assert names(reopened) == ["a"]
