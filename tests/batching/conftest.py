"""A table to write to, operations that misbehave on demand, and one face for the three batchers."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from sqlalchemy import CheckConstraint, Column, Integer, MetaData, Table, Text
from sqlalchemy.engine import make_url

from perflab.batching.async_batcher import AsyncRequestBatcher
from perflab.batching.batcher import RequestBatcher
from perflab.batching.drain_report import DrainReport
from perflab.batching.metrics import BatchingMetrics
from perflab.database.database import Database
from perflab.database.operation import DriverConnection
from perflab.errors import InvalidInput
from perflab.events import FlushCompleted
from tests.engines import placeholder
from tests.listening import to_flushes

PATIENCE_SECONDS = 60.0
"""For waits on something that must happen: long enough for any machine, and nothing that a passing test waits for."""


@pytest.fixture
def table() -> Table:
    return Table(
        "sample",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("n", Integer, CheckConstraint("n <> 13"), unique=True),
        Column("name", Text),
    )


@pytest.fixture
def db(perflab_url: str, table: Table) -> Iterator[Database]:
    """A database with the table; a busy one is an error at once, so that retries are the batcher's."""
    with Database.open(perflab_url, busy_timeout=0.0) as opened:
        with opened.transaction() as connection:
            table.create(connection)
        yield opened


@pytest.fixture
def rows(db: Database) -> Callable[[], list[int]]:
    """The numbers in the table, in the order in which they were written."""
    return lambda: [n for (n,) in db.fetch("SELECT n FROM sample ORDER BY id")]


@pytest.fixture
def one_flush(db: Database) -> Callable[..., int]:
    """The round trips of a flush: one on a server, and on SQLite one for each statement, BEGIN and COMMIT."""
    return lambda statements=1: 2 + statements if db.engine_name == "sqlite" else 1


@pytest.fixture
def flushes(db: Database) -> list[FlushCompleted]:
    """Every flush that the batchers of the database report."""
    seen: list[FlushCompleted] = []
    db.events.add(to_flushes(seen.append))
    return seen


class Append:
    """Writes numbers, and answers each with ten times as much. 13 breaks a constraint, negative numbers are refused."""

    name = "append"
    tables = frozenset({"sample"})

    def __init__(self) -> None:
        self.applied: list[list[int]] = []

    def prepare(self, item: int) -> int:
        if item < 0:
            raise InvalidInput(f"{item} is negative")
        return item

    def size_bytes(self, item: int) -> int:
        return 40

    def apply(self, connection: DriverConnection, rows: Sequence[int]) -> list[int]:
        self.applied.append(list(rows))
        connection.executemany(f"INSERT INTO sample (n) VALUES ({placeholder(connection)})", [(row,) for row in rows])
        return [10 * row for row in rows]


class Gate(Append):
    """Lets a batch through only when it is opened."""

    name = "gate"

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.opened = threading.Event()

    def apply(self, connection: DriverConnection, rows: Sequence[int]) -> list[int]:
        self.entered.set()
        assert self.opened.wait(PATIENCE_SECONDS)
        return super().apply(connection, rows)


@pytest.fixture
def append() -> Append:
    return Append()


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.opened.set()


