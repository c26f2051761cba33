"""SQLite: how its connections are opened, set up and counted."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, cast

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import QueuePool

from perflab.database.failures import as_perflab_error
from perflab.errors import DatabaseUnusable, InvalidInput

Durability = Literal["normal", "full"]

MINIMUM_VERSION = (3, 35, 0)
"""The first with RETURNING."""
PAGE_CACHE_KIB = 65_536
"""Large enough that the hot end of a queue of a million jobs stays in memory; the default of 2 MiB does not hold it."""
CACHED_STATEMENTS = 256


class SQLiteCursor(sqlite3.Cursor):
    """A cursor that counts each statement that it sends, for its connection."""

    def execute(self, sql: str, parameters: Any = (), /) -> SQLiteCursor:
        cast("SQLiteConnection", self.connection).round_trips += 1
        super().execute(sql, parameters)
        return self

    def executemany(self, sql: str, seq_of_parameters: Any, /) -> SQLiteCursor:
        cast("SQLiteConnection", self.connection).round_trips += 1
        super().executemany(sql, seq_of_parameters)
        return self


class SQLiteConnection(sqlite3.Connection):
    """A connection that counts the statements sent to the engine.

    SQLite has no network, so its round trip is one statement handed over: one for each `execute`, one for each
    `executemany` (prepared once, whatever the number of rows), one each for BEGIN, COMMIT and ROLLBACK. Only the set-up
    of the connection is not counted.
    """

    round_trips = 0

    def cursor(self, factory: Any = SQLiteCursor) -> Any:
        return super().cursor(factory)

    def execute(self, sql: str, parameters: Any = (), /) -> SQLiteCursor:
        return cast("SQLiteCursor", self.cursor().execute(sql, parameters))

    def executemany(self, sql: str, parameters: Any, /) -> SQLiteCursor:
        return cast("SQLiteCursor", self.cursor().executemany(sql, parameters))

    def commit(self) -> None:
        if self.in_transaction:
            self.round_trips += 1
        super().commit()

    def rollback(self) -> None:
        # SQLite may have rolled back by itself (disk full): a second ROLLBACK would be an error of its own.
        if self.in_transaction:
            self.round_trips += 1
            super().rollback()


def check_path(url: URL) -> None:
    """Refuse a library that is too old and a file whose folder is not there, before anything is opened."""
    if sqlite3.sqlite_version_info < MINIMUM_VERSION:
        raise DatabaseUnusable(
            f"SQLite {sqlite3.sqlite_version} is too old: perflab needs {'.'.join(map(str, MINIMUM_VERSION))} or newer"
        )
    if is_memory(url) or str(url.database).startswith("file:"):
        return
    path = Path(str(url.database))
    if not path.parent.is_dir():
        raise InvalidInput(f"the directory of the database {str(path)!r} does not exist: create {str(path.parent)!r}")
    if path.is_dir():
        raise InvalidInput(f"{str(path)!r} is a directory: name a file in it, such as {str(path / 'lab.db')!r}")
    if path.exists() and not os.access(path, os.W_OK):
        raise DatabaseUnusable(f"the database file {str(path)!r} is read-only: allow writing to it, or open a copy")


def is_memory(url: URL) -> bool:
    return url.database in (None, "", ":memory:") or "mode=memory" in str(url)


def open_engine(
    url: URL,
    *,
    durability: Durability,
    busy_timeout: float,
    connections: int,
    read_only: bool,
    opened: Callable[[SQLiteConnection], None],
) -> Engine:
    """An engine over a pool of at most `connections` counted connections.

    Transactions of a writing engine start with BEGIN IMMEDIATE: a deferred one that turns into a writer fails at once
    with SQLITE_BUSY_SNAPSHOT, whatever the busy timeout. A reading engine sends no BEGIN; each SELECT is its own
    snapshot.
    """
    engine = create_engine(url, poolclass=QueuePool, pool_size=connections, max_overflow=0, pool_timeout=busy_timeout)
    (path, *_), options = engine.dialect.create_connect_args(url)

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, _arguments: Any, _options: Any) -> SQLiteConnection:
        try:
            connection = sqlite3.connect(
                path,
                timeout=busy_timeout,
                isolation_level=None,
                check_same_thread=False,  # the pool gives a connection to one thread at a time
                factory=SQLiteConnection,
                cached_statements=CACHED_STATEMENTS,
                uri=bool(options.get("uri")),
            )
            try:
                _set_up(connection, durability, read_only=read_only)
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            raise as_perflab_error(error, f"opening {str(url.database)!r}") or error from error
        opened(connection)
        return connection

    if not read_only:

        @event.listens_for(engine, "begin")
        def begin(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _set_up(connection: SQLiteConnection, durability: Durability, *, read_only: bool) -> None:
    run = super(SQLiteConnection, connection).execute  # not counted
    run("PRAGMA foreign_keys = ON")
    run(f"PRAGMA cache_size = -{PAGE_CACHE_KIB}")
    run("PRAGMA temp_store = MEMORY")
    if read_only:
        run("PRAGMA query_only = ON")
        return
    run("PRAGMA journal_mode = WAL")
    run(f"PRAGMA synchronous = {durability.upper()}")
    # A file that cannot be written, or that is no database, is refused here and not at the first flush.
    run("SELECT count(*) FROM sqlite_master").fetchone()
    try:
        run("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:  # another writer is at work: the file is fine
            raise
    else:
        run("ROLLBACK")
