"""PostgreSQL: how its connections are opened, set up and counted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from select import POLLIN, poll
from typing import Any, Self

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import URL
from sqlalchemy.pool import QueuePool

from perflab.database.array_dumpers import register_array_dumpers
from perflab.database.connection_failures import connection_failure
from perflab.database.failures import TypedErrors
from perflab.database.ledger import Ledger
from perflab.database.operation import DriverConnection
from perflab.database.pools import Pools, PoolSettings
from perflab.database.postgresql_ledger import BatchNote, PostgresLedger
from perflab.database.recorder import StatementRecorder
from perflab.errors import DatabaseUnusable

MINIMUM_VERSION = 140_000
CONNECT_TIMEOUT_SECONDS = 10
ROUND_TRIPS_OF_ONE = 1
"""One statement in autocommit."""
_ACTIVE = TransactionStatus.ACTIVE
IN_TRANSACTION = frozenset({TransactionStatus.INTRANS, TransactionStatus.INERROR, TransactionStatus.ACTIVE})


class PostgresCursor(psycopg.Cursor[Any]):
    """A cursor that counts its exchanges, for its connection."""

    connection: PostgresConnection

    def execute(
        self, query: Any, params: Any = None, *, prepare: bool | None = None, binary: bool | None = None
    ) -> Self:
        self.connection.note_sent()
        return super().execute(query, params, prepare=prepare, binary=binary)

    def executemany(self, query: Any, params_seq: Any, *, returning: bool = False) -> None:
        self.connection.note_sent()
        super().executemany(query, params_seq, returning=returning)

    @contextmanager
    def copy(self, statement: Any, params: Any = None, *, writer: Any = None) -> Iterator[Any]:
        self.connection.note_sent()
        with super().copy(statement, params, writer=writer) as copy:
            yield copy


class RecordingCursor(PostgresCursor):
    """The same for a recorder; what fails is not recorded.

    Inside a pipeline nobody waits for a statement, so that its time is not known.
    """

    def __init__(self, connection: PostgresConnection, *, recorder: StatementRecorder, **options: Any) -> None:
        super().__init__(connection, **options)
        self._recorder = recorder

    def execute(
        self, query: Any, params: Any = None, *, prepare: bool | None = None, binary: bool | None = None
    ) -> Self:
        started = self._recorder.clock()
        super().execute(query, params, prepare=prepare, binary=binary)
        self._note(query, params, self._recorder.clock() - started)
        return self

    def executemany(self, query: Any, params_seq: Any, *, returning: bool = False) -> None:
        rows = list(params_seq)
        started = self._recorder.clock()
        super().executemany(query, rows, returning=returning)
        self._note(query, rows[0] if rows else None, self._recorder.clock() - started)

    def _note(self, query: Any, params: Any, seconds: float) -> None:
        sql = query.decode() if isinstance(query, bytes) else query if isinstance(query, str) else query.as_string(self)
        self._recorder.record(sql, params, seconds if self.connection.answers_at_once else None)


class PostgresConnection(psycopg.Connection[Any]):
    """A connection that counts its round trips: the times that it sends something and waits for ReadyForQuery.

    It is in autocommit, so that one statement is one round trip. `transaction` puts its statements into a pipeline,
    which the server takes as one transaction up to the Sync at the end: also one round trip, however many statements.
    Results may be read once the block has ended.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.round_trips = 0
        self.superseded = 0
        self.cursor_factory = PostgresCursor
        self._is_pipelined = False
        self.note: BatchNote | None = None
        """Of the batch that is being written, if the ledger notes it."""

    @property
    def in_transaction(self) -> bool:
        # Outside of autocommit, BEGIN goes out with the first statement: there need not have been one yet.
        return self._is_pipelined or not self.autocommit or self.pgconn.transaction_status in IN_TRANSACTION

    def note_sent(self) -> None:
        """A statement is sent: alone it is a round trip, and in a pipeline the Sync will be."""
        if not self._is_pipelined:
            self.round_trips += 1

    @property
    def is_broken(self) -> bool:
        # A closed socket may be seen before libpq has read from it: then it still waits for an answer.
        return self.closed or bool(self.pgconn.pipeline_status) or self.pgconn.transaction_status == _ACTIVE

    @property
    def answers_at_once(self) -> bool:
        return not self._is_pipelined

    def record_statements(self, recorder: StatementRecorder | None) -> None:
        factory: Any = PostgresCursor if recorder is None else partial(RecordingCursor, recorder=recorder)
        self.cursor_factory = factory  # psycopg's type asks for a class, and its code only calls it

    @contextmanager
    def transaction(self) -> Iterator[None]:  # type: ignore[override]  # one kind of transaction, and it is this one
        """One transaction in one round trip: all statements of the block, or none.

        Inside a transaction that somebody else began, the statements of the block join that one.

        Raises:
            psycopg.OperationalError: the connection is lost; where the block has not begun, nothing was sent.
        """
        self._refuse_if_lost()
        is_outermost = not self.in_transaction
        self._is_pipelined = True
        failure: BaseException | None = None
        try:
            with self.pipeline():
                try:
                    yield
                except BaseException as error:  # noqa: BLE001  # raised below: psycopg would log that its Sync fails too
                    failure = error
                    if is_outermost:
                        self._undo_pipelined()
        except psycopg.Error as error:
            # An interrupt may leave the pipeline busy, and the complaint of that in its place.
            failure = failure or _interrupt_behind(error)
            if failure is None:
                raise
        finally:
            self.round_trips += 1  # the Sync at the end, also of an empty block
            self._is_pipelined = False
        if failure is not None:
            raise failure

    def _undo_pipelined(self) -> None:
        """The Sync that ends the pipeline would commit what the block has sent before it failed."""
        with suppress(psycopg.Error):  # the server has refused a statement, or is gone: nothing is left to undo
            self.execute("ROLLBACK")

    def _refuse_if_lost(self) -> None:
        """A server that ended this connection while it lay in the pool has said so: hear it before anything is sent,
        because afterwards nobody would know whether that arrived.
        """
        heard = poll()
        heard.register(self.pgconn.socket, POLLIN)
        while heard.poll(0):
            self.pgconn.consume_input()

    @contextmanager
    def conversation(self) -> Iterator[None]:
        """A transaction whose statements are answered one by one: BEGIN, each of them, and COMMIT are round trips."""
        self.autocommit = False
        try:
            yield
            self.commit()
        except BaseException:
            if not self.closed:
                self.rollback()
            raise
        finally:
            if not self.closed:
                self.autocommit = True

    def execute(
        self, query: Any, params: Any = None, *, prepare: bool | None = None, binary: bool = False
    ) -> psycopg.Cursor[Any]:
        if self.note is not None:
            query, params = self.note.keep(query, params)
        return super().execute(query, params, prepare=prepare, binary=binary)

    def executemany(self, query: Any, parameters: Any, /) -> psycopg.Cursor[Any]:
        cursor = self.cursor()
        cursor.executemany(query, parameters)
        return cursor

    def commit(self) -> None:
        if self.pgconn.transaction_status in IN_TRANSACTION:
            self.round_trips += 1
        super().commit()

    def rollback(self) -> None:
        if self.pgconn.transaction_status in IN_TRANSACTION:
            self.round_trips += 1
        super().rollback()

    def _start_query(self) -> Any:
        # BEGIN, which psycopg sends by itself before the first statement outside of autocommit.
        if not self.autocommit and self.pgconn.transaction_status == TransactionStatus.IDLE:
            self.round_trips += 1
        yield from super()._start_query()