class Lock:
    """Another connection that holds what every write needs: the file's write lock, or the table's."""

    def __init__(self, url: str) -> None:
        self._is_sqlite = url.startswith("sqlite")
        self._connection: Any = (
            sqlite3.connect(str(make_url(url).database), isolation_level=None, check_same_thread=False)
            if self._is_sqlite
            else psycopg.connect(url, autocommit=True)
        )
        self._is_held = False

    def hold(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE" if self._is_sqlite else "BEGIN; LOCK TABLE sample IN SHARE MODE")
        self._is_held = True

    def hold_against(self, connection: Any) -> None:
        """The same, and let the transaction on `connection` run into it."""
        if self._is_sqlite:
            connection.rollback()
            self.hold()
            connection.execute("BEGIN IMMEDIATE")
        else:
            self.hold()
            connection.execute("INSERT INTO sample (n) VALUES (-1)")

    def release(self) -> None:
        if self._is_held:
            self._connection.execute("ROLLBACK")
        self._is_held = False

    def close(self) -> None:
        self.release()
        self._connection.close()


@pytest.fixture
def lock(db: Database) -> Iterator[Lock]:
    made = Lock(db.url)
    yield made
    made.close()


# -- one face for the three batchers -----------------------------------------------------------------------------------


class Handle:
    """The future of one item, of either kind."""

    def __init__(self, future: Any, outcome: Callable[[], Any]) -> None:
        self.future = future
        self._outcome = outcome

    def result(self) -> Any:
        return self._outcome()

    def error(self) -> BaseException:
        try:
            unexpected = self._outcome()
        except BaseException as error:
            return error
        raise AssertionError(f"the item should have failed, and its result is {unexpected!r}")


class SyncShell:
    """A `RequestBatcher`, in one of its modes."""

    def __init__(self, database: Database, settings: dict[str, Any]) -> None:
        self.batcher = RequestBatcher(database, **settings)

    def submit(self, operation: Any, item: Any, **options: Any) -> Handle:
        future: Future[Any] = self.batcher.submit(operation, item, **options)
        return Handle(future, lambda: future.result(PATIENCE_SECONDS))

    def submit_all(self, operation: Any, items: Sequence[Any]) -> list[Handle]:
        return [self.submit(operation, item) for item in items]

    def cancel(self, handle: Handle) -> bool:
        return bool(handle.future.cancel())

    def flush(self, timeout: float | None = PATIENCE_SECONDS) -> None:
        self.batcher.flush(timeout)

    def close(self, timeout: float | None = PATIENCE_SECONDS) -> DrainReport:
        return self.batcher.close(timeout)

    def metrics(self) -> BatchingMetrics:
        return self.batcher.metrics()


class AsyncShell:
    """An `AsyncRequestBatcher`, with its loop in a thread of its own."""

    def __init__(self, database: Database, settings: dict[str, Any]) -> None:
        self.batcher = AsyncRequestBatcher(database, **settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE_SECONDS)

    def submit(self, operation: Any, item: Any, **options: Any) -> Handle:
        return self.submit_all(operation, [item], **options)[0]

    def submit_all(self, operation: Any, items: Sequence[Any], **options: Any) -> list[Handle]:
        """In one turn of the loop, as a producer that does not await does."""

        async def submit() -> list[Handle]:
            return [self._handle(self.batcher.submit(operation, item, **options)) for item in items]

        handles: list[Handle] = self._run(submit())
        return handles

    def _handle(self, future: asyncio.Future[Any]) -> Handle:
        async def outcome() -> Any:
            return await future

        return Handle(future, lambda: self._run(outcome()))

    def cancel(self, handle: Handle) -> bool:
        async def cancel() -> bool:
            return bool(handle.future.cancel())

        return bool(self._run(cancel()))

    def flush(self, timeout: float | None = PATIENCE_SECONDS) -> None:
        self._run(self.batcher.flush(timeout))

    def close(self, timeout: float | None = PATIENCE_SECONDS) -> DrainReport:
        report: DrainReport = self._run(self.batcher.close(timeout))
        return report

    def metrics(self) -> BatchingMetrics:
        return self.batcher.metrics()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(params=["threads", "inline", "asyncio"])
def make_shell(request: pytest.FixtureRequest, db: Database, gate: Gate) -> Iterator[Callable[..., Any]]:
    """Make a batcher of the kind under test; by default nothing but a full batch or a barrier lets items leave."""
    with ExitStack() as cleanup:

        def make(**settings: Any) -> SyncShell | AsyncShell:
            settings = {"batch_size": 100, "flush_interval": 3600.0, **settings}
            if request.param == "asyncio":
                asynchronous = AsyncShell(db, settings)
                cleanup.callback(asynchronous.stop)
                cleanup.callback(asynchronous.close)
                return asynchronous
            synchronous = SyncShell(db, {"mode": request.param, **settings})
            cleanup.callback(synchronous.close)
            return synchronous

        yield make
        gate.opened.set()
