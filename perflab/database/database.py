"""One database: its connections, its transactions, and the count of its round trips."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast, get_args

from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from perflab.database import sqlite
from perflab.database.failures import TypedErrors
from perflab.database.operation import DriverConnection, Operation
from perflab.database.urls import parse_url, redact
from perflab.database.values import check_number
from perflab.errors import InvalidInput, LifecycleError, TransientError
from perflab.events import Events

if TYPE_CHECKING:
    from sqlalchemy import Connection, Dialect, Engine, PoolProxiedConnection

Item = TypeVar("Item")
Result = TypeVar("Result")
Pooled = TypeVar("Pooled", "Connection", "PoolProxiedConnection")

READING_CONNECTIONS = 4


class RoundTripCount:
    """Round trips since its start; fixed once its `with` block has ended."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._start = database.round_trips
        self._end: int | None = None

    @property
    def round_trips(self) -> int:
        end = self._database.round_trips if self._end is None else self._end
        return end - self._start

    def stop(self) -> None:
        self._end = self._database.round_trips


class Database:
    """A SQL database, its pool and its count of round trips. Open it with `Database.open`.

    Writes go through one connection: SQLite has one writer anyway, and waiting for it in the pool is fair and wakes at
    once, where waiting in the file's busy handler polls. Reads have connections of their own and never wait for a
    write.

    Safe to share between threads. Not usable after a fork: open it again in the child.
    """

    def __init__(self, url: str, *, durability: sqlite.Durability, busy_timeout: float) -> None:
        parsed = parse_url(url)
        if durability not in get_args(sqlite.Durability):
            raise InvalidInput(f"durability is {durability!r}: use 'normal' or 'full'")
        check_number(busy_timeout, "busy_timeout")
        sqlite.check_path(parsed)
        self.url = redact(url)
        self.engine_name = parsed.get_backend_name()
        self.durability = durability
        self.events = Events()
        self._process_id = os.getpid()
        self._closed = False
        self._writing_thread: int | None = None
        self._connections: list[DriverConnection] = []  # closed ones too: their counts stay counted

        def engine(connections: int, *, read_only: bool) -> Engine:
            return sqlite.open_engine(
                parsed,
                durability=durability,
                busy_timeout=busy_timeout,
                connections=connections,
                read_only=read_only,
                opened=self._connections.append,
            )

        self._writer = engine(1, read_only=False)
        # Every connection to ":memory:" would be a database of its own.
        self._in_memory = sqlite.is_memory(parsed)
        self._reader = self._writer if self._in_memory else engine(READING_CONNECTIONS, read_only=True)

    @classmethod
    def open(cls, url: str, *, durability: sqlite.Durability = "normal", busy_timeout: float = 5.0) -> Database:
        """Open a database and check that it can be written.

        Args:
            url: `sqlite:///lab.db` for a file, `sqlite://` for one in memory.
            durability: "normal" (WAL, synchronous=NORMAL): a commit survives the death of every process, and on power
                loss the last commits may be missing, never half of one. "full" syncs at each commit, so that they
                survive power loss too.
            busy_timeout: seconds to wait for another writer before `TransientError`.

        Raises:
            InvalidInput: the URL or a setting is wrong.
            DatabaseUnusable: the file cannot be written, is corrupt, or is no database.
        """
        database = cls(url, durability=durability, busy_timeout=busy_timeout)
        try:
            database._writer.raw_connection().close()
        except BaseException:
            database.close()
            raise
        return database

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Database({self.url!r}, durability={self.durability!r})"

    def close(self) -> None:
        """Close all connections. Calling it again is harmless, and so is it after a fork."""
        self._closed = True
        # Closing a SQLite file in a child process would let go of the locks that the parent counts on.
        is_ours = os.getpid() == self._process_id
        self._reader.dispose(close=is_ours)
        self._writer.dispose(close=is_ours)

    def create_schema(self) -> None:
        """Create perflab's tables, or bring them to this version. Does nothing where they are current."""
        from perflab.database.schema import upgrade  # noqa: PLC0415  # Alembic is needed here only

        upgrade(self)

    # -- transactions --------------------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A writing transaction on a SQLAlchemy connection: commits at the end, rolls back on an exception.

        Errors of your statements and of the commit are SQLAlchemy's.

        Raises:
            TransientError: another writer did not finish within the busy timeout.
            LifecycleError: the database is closed, or this thread is in a transaction already.
        """
        with self._checked_out(self._writer.connect, writing=True) as connection:
            with TypedErrors("beginning a transaction"):
                transaction = connection.begin()
            with transaction:
                yield connection

    @contextmanager
    def driver_transaction(self) -> Iterator[DriverConnection]:
        """The same on the driver's own connection: what operations run on. Its errors are the driver's."""
        with self._checked_out(self._writer.raw_connection, writing=True) as pooled:
            connection = cast("DriverConnection", pooled.dbapi_connection)
            with connection.transaction():
                yield connection

    @contextmanager
    def writing_connection(self) -> Iterator[DriverConnection]:
        """The driver's own connection before a transaction, for those who count what that costs."""
        with self._checked_out(self._writer.raw_connection, writing=True) as pooled:
            yield cast("DriverConnection", pooled.dbapi_connection)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A SQLAlchemy connection for SELECTs; it refuses to write (except in memory, where it is the writer's)."""
        if self._in_memory:
            with self.transaction() as connection:
                yield connection
        else:
            with self._checked_out(self._reader.connect, writing=False) as connection:
                yield connection

    def fetch(self, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        """All rows of one SELECT of perflab's own, over the driver."""
        with (
            self._checked_out(self._reader.raw_connection, writing=self._in_memory) as pooled,
            TypedErrors("a read"),
        ):
            connection = cast("DriverConnection", pooled.dbapi_connection)
            return connection.execute(sql, parameters).fetchall()

    def apply(
        self, operation: Operation[Item, Result], items: Iterable[Item], *, connection: Connection | None = None
    ) -> list[Result]:
        """Write all items with one operation, all or nothing, and return their results in order.

        Args:
            operation: what to do with them.
            items: checked and encoded before the transaction begins.
            connection: of a `transaction()` of yours; then you commit or roll back, and after an error roll back.

        Raises:
            InvalidInput: an item was refused; nothing was written.
            DatabaseError: the database refused or failed; nothing was written.
            LifecycleError: the connection is not in a transaction of this database.
        """
        rows = list(map(operation.prepare, items))
        if not rows:
            return []
        with TypedErrors(f"{operation.name} of {len(rows)} items"):
            if connection is not None:
                return list(operation.apply(self._in_transaction(connection), rows))
            with self.driver_transaction() as driver:
                return list(operation.apply(driver, rows))

    @property
    def dialect(self) -> Dialect:
        """SQLAlchemy's dialect, to compile statements with."""
        return self._writer.dialect

    # -- round trips ---------------------------------------------------------------------------------------------------

    @property
    def round_trips(self) -> int:
        """Exchanges with the engine so far, on all connections. See `SQLiteConnection` for what counts as one."""
        return sum(connection.round_trips for connection in self._connections)

    @contextmanager
    def counting(self) -> Iterator[RoundTripCount]:
        """Count the round trips of a `with` block, those of other threads included."""
        count = RoundTripCount(self)
        try:
            yield count
        finally:
            count.stop()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _check_usable(self) -> None:
        if self._closed:
            raise LifecycleError(f"the database {self.url!r} is closed: open it again with Database.open")
        if os.getpid() != self._process_id:
            raise LifecycleError(
                f"the database {self.url!r} was opened by process {self._process_id}, before a fork: "
                "open it again in this process"
            )

    @contextmanager
    def _checked_out(self, connect: Callable[[], Pooled], *, writing: bool) -> Iterator[Pooled]:
        """A connection of the pool, to which it goes back at the end; the writing one is for one thread at a time."""
        self._check_usable()
        this_thread = threading.get_ident()
        if writing and self._writing_thread == this_thread:
            raise LifecycleError(
                "a transaction was asked for inside a transaction of the same thread, for which it would wait for "
                "ever: use the outer one (most calls take connection=…)"
            )
        try:
            pooled = connect()
        except PoolTimeoutError as error:
            raise TransientError(
                "no connection was free in time: other threads hold transactions or reads open; make those shorter, "
                "or raise busy_timeout"
            ) from error
        if writing:
            self._writing_thread = this_thread
        try:
            yield pooled
        finally:
            if writing:
                self._writing_thread = None
            pooled.close()

    def _in_transaction(self, connection: Connection) -> DriverConnection:
        """The driver's connection under a SQLAlchemy connection that is in a transaction of this database."""
        driver = cast("DriverConnection", connection.connection.dbapi_connection)
        if not any(known is driver for known in self._connections) or not driver.in_transaction:
            raise LifecycleError(
                "the connection is not in a transaction of this database: use the one that `with database.transaction()"
                " as connection` gives, inside its block"
            )
        return driver
