"""PostgreSQL's connection: its transactions, the count of its round trips, and whether it can be trusted."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Self
from weakref import WeakSet

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus, TransactionStatus

from perflab.database.array_dumpers import register_array_dumpers
from perflab.database.postgresql_ledger import BatchNote
from perflab.database.recorder import StatementRecorder
from perflab.database.statements import OwnStatement

_ACTIVE = TransactionStatus.ACTIVE
IN_TRANSACTION = frozenset({TransactionStatus.INTRANS, TransactionStatus.INERROR, TransactionStatus.ACTIVE})


class PostgresCursor(psycopg.Cursor[Any]):
    """A cursor that counts its exchanges, for its connection, and has it choose what the server keeps."""

    connection: PostgresConnection

    def execute(
        self, query: Any, params: Any = None, *, prepare: bool | None = None, binary: bool | None = None
    ) -> Self:
        self.connection.note_sent()
        if prepare is None and not self.connection.lets_server_keep(query):
            prepare = False
        return super().execute(query, params, prepare=prepare, binary=binary)

    def executemany(self, query: Any, params_seq: Any, *, returning: bool = False) -> None:
        self.connection.note_sent()
        with self.connection.keeping_nothing():  # psycopg would prepare it at once
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

    Of perflab's own statements the server keeps those that have come a few times, parsed: for a batch of one that is a
    third of its work. It still makes a plan for each execution, from the values and the size of the tables as they are:
    a plan that is kept may date from when the table was empty.

    Behind a pooler each transaction may run in another session of the server, and what is set in a session stays there
    for whoever comes next. So there the settings go with each transaction and end with it, in the same round trip.
    Nothing else of a session is used: no prepared statement, no session lock, no temporary table.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.round_trips = 0
        self.superseded = 0
        self.cursor_factory = PostgresCursor
        self.note: BatchNote | None = None
        """Of the batch that is being written, if the ledger notes it."""
        self.doubts_settled = 0
        """How many of the doubts of its pool it has been asked about."""
        self.begin_statement = "BEGIN"
        self._local_settings: str | None = None
        self._is_pipelined = False
        self._hears = _listener(self.pgconn.socket)
        _OF_THIS_PROCESS.add(self)

    def __del__(self, *_arguments: Any) -> None:
        """Psycopg would warn of an open one; one of a pool may live until the program ends, or its parent's does."""

    def set_up(self, settings: Mapping[str, str]) -> None:
        """Let these settings hold for every transaction: set once where the session is ours, else in each of them.

        Behind a pooler (PgBouncer, Odyssey, RDS Proxy, …) the process that answers is not the one that was announced
        when the connection was made.
        """
        register_array_dumpers(self)
        announced = self.info.backend_pid
        (answering, *_) = self.execute(
            f"SELECT pg_backend_pid(), {_set(settings, 'pg_backend_pid() <> %(pid)s')}", {"pid": announced}
        ).fetchone() or (announced,)
        if answering != announced:
            self.prepare_threshold = None
            self._local_settings = f"SELECT {_set(settings, 'true')}"
            self.begin_statement = f"BEGIN; {self._local_settings}"

    @property
    def has_own_session(self) -> bool:
        """Whether no pooler lends it a session for each transaction."""
        return self._local_settings is None

    @property
    def in_transaction(self) -> bool:
        return self._is_pipelined or self.pgconn.transaction_status in IN_TRANSACTION

    def note_sent(self) -> None:
        """A statement is sent: alone it is a round trip, and in a pipeline the Sync will be."""
        if not self._is_pipelined:
            self.round_trips += 1

    def lets_server_keep(self, query: object) -> bool:
        """Whether it is a statement that may be prepared. Outside of a pipeline that would be one more round trip."""
        return self._is_pipelined and isinstance(query, OwnStatement)

    @contextmanager
    def keeping_nothing(self) -> Iterator[None]:
        """Nothing is prepared in the block."""
        threshold, self.prepare_threshold = self.prepare_threshold, None
        try:
            yield
        finally:
            self.prepare_threshold = threshold

    def _deallocate(self, name: bytes | None) -> PQGen[None]:
        self.note_sent()  # psycopg has the server forget a name, or all of them, with a statement of its own
        return super()._deallocate(name)

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
        """
        is_outermost = not self.in_transaction
        self._is_pipelined = True
        failure: BaseException | None = None
        try:
            with self.pipeline():
                try:
                    if is_outermost and self._local_settings is not None:
                        self.execute(self._local_settings)
                    yield
                except BaseException as error:  # noqa: BLE001  # raised below: psycopg would log that its Sync fails too
                    failure = error
                    if is_outermost:
                        self._undo_pipelined()
        except psycopg.Error as error:
            # An interrupt may leave the pipeline busy, and the complaint of that in its place.
            failure = failure or _interrupt_behind(error) or error
        finally:
            self.round_trips += 1  # the Sync at the end, also of an empty block
            self._is_pipelined = False
        if failure is not None:
            # Where the server did not come as far as a PREPARE, psycopg would go on to use a name that is not there.
            self._prepared.clear()
            raise failure

    def _undo_pipelined(self) -> None:
        """The Sync that ends the pipeline would commit what the block has sent before it failed."""
        with suppress(psycopg.Error):  # the server has refused a statement, or is gone: nothing is left to undo
            self.execute("ROLLBACK")

    @contextmanager
    def conversation(self) -> Iterator[None]:
        """A transaction whose statements are answered one by one: BEGIN, each of them, and COMMIT are round trips."""
        self.execute(self.begin_statement)
        try:
            yield
            self.commit()
        except BaseException:
            if not self.closed:
                self.rollback()
            raise

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
        if self.pgconn.transaction_status == TransactionStatus.IDLE:
            return  # as for each connection that goes back to its pool
        if self.pgconn.transaction_status in IN_TRANSACTION:
            self.round_trips += 1
        super().rollback()

    # -- trust ---------------------------------------------------------------------------------------------------------

    def has_news(self) -> bool:
        """Whether the server has said something unasked: most often that this connection is at its end."""
        return self._hears(0.0)

    def answers(self, seconds: float) -> bool:
        """Whether it answers a question in time; one round trip. False leaves it fit for nothing but `close`."""
        deadline = time.monotonic() + seconds
        statuses = []
        try:
            self.pgconn.send_query(b"SELECT 1")
            while True:
                while self.pgconn.is_busy():
                    if not self._hears(max(0.0, deadline - time.monotonic())):
                        return False
                    self.pgconn.consume_input()
                if (result := self.pgconn.get_result()) is None:
                    break
                statuses.append(result.status)
        except psycopg.Error:
            return False
        self.round_trips += 1
        return statuses == [ExecStatus.TUPLES_OK]


def _interrupt_behind(error: BaseException) -> BaseException | None:
    """What is no `Exception` and was being handled when the error came."""
    behind = error.__context__
    while isinstance(behind, Exception):
        behind = behind.__context__
    return behind


def _listener(descriptor: int) -> Callable[[float], bool]:
    """Tells whether there is something to read, after waiting for it for some seconds."""
    if not hasattr(select, "poll"):  # on Windows, where the other one knows no bound of descriptors
        return lambda seconds: bool(select.select([descriptor], [], [], seconds)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return lambda seconds: bool(poll.poll(1_000 * seconds))


def _set(settings: Mapping[str, str], is_local: str) -> str:
    """The expressions that set them, with one that says whether they end with the transaction."""
    return ", ".join(f"set_config('{name}', '{value}', {is_local})" for name, value in settings.items())


# -- forks -------------------------------------------------------------------------------------------------------------

_OF_THIS_PROCESS: WeakSet[PostgresConnection] = WeakSet()
"""A fork is about the process as a whole, and so is this."""


def _let_go_of_the_parents() -> None:
    """In the child of a fork: nothing that it does may reach the sockets that it shares with its parent.

    Neither a statement, nor the Terminate message with which libpq closes a connection. And while the child had them
    open, the server would not notice the death of the parent, whose locks would stay.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    for connection in _OF_THIS_PROCESS:
        with suppress(psycopg.Error):  # it was closed
            os.dup2(nowhere, connection.pgconn.socket, inheritable=False)
    os.close(nowhere)
    _OF_THIS_PROCESS.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_let_go_of_the_parents)
