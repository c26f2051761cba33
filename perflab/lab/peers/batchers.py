"""perflab's batcher beside others that coalesce calls of coroutines, on SQLite, with the same rows checked.

What a peer does with a batch is given by its user: here it is the raw driver's fastest form, in the loop's own thread
for loads, as the examples of aiodataloader have it, and in a thread for writes.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

from sqlalchemy import Column, Integer, MetaData, Table, Text, insert

from perflab.batching.async_batcher import AsyncRequestBatcher
from perflab.database.database import Database
from perflab.database.load import load
from perflab.errors import WrongAnswer
from perflab.lab.bench.comparison import Arm, Comparison
from perflab.lab.bench.sqlite_engine import SQLiteBench

BATCH_SIZE = 1_000
ROUNDS = 10
TABLE = Table("peers", MetaData(), Column("id", Integer, primary_key=True), Column("note", Text, nullable=False))
NOTE = "x" * 100

Call = Callable[[int], Awaitable[Any]]
"""One coroutine's call, for one id."""


@contextmanager
def _fresh_table(*, filled: bool) -> Iterator[tuple[Database, sqlite3.Connection]]:
    """A table of the library, and a connection by hand with the same settings."""
    bench = SQLiteBench()
    with bench.fresh_database() as url, Database.open(url) as database:
        with database.transaction() as connection:
            TABLE.create(connection)
            if filled:
                connection.execute(insert(TABLE), [{"id": number, "note": NOTE} for number in range(BATCH_SIZE)])
        with bench.connect(url) as connection_by_hand:
            yield database, connection_by_hand


async def _rounds(call: Call, *, new_ids: bool) -> tuple[float, list[Any]]:
    """Seconds a call, without the first round, of a thousand coroutines at once; and the answers of the last round."""
    start, answers = 0.0, []
    for number in range(ROUNDS + 1):
        if number == 1:
            start = time.perf_counter()
        first = number * BATCH_SIZE if new_ids else 0
        answers = await asyncio.gather(*(call(each) for each in range(first, first + BATCH_SIZE)))
    return (time.perf_counter() - start) / (ROUNDS * BATCH_SIZE), answers


def _check_written(connection: sqlite3.Connection, arm: str) -> None:
    rows = BATCH_SIZE * (ROUNDS + 1)
    found = connection.execute("SELECT count(*), sum(id) FROM peers").fetchone()
    if found != (rows, rows * (rows - 1) // 2):
        raise WrongAnswer(f"{arm} wrote (rows, sum of ids) {found}, and not {(rows, rows * (rows - 1) // 2)}")


def _check_loaded(answers: list[Any], arm: str) -> None:
    if [row[0] for row in answers] != list(range(BATCH_SIZE)):
        raise WrongAnswer(f"{arm} gave other rows than those that were asked for")


@dataclass(frozen=True, slots=True)
class OurWrites:
    name: str = "AsyncRequestBatcher.submit(insert)"

    def visit(self, block: int) -> float:  # noqa: ARG002  # every block does the same
        with _fresh_table(filled=False) as (database, connection):
            seconds = asyncio.run(self._visit(database))
            _check_written(connection, self.name)
        return seconds

    async def _visit(self, database: Database) -> float:
        statement = insert(TABLE)
        async with AsyncRequestBatcher(database, batch_size=BATCH_SIZE) as batcher:

            def call(number: int) -> Awaitable[Any]:
                return batcher.submit(statement, {"id": number, "note": NOTE})

            return (await _rounds(call, new_ids=True))[0]


@dataclass(frozen=True, slots=True)
class AsyncBatcherWrites:
    """Of the settings that async-batcher has, the size that fits; it gives no result unless the batch does."""

    name: str = "async-batcher, executemany in a thread"

    def visit(self, block: int) -> float:  # noqa: ARG002
        with _fresh_table(filled=False) as (_, connection):
            path = connection.execute("PRAGMA database_list").fetchone()[2]
            seconds = asyncio.run(self._visit(path))
            _check_written(connection, self.name)
        return seconds

    async def _visit(self, path: str) -> float:
        from async_batcher.batcher import AsyncBatcher  # noqa: PLC0415  # of an extra

        writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        writer.execute("PRAGMA synchronous = NORMAL")

        class Writes(AsyncBatcher):  # type: ignore[misc]  # it has no types
            def process_batch(self, batch: list[tuple[int, str]]) -> None:
                writer.execute("BEGIN IMMEDIATE")
                writer.executemany("INSERT INTO peers (id, note) VALUES (?, ?)", batch)
                writer.execute("COMMIT")

        batcher = Writes(max_batch_size=BATCH_SIZE)
        seconds, _ = await _rounds(lambda number: batcher.process((number, NOTE)), new_ids=True)
        await batcher.stop()
        writer.close()
        return seconds


@dataclass(frozen=True, slots=True)
class OurLoads:
    name: str = "AsyncRequestBatcher.submit(load)"

    def visit(self, block: int) -> float:  # noqa: ARG002
        with _fresh_table(filled=True) as (database, _):
            return asyncio.run(self._visit(database))

    async def _visit(self, database: Database) -> float:
        async with AsyncRequestBatcher(database, batch_size=BATCH_SIZE) as batcher:
            seconds, answers = await _rounds(partial(batcher.submit, load(TABLE)), new_ids=False)
        _check_loaded(answers, self.name)
        return seconds


@dataclass(frozen=True, slots=True)
class DataLoaderLoads:
    """Without its cache, which would answer all rounds but the first."""

    name: str = "aiodataloader, SELECT … IN"

    def visit(self, block: int) -> float:  # noqa: ARG002
        with _fresh_table(filled=True) as (_, connection):
            return asyncio.run(self._visit(connection))

    async def _visit(self, connection: sqlite3.Connection) -> float:
        from aiodataloader import DataLoader  # noqa: PLC0415  # of an extra

        async def load_batch(ids: list[int]) -> list[Any]:
            marks = ", ".join("?" * len(ids))
            rows = connection.execute(f"SELECT id, note FROM peers WHERE id IN ({marks})", ids)  # noqa: S608
            found = {row[0]: row for row in rows}
            return [found.get(each) for each in ids]

        loader = DataLoader(load_batch, max_batch_size=BATCH_SIZE, cache=False)
        seconds, answers = await _rounds(loader.load, new_ids=False)
        _check_loaded(answers, self.name)
        return seconds


def batcher_comparisons() -> list[Comparison]:
    """Ours beside those that are installed; a ratio above 1 is what ours costs more."""
    pairs: list[tuple[str, str, Arm, Arm, str]] = [
        ("single writes", "written", OurWrites(), AsyncBatcherWrites(), "async_batcher"),
        ("single loads", "read by key", OurLoads(), DataLoaderLoads(), "aiodataloader"),
    ]
    return [
        Comparison(
            name=name,
            engine="sqlite",
            work=f"{BATCH_SIZE:,} coroutines at once, a row each {done}, until all have their result",
            ours=ours,
            others=(other,),
            limit=None,
        )
        for name, done, ours, other, module in pairs
        if find_spec(module) is not None
    ]
