"""SQLite: how its connections are opened, set up and counted."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self, cast

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import QueuePool

from perflab.database.connections import Connections
from perflab.database.failures import TypedErrors
from perflab.database.ledger import NoLedger
from perflab.database.pools import Durability, Pool, Pools, PoolSettings
from perflab.database.recorder import StatementRecorder
from perflab.errors import DatabaseUnusable, InvalidInput

MINIMUM_VERSION = (3, 35, 0)
"""The first with RETURNING."""
PAGE_CACHE_KIB = 65_536
"""Large enough that the hot end of a queue of a million jobs stays in memory; the default of 2 MiB does not hold it."""
CACHED_STATEMENTS = 256
READING_CONNECTIONS = 4
ROUND_TRIPS_OF_ONE = 3
"""BEGIN, the statement, COMMIT."""
LOG_ATTEMPTS = 20
TURN_LOG_ON = "PRAGMA journal_mode = WAL"
BEGIN = "BEGIN IMMEDIATE"
"""Every transaction that writes starts so: a deferred one that turns into a writer fails at once with
SQLITE_BUSY_SNAPSHOT, whatever the busy timeout."""


class SQLiteCursor(sqlite3.Cursor):
    """A cursor that counts each statement that it sends, for its connection."""

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        cast("SQLiteConnection", self.connection).round_trips += 1
        super().execute(sql, parameters)
        return self

    def executemany(self, sql: str, seq_of_parameters: Any, /) -> Self:
        cast("SQLiteConnection", self.connection).round_trips += 1
        super().executemany(sql, seq_of_parameters)
        return self


class RecordingCursor(SQLiteCursor):
    """The same for a recorder; what fails is not recorded. SQLite works while rows are fetched, so that counts too."""

    def __init__(self, connection: SQLiteConnection, recorder: StatementRecorder) -> None:
        super().__init__(connection)
        self._recorder = recorder
        self._clock = recorder.clock
        self._sql = ""

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        started = self._clock()
        super().execute(sql, parameters)
        self._recorder.record(sql, parameters, self._clock() - started)
        self._sql = sql
        return self

    def executemany(self, sql: str, seq_of_parameters: Any, /) -> Self:
        rows = list(seq_of_parameters)
        started = self._clock()
        super().executemany(sql, rows)
        self._recorder.record(sql, rows[0] if rows else (), self._clock() - started)
        return self

    def fetchone(self) -> Any:
        started = self._clock()
        row = super().fetchone()
        self._recorder.add_seconds(self._sql, self._clock() - started)
        return row

    def fetchmany(self, size: int | None = None) -> list[Any]:
        started = self._clock()
        rows = super().fetchmany(self.arraysize if size is None else size)
        self._recorder.add_seconds(self._sql, self._clock() - started)
        return rows

    def fetchall(self) -> list[Any]:
        started = self._clock()
        rows = super().fetchall()
        self._recorder.add_seconds(self._sql, self._clock() - started)
        return rows


class SQLiteConnection(sqlite3.Connection):
    """A connection that counts the statements sent to the engine.

    SQLite has no network, so its round trip is one statement handed over: one for each `execute`, one for each
    `executemany` (prepared once, whatever the number of rows), one each for BEGIN, COMMIT and ROLLBACK. Only the set-up
    of the connection is not counted.
    """

    round_trips = 0
    superseded = 0
    is_broken = False
    answers_at_once = True
    cursor_factory: Any = SQLiteCursor

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(factory or self.cursor_factory)

    def record_statements(self, recorder: StatementRecorder | None) -> None:
        self.cursor_factory = SQLiteCursor if recorder is None else partial(RecordingCursor, recorder=recorder)

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

    def conversation(self) -> AbstractContextManager[None]:
        """SQLite answers each statement at once, so there is only one kind of transaction."""
        return self.transaction()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A writing transaction: COMMIT at the end of the block, ROLLBACK on an exception."""
        self.execute(BEGIN)
        try:
            yield
            self.commit()
        except BaseException:
            self.rollback()
            raise


def check_path(url: URL) -> None:
    """Refuse a library that is too old and a file that cannot be, before anything is opened or created."""
    if sqlite3.sqlite_version_info < MINIMUM_VERSION:
        raise DatabaseUnusable(
            f"SQLite {sqlite3.sqlite_version} is too old: perflab needs {'.'.join(map(str, MINIMUM_VERSION))} or newer"
        )
    name = str(url.database)
    if "\x00" in name:
        raise InvalidInput(f"the path of the database holds a NUL character: {name!r}")
    if url.query.get("mode") == "ro" or url.query.get("immutable", "0") != "0":
        # SQLite would allow it, and leave a log beside the file that it cannot remove.
        raise DatabaseUnusable(f"{name!r} would be opened read-only: leave out mode=ro and immutable, or open a copy")
    if is_memory(url) or name.startswith("file:"):  # SQLite takes a URI apart itself
        return
    try:
        os.fsencode(name)
        _check_file(Path(name))
    except UnicodeEncodeError:
        raise InvalidInput(f"the path of the database {name!r} is not valid Unicode text") from None
    except OSError as error:
        raise DatabaseUnusable(f"the database file {name!r} cannot be reached: {error.strerror}") from error


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise InvalidInput(f"{str(path)!r} is a directory: name a file in it, such as {str(path / 'lab.db')!r}")
    if not path.parent.is_dir():
        raise InvalidInput(f"the directory of the database {str(path)!r} does not exist: create {str(path.parent)!r}")
    if path.exists() and not os.access(path, os.W_OK):
        raise DatabaseUnusable(f"the database file {str(path)!r} is read-only: allow writing to it, or open a copy")


