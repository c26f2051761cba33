"""What kind of failure it is, by errors that SQLite really raises."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError, OperationalError

from perflab.database import result_codes
from perflab.database.database import Database
from perflab.database.failures import TypedErrors, as_perflab_error, classify, is_too_much
from perflab.database.result_codes import FailureKind
from perflab.errors import (
    BufferFull,
    DatabaseError,
    DatabaseUnusable,
    InvalidInput,
    LifecycleError,
    PerflabError,
    RejectedRow,
    StatementError,
    TransientError,
)
from tests.database.sqlite_of import sqlite_of

Provoke = Callable[[Database, str], object]


@pytest.fixture
def engine() -> str:
    return "sqlite"


def run(database: Database, sql: str, parameters: Any = ()) -> None:
    with database.driver_transaction() as connection:
        connection.execute(sql, parameters)


def busy(database: Database, url: str) -> None:
    with Database.open(url, busy_timeout=0.0) as other, database.driver_transaction():
        run(other, "DELETE FROM item")


def busy_snapshot(database: Database, url: str) -> None:
    """The failure that BEGIN IMMEDIATE avoids."""
    deferred = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    try:
        deferred.execute("BEGIN")
        deferred.execute("SELECT * FROM item").fetchall()
        run(database, "INSERT INTO item (name) VALUES ('a')")
        deferred.execute("DELETE FROM item")
    finally:
        deferred.close()


def locked(database: Database, url: str) -> None:
    with database.writing_connection() as connection:
        connection.executemany("INSERT INTO item (name) VALUES (?)", [("a",), ("b",)])
        reading = connection.execute("SELECT * FROM item")
        reading.fetchone()
        try:
            connection.execute("DROP TABLE item")
        finally:
            reading.close()


def full(database: Database, url: str) -> None:
    with database.writing_connection() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 1}")
    run(database, "INSERT INTO item (name) VALUES (?)", ("x" * 100_000,))


def interrupted(database: Database, url: str) -> None:
    with database.driver_transaction() as connection:
        sqlite_of(connection).set_progress_handler(lambda: 1, 100)
        try:
            connection.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n")
        finally:
            sqlite_of(connection).set_progress_handler(None, 0)


def unique(database: Database, url: str) -> None:
    run(database, "INSERT INTO item VALUES (1, 'a'), (1, 'b')")


def not_null(database: Database, url: str) -> None:
    run(database, "CREATE TABLE strict_item (name TEXT NOT NULL)")
    run(database, "INSERT INTO strict_item VALUES (NULL)")


def check(database: Database, url: str) -> None:
    run(database, "CREATE TABLE checked (n INTEGER CHECK (n > 0))")
    run(database, "INSERT INTO checked VALUES (0)")


def foreign_key(database: Database, url: str) -> None:
    run(database, "CREATE TABLE child (item INTEGER REFERENCES item (id))")
    run(database, "INSERT INTO child VALUES (99)")


def foreign_key_at_commit(database: Database, url: str) -> None:
    run(database, "CREATE TABLE child (item INTEGER REFERENCES item (id) DEFERRABLE INITIALLY DEFERRED)")
    run(database, "INSERT INTO child VALUES (99)")


def mismatch(database: Database, url: str) -> None:
    run(database, "INSERT INTO item (id) VALUES ('text')")


def too_big(database: Database, url: str) -> None:
    with database.writing_connection() as connection:
        sqlite_of(connection).setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1_000)
    run(database, "INSERT INTO item (name) VALUES (?)", ("x" * 1_001,))


def integer_overflow(database: Database, url: str) -> None:
    run(database, "INSERT INTO item (id) VALUES (?)", (2**63,))


def surrogate(database: Database, url: str) -> None:
    run(database, "INSERT INTO item (name) VALUES (?)", ("\ud800",))


def unsupported_type(database: Database, url: str) -> None:
    run(database, "INSERT INTO item (name) VALUES (?)", ({"a": 1},))


def wrong_number_of_values(database: Database, url: str) -> None:
    run(database, "INSERT INTO item (name) VALUES (?)", ("a", "b"))


def no_such_table(database: Database, url: str) -> None:
    run(database, "DELETE FROM nothing")


def syntax(database: Database, url: str) -> None:
    run(database, "DELETE items")


def denied(database: Database, url: str) -> None:
    with database.writing_connection() as connection:
        sqlite_of(connection).set_authorizer(lambda *_: sqlite3.SQLITE_DENY)
        try:
            connection.execute("DELETE FROM item")
        finally:
            sqlite_of(connection).set_authorizer(None)


def read_only(database: Database, url: str) -> None:
    with database.writing_connection() as connection:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("DELETE FROM item")


def not_a_database(database: Database, url: str) -> None:
    path = Path(url.removeprefix("sqlite:///")).with_name("text")
    path.write_text("no database " * 100)
    sqlite3.connect(path).execute("SELECT * FROM sqlite_master")


def corrupt(database: Database, url: str) -> None:
    with database.driver_transaction() as connection:
        connection.executemany("INSERT INTO item (name) VALUES (?)", [(f"{n} {'x' * 200}",) for n in range(200)])
    database.close()
    path = Path(url.removeprefix("sqlite:///"))
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with Database.open(url) as reopened:
        run(reopened, "UPDATE item SET name = name || 'y'")


def cannot_open(database: Database, url: str) -> None:
    sqlite3.connect("/nowhere/at/all.db")


CASES: list[tuple[Provoke, FailureKind]] = [
    (busy, FailureKind.TRANSIENT),
    (busy_snapshot, FailureKind.TRANSIENT),
    (locked, FailureKind.TRANSIENT),
    (full, FailureKind.TRANSIENT),
    (interrupted, FailureKind.TRANSIENT),
    (unique, FailureKind.DATA),
    (not_null, FailureKind.DATA),
    (check, FailureKind.DATA),
    (foreign_key, FailureKind.DATA),
    (foreign_key_at_commit, FailureKind.DATA),
    (mismatch, FailureKind.DATA),
    (too_big, FailureKind.DATA),
    (integer_overflow, FailureKind.DATA),
    (surrogate, FailureKind.DATA),
    (unsupported_type, FailureKind.DATA),
    (wrong_number_of_values, FailureKind.DATA),
    (no_such_table, FailureKind.STATEMENT),
    (syntax, FailureKind.STATEMENT),
    (denied, FailureKind.STATEMENT),
    (read_only, FailureKind.UNUSABLE),
    (not_a_database, FailureKind.UNUSABLE),
    (corrupt, FailureKind.UNUSABLE),
    (cannot_open, FailureKind.UNUSABLE),
]
TYPES = {
    FailureKind.TRANSIENT: TransientError,
    FailureKind.DATA: RejectedRow,
    FailureKind.STATEMENT: StatementError,
    FailureKind.UNUSABLE: DatabaseUnusable,
}


@pytest.mark.parametrize(("provoke", "kind"), CASES, ids=[provoke.__name__ for provoke, _ in CASES])
def test_a_provoked_error_is_of_its_kind(
    plain: Database, database_url: str, provoke: Provoke, kind: FailureKind
) -> None:
    with pytest.raises((sqlite3.Error, OverflowError, UnicodeEncodeError)) as caught:
        provoke(plain, database_url)
    assert classify(caught.value) is kind
    wrapped = DBAPIError("INSERT", {}, caught.value)  # as SQLAlchemy hands it on
    assert classify(wrapped) is kind
    for error in (caught.value, wrapped):
        typed = as_perflab_error(error, "a write of 5 items")
        assert type(typed) is TYPES[kind]
        assert str(typed).startswith("a write of 5 items failed: ")
        assert isinstance(typed, DatabaseError)


@pytest.mark.case("F20")
def test_a_full_disk_leaves_earlier_commits_and_passes_when_space_returns(plain: Database, database_url: str) -> None:
    run(plain, "INSERT INTO item (name) VALUES ('before')")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        full(plain, database_url)
    assert plain.fetch("SELECT name FROM item") == [("before",)]
    with plain.writing_connection() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")
    run(plain, "INSERT INTO item (name) VALUES (?)", ("x" * 100_000,))
    assert plain.fetch("SELECT count(*) FROM item") == [(2,)]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidInput("x"), FailureKind.DATA),
        (RejectedRow("x"), FailureKind.DATA),
        (TransientError("x"), FailureKind.TRANSIENT),
        (DatabaseUnusable("x"), FailureKind.UNUSABLE),
        (LifecycleError("x"), FailureKind.UNUSABLE),
        (BufferFull("x"), FailureKind.BUG),
        (ZeroDivisionError("x"), FailureKind.BUG),
        (KeyError("x"), FailureKind.BUG),
    ],
)
def test_other_errors_are_of_a_kind_too(error: Exception, kind: FailureKind) -> None:
    assert classify(error) is kind
    typed = as_perflab_error(error, "a write")
    assert typed is (error if isinstance(error, PerflabError) else None)


def test_an_error_of_sqlite_without_a_code_fails_everything() -> None:
    assert classify(sqlite3.OperationalError("out of the blue")) is FailureKind.UNUSABLE


@pytest.mark.case("F43")
def test_the_message_hides_passwords() -> None:
    error = sqlite3.OperationalError("could not connect to postgresql://user:Canary@host/db?sslpassword=Canary")
    assert "Canary" not in str(as_perflab_error(error, "a read"))


def test_a_block_gives_typed_errors_with_their_cause() -> None:
    cause = OperationalError("SELECT", {}, sqlite3.OperationalError("x"))
    with pytest.raises(DatabaseUnusable, match="doing it failed: x") as caught, TypedErrors("doing it"):
        raise cause
    assert caught.value.__cause__ is cause
    with pytest.raises(ZeroDivisionError) as bug, TypedErrors("doing it"):
        raise ZeroDivisionError
    assert bug.value.__cause__ is None
    with pytest.raises(KeyboardInterrupt), TypedErrors("doing it"):
        raise KeyboardInterrupt
    with TypedErrors("doing it"):
        pass


class Psycopg(Exception):
    def __init__(self, sqlstate: str | None) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(("provoke", "expected"), [(too_big, True), (interrupted, True), (busy, False)])
def test_what_is_too_much_on_sqlite(plain: Database, database_url: str, provoke: Provoke, expected: bool) -> None:
    with pytest.raises(Exception, match=r".") as caught:
        provoke(plain, database_url)
    assert is_too_much(caught.value.__cause__ or caught.value) is expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("57014", True),
        ("25P04", True),
        ("54000", True),
        ("53200", True),
        ("53300", False),
        ("08006", False),
        (None, False),
    ],
)
def test_what_is_too_much_on_postgresql(state: str | None, expected: bool) -> None:
    """A statement timeout, a limit of the program and a lack of memory; not a lost connection or a full server."""
    assert is_too_much(Psycopg(state)) is expected


def test_a_timeout_is_too_much_and_a_bug_is_not() -> None:
    assert is_too_much(TimeoutError())
    assert not is_too_much(ZeroDivisionError())


def test_every_code_of_sqlite_has_a_kind_of_its_own() -> None:
    primary = set(range(1, 27)) - {27, 28}  # 27 and 28 are for the log, 100 and 101 are no failures
    assert primary <= set(result_codes._SQLITE), "https://sqlite.org/rescode.html"
    names = {"ERROR": 1, "NOTADB": 26}
    assert {name: getattr(sqlite3, f"SQLITE_{name}") for name in names} == names, "the list begins and ends there"


def test_every_class_of_postgresql_has_a_kind_of_its_own() -> None:
    codes = {
        code for code in vars(psycopg.errors)["_sqlcodes"] if len(code) == 5 and code[0].isupper() | code[0].isdigit()
    }
    states = {code for code in codes if code == code.upper() and any(map(str.isdigit, code))}
    assert len(states) > 240
    assert {state[:2] for state in states} <= {known[:2] for known in result_codes._POSTGRESQL}
    assert {known for known in result_codes._POSTGRESQL if len(known) == 5} <= states, "no misspelt state"


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("40001", FailureKind.TRANSIENT),
        ("40002", FailureKind.DATA),
        ("40P01", FailureKind.TRANSIENT),
        ("44000", FailureKind.DATA),
        ("55000", FailureKind.STATEMENT),
        ("55P03", FailureKind.TRANSIENT),
        ("57P01", FailureKind.TRANSIENT),
        ("57P04", FailureKind.UNUSABLE),
        ("25006", FailureKind.UNUSABLE),
        ("25P04", FailureKind.TRANSIENT),
        ("XX000", FailureKind.STATEMENT),
        ("XX001", FailureKind.UNUSABLE),
        ("MY001", FailureKind.STATEMENT),
    ],
)
def test_a_state_is_of_its_kind(state: str, kind: FailureKind) -> None:
    assert result_codes.kind_of_sqlstate(state) is kind


def test_an_extended_code_comes_before_its_primary_one() -> None:
    assert result_codes.kind_of_sqlite(sqlite3.SQLITE_IOERR_NOMEM) is FailureKind.TRANSIENT
    assert result_codes.kind_of_sqlite(sqlite3.SQLITE_IOERR_READ) is FailureKind.UNUSABLE
    assert result_codes.kind_of_sqlite(200) is FailureKind.STATEMENT
    assert is_too_much(MemoryError())
    assert classify(MemoryError()) is FailureKind.TRANSIENT