def _interrupt_behind(error: BaseException) -> BaseException | None:
    """What is no `Exception` and was being handled when the error came."""
    behind = error.__context__
    while isinstance(behind, Exception):
        behind = behind.__context__
    return behind


def open_pools(url: URL, settings: PoolSettings, opened: Callable[[DriverConnection], None]) -> Pools:
    """One pool for reads and writes: readers do not wait for writers, so nothing is gained by keeping them apart.

    It holds twice as many connections as this machine has cores, and one. More would only queue up inside the server
    instead of here; where the database has more cores than this machine, one process does not keep them busy anyway
    (https://github.com/brettwooldridge/HikariCP/wiki/About-Pool-Sizing).
    """
    ledger = PostgresLedger()
    engine = _open_engine(url, settings, opened, ledger, connections=2 * (os.cpu_count() or 1) + 1)
    return Pools(
        "postgresql",
        engine,
        engine,
        dialect=PGDialect_psycopg(paramstyle="format"),  # type: ignore[no-untyped-call]  # values by position, as operations bind them
        round_trips_of_one=ROUND_TRIPS_OF_ONE,
        ledger=ledger,
        one_writer=False,
    )


def _open_engine(
    url: URL, settings: PoolSettings, opened: Callable[[DriverConnection], None], ledger: Ledger, *, connections: int
) -> Engine:
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=settings.busy_timeout,
        use_native_hstore=False,  # asking for its type would be a query for each connection
        skip_autocommit_rollback=True,
    )
    arguments, options = engine.dialect.create_connect_args(url)
    options.setdefault("connect_timeout", CONNECT_TIMEOUT_SECONDS)
    options.setdefault("application_name", "perflab")
    # An automatic PREPARE would be one more round trip at the sixth execution, and a name that poolers do not know; and
    # where a pipeline fails before it, psycopg would go on to use a name that the server does not know.
    options["prepare_threshold"] = None

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, _arguments: Any, _options: Any) -> PostgresConnection:
        try:
            connection = PostgresConnection.connect(*arguments, autocommit=True, **options)
        except psycopg.Error as error:
            raise connection_failure(error, url) from None  # the driver's own may quote what it was given
        try:
            with TypedErrors("setting up a connection"):
                _set_up(connection, settings)
                ledger.look(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    @event.listens_for(engine, "connect")
    def connected(connection: PostgresConnection, _record: Any) -> None:
        connection.round_trips = 0  # what SQLAlchemy asked of its first connection is set-up too
        opened(connection)

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        # For a user's transaction, in which each statement is answered at once; psycopg sends BEGIN with the first.
        connection.connection.dbapi_connection.autocommit = False

    @event.listens_for(engine, "checkin")
    def checked_in(connection: PostgresConnection | None, _record: Any) -> None:
        if connection is not None and not connection.closed and not connection.autocommit:
            connection.autocommit = True

    return engine


def _set_up(connection: PostgresConnection, settings: PoolSettings) -> None:
    register_array_dumpers(connection)
    version = connection.info.server_version
    if version < MINIMUM_VERSION:
        raise DatabaseUnusable(
            f"the server is PostgreSQL {version // 10_000}: perflab needs {MINIMUM_VERSION // 10_000} or newer; "
            "upgrade it, or use another server"
        )
    if settings.durability == "full":
        connection.execute("SET synchronous_commit = on")
    connection.execute(f"SET lock_timeout = {round(settings.busy_timeout * 1_000)}")
