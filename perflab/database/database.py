"""One database: its connections, its transactions, and the count of its round trips."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast, get_args

from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from perflab.database import sqlite
from perflab.database.failures import as_perflab_error
from perflab.database.operation import DriverConnection, Operation
from perflab.database.urls import parse_url, redact
from perflab.database.values import check_number
from perflab.errors import InvalidInput, LifecycleError, PerflabError, TransientError
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
        self._reader = self._writer if sqlite.is_memory(parsed) else engine(READING_CONNECTIONS, read_only=True)

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
        """Close all connections. Calling it again is harmless."""
        self._closed = True
        self._reader.dispose()
        self._writer.dispose()

    def create_schema(self) -> None:
        """Create perflab's tables, or bring them to this version. Does nothing where they are current."""
        from perflab.database.schema import upgrade  # noqa: PLC0415  # Alembic is needed here only

        upgrade(self)

    # -- transactions --------------------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A writing transaction on a SQLAlchemy connection: commits at the end, rolls back on an exception.

        Raises:
            TransientError: another writer did not finish within the busy timeout.
            LifecycleError: the database is closed, or this thread is in a transaction already.
        """
        with self._checked_out(self._writer.connect) as connection:
            try:
                transaction = connection.begin()
            except Exception as error:
                raise as_perflab_error(error, "beginning a transaction") or error from error
            with transaction:
                yield connection

    @contextmanager
    def driver_transaction(self) -> Iterator[DriverConnection]:
        """The same on the driver's own connection: what operations run on. Its errors are the driver's."""
        with self._checked_out(self._writer.raw_connection) as pooled:
            connection = cast("DriverConnection", pooled.dbapi_connection)
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.commit()
            except BaseException:
                connection.rollback()
                raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A SQLAlchemy connection for SELECTs; it refuses to write (except in memory, where it is the writer's)."""
        if self._reader is self._writer:
            with self.transaction() as connection:
                yield connection
        else:
            self._check_usable()
            with self._reader.connect() as connection:
                yield connection

    def fetch(self, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        """All rows of one SELECT of perflab's own, over the driver."""
        self._check_usable()
        pooled = self._reader.raw_connection()
        try:
            connection = cast("DriverConnection", pooled.dbapi_connection)
            return connection.execute(sql, parameters).fetchall()
        except Exception as error:
            raise as_perflab_error(error, "a read") or error from error
        finally:
            pooled.close()

    def apply(
        self, operation: Operation[Item, Result], items: Iterable[Item], *, connection: Connection | None = None
    ) -> list[Result]:
        """Write all items with one operation, all or nothing, and return their results in order.

        Args:
            operation: what to do with them.
            items: checked and encoded before the transaction begins.
            connection: a SQLAlchemy connection inside a transaction of yours; then you commit or roll back.

        Raises:
            InvalidInput: an item was refused; nothing was written.
            DatabaseError: the database refused or failed; nothing was written.
        """
        rows = list(map(operation.prepare, items))
        if not rows:
            return []
        try:
            if connection is not None:
                return list(operation.apply(driver_connection(connection), rows))
            with self.driver_transaction() as driver:
                return list(operation.apply(driver, rows))
        except PerflabError:
            raise
        except Exception as error:
            raise as_perflab_error(error, f"{operation.name} of {len(rows)} items") or error from error

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
    def _checked_out(self, connect: Callable[[], Pooled]) -> Iterator[Pooled]:
        """The writing connection, for one thread at a time; it goes back to the pool at the end."""
        self._check_usable()
        this_thread = threading.get_ident()
        if self._writing_thread == this_thread:
            raise LifecycleError(
                "a transaction was asked for inside a transaction of the same thread, for which it would wait for "
                "ever: use the outer one (most calls take connection=…)"
            )
        try:
            pooled = connect()
        except PoolTimeoutError as error:
            raise TransientError(
                "the writing connection was not free in time: another thread holds a transaction open; "
                "make that one shorter, or raise busy_timeout"
            ) from error
        self._writing_thread = this_thread
        try:
            yield pooled
        finally:
            self._writing_thread = None
            pooled.close()


def driver_connection(connection: Connection) -> DriverConnection:
    """The driver's connection under a SQLAlchemy connection."""
    return cast("DriverConnection", connection.connection.dbapi_connection)
