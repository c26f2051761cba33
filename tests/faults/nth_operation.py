"""Failing the n-th thing that a program asks of its database: connect, execute, fetch, COMMIT, ROLLBACK.

As SQLite's own tests do it (https://sqlite.org/testing.html#anomaly_testing): for n = 1, 2, 3 … until a run is over
before its n-th operation.
"""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psycopg
import pytest

from perflab.database.postgresql import PostgresConnection, PostgresCursor
from perflab.database.sqlite import SQLiteConnection, SQLiteCursor


class NthOperation:
    """Lets the n-th operation fail, and no other.

    Attributes:
        asked: operations so far.
        failed: what the failed one was, such as "execute INSERT INTO …"; None: the run was over before it.
    """

    def __init__(self, n: int, fail: Callable[[Any], None]) -> None:
        self.asked = 0
        self.failed: str | None = None
        self._n = n
        self._fail = fail

    def __call__(self, what: str, connection: Any = None) -> None:
        """Called before each operation."""
        self.asked += 1
        if self.asked == self._n:
            self.failed = what
            self._fail(connection)


def sqlite_fails(n: int, code: int) -> AbstractContextManager[NthOperation]:
    """The n-th operation of the block on SQLite is refused with a result code. What it asked for does not happen."""

    def fail(_connection: object) -> None:
        error = sqlite3.OperationalError(f"injected result code {code}")
        error.sqlite_errorcode, error.sqlite_errorname = code, "SQLITE_INJECTED"
        raise error

    return sqlite_at(n, fail)


@contextmanager
def sqlite_at(n: int, fail: Callable[[Any], None]) -> Iterator[NthOperation]:
    """Do something right before the n-th operation of the block on SQLite."""
    operation = NthOperation(n, fail)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("execute", "executemany", "fetchone", "fetchall"):
            patch.setattr(SQLiteCursor, name, _before(SQLiteCursor, name, operation), raising=False)
        for name in ("commit", "rollback"):
            patch.setattr(SQLiteConnection, name, _before(SQLiteConnection, name, operation, is_needed=_in_transaction))
        patch.setattr(sqlite3, "connect", _before(sqlite3, "connect", operation, is_needed=_is_ours))
        yield operation


def postgres_ends(n: int) -> AbstractContextManager[NthOperation]:
    """Before the n-th operation of the block on PostgreSQL its connection is lost; a connect is refused."""

    def fail(connection: PostgresConnection | None) -> None:
        if connection is None:
            raise psycopg.OperationalError("injected: connection refused")
        with socket.socket(fileno=os.dup(connection.pgconn.socket)) as its_socket:
            its_socket.shutdown(socket.SHUT_RDWR)

    return postgres_at(n, fail)


@contextmanager
def postgres_at(n: int, fail: Callable[[Any], None]) -> Iterator[NthOperation]:
    """Do something right before the n-th operation of the block on PostgreSQL; at a connect there is no connection."""
    operation = NthOperation(n, fail)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("execute", "executemany"):
            patch.setattr(PostgresCursor, name, _before(PostgresCursor, name, operation))
        for name in ("commit", "rollback"):
            patch.setattr(
                PostgresConnection, name, _before(PostgresConnection, name, operation, is_needed=_in_transaction)
            )
        patch.setattr(PostgresConnection, "transaction", _before_sync(operation))
        connect = PostgresConnection.connect

        def connected(*arguments: Any, **options: Any) -> PostgresConnection:
            operation("connect")
            return connect(*arguments, **options)

        patch.setattr(PostgresConnection, "connect", connected)
        yield operation


def _in_transaction(connection: Any, *_arguments: Any, **_options: Any) -> bool:
    """Otherwise COMMIT and ROLLBACK send nothing."""
    return bool(connection.in_transaction)


def _is_ours(*_arguments: Any, factory: type | None = None, **_options: Any) -> bool:
    return factory is SQLiteConnection


def _before(
    home: Any, name: str, operation: NthOperation, *, is_needed: Callable[..., bool] = lambda *_, **__: True
) -> Callable[..., Any]:
    original = getattr(home, name)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        if is_needed(*arguments, **options):
            connection = getattr(arguments[0], "connection", arguments[0]) if name != "connect" else None
            operation(f"{name} {str(arguments[1:2])[:200]}", connection)
        return original(*arguments, **options)

    return wrapped


def _before_sync(operation: NthOperation) -> Callable[[PostgresConnection], Any]:
    original = PostgresConnection.transaction

    @contextmanager
    def transaction(self: PostgresConnection) -> Iterator[None]:
        with original(self):
            yield
            operation("Sync", self)

    return transaction
