"""One database: its connections, its transactions, and the count of its round trips."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar, get_args

from sqlalchemy import Engine

from perflab.database.compression import Compression, check_compression
from perflab.database.connections import Connections
from perflab.database.engines import open_pools
from perflab.database.failures import TypedErrors
from perflab.database.ledger import Ledger, ask_in_time
from perflab.database.operation import DriverConnection, Operation, event_of, prepare_all
from perflab.database.pools import Durability, Listener, Pool, Pooled, PoolSettings, PoolUse, driver_of
from perflab.database.recorder import StatementRecorder
from perflab.database.urls import parse_url, redact_url
from perflab.database.values import check_integer, check_number
from perflab.errors import (
    DatabaseUnusable,
    InvalidInput,
    LifecycleError,
    OutcomeUnknown,
    TooManyConnections,
    TransientError,
)
from perflab.events import Events

if TYPE_CHECKING:
    from sqlalchemy import Connection, Dialect

Item = TypeVar("Item")
Result = TypeVar("Result")


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

    Safe to share between threads. Not usable after a fork: open it again in the child.
    """

    def __init__(
        self,
        url: str,
        settings: PoolSettings,
        *,
        compression: Compression | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parsed = parse_url(url)
        self.url = redact_url(url)
        self.durability = settings.durability
        self.compression = compression
        self.events = Events()
        self._busy_timeout = settings.busy_timeout
        self._clock = clock
        self._sleep = sleep
        self._process_id = os.getpid()
        self._closed = False
        self._connections = Connections()
        self._pools = open_pools(parsed, settings, self._connections)
        self.engine_name = self._pools.engine_name

    @classmethod
    def open(
        cls,
        url: str,
        *,
        durability: Durability = "normal",
        busy_timeout: float = 5.0,
        pool_size: int | None = None,
        compression: Compression | None = None,
    ) -> Database:
        """Open a database and check that it can be written.

        Args:
            url: `sqlite:///lab.db` for a file, `sqlite://` for one in memory, `postgresql://user@host/name` for a
                server. `postgresql+embedded:///dir` is a server of its own in that directory, made where it is missing,
                started where it does not run, shared with all who use it, and stopped by the last of them;
                `?database=name` is another database than `postgres` in it, made where it is missing. As for SQLite, a
                path that begins with a slash after the three is absolute.
            durability: a commit survives the death of every process with both. With "full" it survives a power loss
                too. On SQLite "normal" (WAL, synchronous=NORMAL) may then lose the last commits, never half of one. On
                PostgreSQL "normal" leaves synchronous_commit to the server, where it is on unless somebody changed it.
            busy_timeout: seconds to wait for a connection or for another writer before `TransientError`.
            pool_size: connections at the most; on SQLite those that read, beside the one that writes. None is 4 there,
                and on PostgreSQL what `perflab.database.postgresql_pools.default_size` says. They are opened when they
                are needed, and kept.
            compression: of the large payloads that queues and schedulers of this object write from now on; None writes
                all as JSON. What is there is read with either.

        Raises:
            InvalidInput: the URL or a setting is wrong.
            TooManyConnections: the server has none left.
            DatabaseUnusable: the database cannot be reached or written, is corrupt, or is no database.
            MissingExtra: the driver of the engine, the embedded server, or zstandard for compression is not installed.
        """
        if durability not in get_args(Durability):
            raise InvalidInput(f"durability is {durability!r}: use 'normal' or 'full'")
        check_number(busy_timeout, "busy_timeout")
        if pool_size is not None:
            check_integer(pool_size, "pool_size", low=1)
        check_compression(compression)
        try:
            database = cls(url, PoolSettings(durability, busy_timeout, pool_size), compression=compression)
            try:
                with TypedErrors(f"opening {database.url!r}"):
                    database._pools.writer.engine.raw_connection().close()
            except BaseException:
                database.close()
                raise
        except TooManyConnections:
            raise
        except TransientError as error:
            raise DatabaseUnusable(str(error)) from error
        return database

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Database({self.url!r}, durability={self.durability!r})"

    def close(self) -> None:
        """Close all connections; an embedded server that nobody else uses stops.

        Calling it again is harmless, and so is it after a fork.
        """
        self._closed = True
        # Closing a SQLite file in a child process would let go of the locks that the parent counts on.
        self._pools.close(is_ours=os.getpid() == self._process_id)

    def create_schema(self) -> None:
        """Create perflab's tables, or bring them to this version. Does nothing where they are current."""
        from perflab.database.schema import upgrade  # noqa: PLC0415  # Alembic is needed here only

        upgrade(self)
        with self.writing_connection() as connection:
            self.ledger.look(connection)

    # -- transactions --------------------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A writing transaction on a SQLAlchemy connection: commits at the end, rolls back on an exception.

        Errors of your statements and of the commit are SQLAlchemy's.

        Raises:
            TransientError: another writer did not finish within the busy timeout.
            LifecycleError: the database is closed, or this thread is in a transaction already.
        """
        with self._lend(self._pools.writer, Engine.connect) as connection:
            with TypedErrors("beginning a transaction"):
                transaction = connection.begin()
            with transaction:
                yield connection

    @contextmanager
    def driver_transaction(self) -> Iterator[DriverConnection]:
        """The same on the driver's own connection: what operations run on. Its errors are the driver's.

        What statements return may be read only after the block: on a server the whole block is one round trip.
        """
        with self.writing_connection() as connection, connection.transaction():
            yield connection

    @contextmanager
    def driver_conversation(self) -> Iterator[DriverConnection]:
        """The same for a block in which a later statement depends on what an earlier one returned."""
        with self.writing_connection() as connection, connection.conversation():
            yield connection

    @contextmanager
    def writing_connection(self) -> Iterator[DriverConnection]:
        """The driver's own connection before a transaction, for those who count what that costs."""
        with self._lend(self._pools.writer, Engine.raw_connection) as pooled:
            yield driver_of(pooled)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A SQLAlchemy connection for SELECTs. On a SQLite file it refuses to write, and never waits for a write."""
        with self._lend(self._pools.reader, Engine.connect) as connection:
            yield connection

    @contextmanager
    def reading_connection(self) -> Iterator[DriverConnection]:
        """The driver's own connection for SELECTs, with the same promise."""
        with self._lend(self._pools.reader, Engine.raw_connection) as pooled:
            yield driver_of(pooled)

    def fetch(self, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        """All rows of one SELECT of perflab's own, over the driver."""
        with self.reading_connection() as connection, TypedErrors("a read"):
            rows: list[tuple[Any, ...]] = connection.execute(sql, parameters).fetchall()
            return rows

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
            OutcomeUnknown: the connection was lost at COMMIT, and the ledger could not be asked within the busy
                timeout, or there is none.
            ResultLost: all is written, but the connection was lost before the results came.
            DatabaseError: the database refused or failed; nothing was written.
            LifecycleError: the connection is not in a transaction of this database.
        """
        items = list(items)
        rows = prepare_all(operation, items)
        if not rows:
            return []
        with TypedErrors(f"{operation.name} of {len(rows)} items"):
            if connection is not None:
                results = list(operation.apply(self._in_transaction(connection), rows))
            else:
                results = self._apply_once(operation, rows)
        self.announce(operation, items, results)
        return results

    def _apply_once(self, operation: Operation[Any, Result], rows: Sequence[Any]) -> list[Result]:
        try:
            with self.writing_connection() as driver, self.ledger.transaction(driver):
                results = operation.apply(driver, rows)
                if driver.answers_at_once:  # and must be read, while a faulty operation can be undone
                    return list(results)
        except OutcomeUnknown as unknown:
            kept = ask_in_time(
                self.ledger,
                unknown,
                self.writing_connection,
                seconds=self._busy_timeout,
                clock=self._clock,
                sleep=self._sleep,
            )
            return kept.replay(lambda connection: list(operation.apply(connection, rows)))
        return list(results)

    def announce(self, operation: Operation[Item, Result], items: Sequence[Item], results: Sequence[Result]) -> None:
        """Tell listeners of items that are written, if the operation says what."""
        if self.events and (event := event_of(operation, items, results)) is not None:
            self.events.emit(event)

    @property
    def ledger(self) -> Ledger:
        """What tells whether a batch whose COMMIT was never answered is written."""
        return self._pools.ledger

    @property
    def dialect(self) -> Dialect:
        """SQLAlchemy's dialect, to compile statements with."""
        return self._pools.dialect

    def listen(self, channel: str, payload: str) -> Listener | None:
        """What waits for `NOTIFY channel, 'payload'`, on a connection of its own beside the pools. It promises nothing:
        behind a pooler that lends sessions, or while the connection is lost, it hears nothing and waits.

        Args:
            channel: an identifier of ours.
            payload: the others are passed over.

        Returns:
            None on SQLite, which notifies nobody.
        """
        return self._pools.listen(channel, payload)

    @property
    def most_connections(self) -> int:
        """How many connections it opens at the most."""
        return self._pools.most_connections

    @property
    def pool_use(self) -> PoolUse:
        """How many connections are in use, and how many threads want one, at this moment; costs no round trip."""
        return self._pools.use()

    @property
    def round_trips_of_one(self) -> int:
        """The least round trips that one write alone costs here: what batching is compared with."""
        return self._pools.round_trips_of_one

    # -- round trips ---------------------------------------------------------------------------------------------------

    @property
    def round_trips(self) -> int:
        """Exchanges with the engine so far, on all connections. See `SQLiteConnection` for what counts as one."""
        return self._connections.round_trips

    @contextmanager
    def counting(self) -> Iterator[RoundTripCount]:
        """Count the round trips of a `with` block, those of other threads included."""
        count = RoundTripCount(self)
        try:
            yield count
        finally:
            count.stop()

    @contextmanager
    def recording(self) -> Iterator[StatementRecorder]:
        """Note each statement of a `with` block and its time, those of other threads included.

        Raises:
            LifecycleError: it is being recorded already.
        """
        if self._connections.recorder is not None:
            raise LifecycleError("the statements are being recorded already: use that recorder, or end it first")
        recorder = StatementRecorder()
        self._connections.record_with(recorder)
        try:
            yield recorder
        finally:
            self._connections.record_with(None)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _check_usable(self) -> None:
        if self._closed:
            raise LifecycleError(f"the database {self.url!r} is closed: open it again with Database.open")
        if os.getpid() != self._process_id:
            raise LifecycleError(
                f"the database {self.url!r} was opened by process {self._process_id}, before a fork: "
                "open it again in this process"
            )

    def _lend(self, pool: Pool, take: Callable[[Engine], Pooled]) -> AbstractContextManager[Pooled]:
        """A connection of the pool, to which it goes back at the end."""
        self._check_usable()
        return pool.lend(take)

    def _in_transaction(self, connection: Connection) -> DriverConnection:
        """The driver's connection under a SQLAlchemy connection that is in a transaction of this database."""
        driver = driver_of(connection)
        if driver not in self._connections or not driver.in_transaction:
            raise LifecycleError(
                "the connection is not in a transaction of this database: use the one that `with database.transaction()"
                " as connection` gives, inside its block"
            )
        return driver
