"""SQLite's connection under what operations see, for tests that reach into it."""

from __future__ import annotations

from perflab.database.operation import DriverConnection
from perflab.database.sqlite import SQLiteConnection


def sqlite_of(connection: DriverConnection) -> SQLiteConnection:
    assert isinstance(connection, SQLiteConnection)
    return connection