def is_memory(url: URL) -> bool:
    """Whether each connection would have a database of its own: no file, or a temporary one."""
    return url.database in (None, "", ":memory:", "file:", "file::memory:") or url.query.get("mode") == "memory"


def open_pools(url: URL, settings: PoolSettings, connections: Connections) -> Pools:
    """One connection that writes, and some that read.

    SQLite has one writer anyway, and waiting for it in the pool is fair and wakes at once, where waiting in the file's
    busy handler polls. Readers wait for nobody; more of them than cores gain nothing, and each may hold a page cache of
    64 MiB.
    """
    check_path(url)
    engine = _open_engine(url, settings, connections, size=1, read_only=False)
    advice = "make transactions shorter, or raise busy_timeout"
    writer = Pool(engine, size=1, timeout=settings.busy_timeout, advice=advice, one_writer=True)
    reader = writer
    if not is_memory(url):  # where every connection would be a database of its own
        size = settings.pool_size or READING_CONNECTIONS
        engine = _open_engine(url, settings, connections, size=size, read_only=True)
        reader = Pool(engine, size=size, timeout=settings.busy_timeout)
    dialect = engine.dialect
    return Pools("sqlite", writer, reader, dialect, round_trips_of_one=ROUND_TRIPS_OF_ONE, ledger=NoLedger())


def _open_engine(url: URL, settings: PoolSettings, connections: Connections, *, size: int, read_only: bool) -> Engine:
    """An engine over a pool of at most `size` counted connections.

    Each transaction of a writing engine starts with `BEGIN`. A reading engine sends none; each SELECT is its own
    snapshot.
    """
    busy_timeout = settings.busy_timeout
    engine = create_engine(url, poolclass=QueuePool, pool_size=size, max_overflow=0, pool_timeout=busy_timeout)
    connections.follow(engine)
    (path, *_), options = engine.dialect.create_connect_args(url)

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, _arguments: Any, _options: Any) -> SQLiteConnection:
        with TypedErrors(f"opening {str(url.database)!r}"):
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
                _set_up(connection, read_only=read_only)
                if not read_only:
                    _set_up_writing(connection, settings.durability, busy_timeout, in_memory=is_memory(url))
            except BaseException:
                connection.close()
                raise
            return connection

    if not read_only:

        @event.listens_for(engine, "begin")
        def begin(connection: Any) -> None:
            connection.exec_driver_sql(BEGIN)

    return engine


def _set_up(connection: SQLiteConnection, *, read_only: bool) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA cache_size = -{PAGE_CACHE_KIB}")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute(f"PRAGMA query_only = {'ON' if read_only else 'OFF'}")


def _set_up_writing(
    connection: SQLiteConnection, durability: Durability, busy_timeout: float, *, in_memory: bool
) -> None:
    """Make it durable, and refuse a file that cannot be written or is no database here, not at the first flush."""
    mode = _turn_log_on(connection)
    if mode != "wal" and not in_memory:
        raise DatabaseUnusable(
            f"the database cannot have a write-ahead log, only {mode!r}: its file system lacks shared memory; "
            "move it to a local disk"
        )
    connection.execute(f"PRAGMA synchronous = {durability.upper()}")
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute("PRAGMA busy_timeout = 0")  # another writer at work is proof enough that the file is fine
    try:
        connection.execute(BEGIN)
        connection.execute(f"PRAGMA user_version = {version}")  # BEGIN alone is allowed where writing is not
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if not is_busy(error):
            raise
    connection.execute(f"PRAGMA busy_timeout = {round(busy_timeout * 1000)}")


def _turn_log_on(connection: SQLiteConnection) -> str:
    """The journal mode after asking for a write-ahead log.

    Where several processes open a new file at once, this statement can fail without having waited for the others, as
    statements do. A transaction waits for them; then it is asked again.
    """
    for _ in range(LOG_ATTEMPTS):
        try:
            return str(connection.execute(TURN_LOG_ON).fetchone()[0])
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
        connection.execute(BEGIN)
        connection.execute("ROLLBACK")
    return str(connection.execute(TURN_LOG_ON).fetchone()[0])


def is_busy(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
