"""The bulk inserter against the raw driver, 10,000 rows a batch: tuples like jobs, with 150 characters of JSON text."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Index, MetaData, SmallInteger, Table, Text

from perflab.batching.inserter import BulkInserter
from perflab.database.database import Database
from perflab.lab.bench.arms import BenchEngine
from perflab.lab.bench.comparison import Comparison

ROWS = 10_000
WARM_UP_BATCHES = 1
TIMED_BATCHES = 4
LIMIT = 1.15
COLUMNS = ("id", "queue", "priority", "run_at", "state", "payload")
LOADED = Table(
    "loaded",
    MetaData(),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("queue", Text),
    Column("priority", SmallInteger),
    Column("run_at", BigInteger),
    Column("state", Text),
    Column("payload", Text),
)
Index("loaded_in_order", LOADED.c.queue, LOADED.c.priority, LOADED.c.run_at)
_MOMENT = int(datetime(2013, 8, 20, tzinfo=UTC).timestamp())
_PAYLOAD = json.dumps({"origin": "JFK", "dest": "LAX", "note": "x" * 110})

LoadedRow = tuple[int, str, int, int, str, str]
RawLoad = Callable[[Any, list[LoadedRow]], object]


def make_batch(number: int) -> list[LoadedRow]:
    """The rows of one batch, each with an id and a moment of its own."""
    first = number * ROWS
    return [(first + n, "bench", n % 4, _MOMENT + first + n, "ready", _PAYLOAD) for n in range(ROWS)]


@contextmanager
def fresh_table(engine: BenchEngine) -> Iterator[str]:
    """The URL of a database in which the table is empty."""
    with engine.fresh_database() as url:
        with Database.open(url) as database, database.transaction() as connection:
            LOADED.create(connection)
        yield url


@dataclass(frozen=True, slots=True)
class OurLoad:
    """The inserter, from the call of `extend` to its return."""

    engine: BenchEngine
    name: str = "BulkInserter"

    def visit(self, block: int) -> float:  # noqa: ARG002  # every block loads the same rows
        with (
            fresh_table(self.engine) as url,
            Database.open(url) as database,
            BulkInserter(database, LOADED, ROWS, 3600.0) as inserter,
        ):
            return _timed(inserter.extend)


@dataclass(frozen=True, slots=True)
class RawLoadForm:
    """SQL by hand for the same rows."""

    name: str
    engine: BenchEngine
    load: RawLoad

    def visit(self, block: int) -> float:  # noqa: ARG002  # the same
        with fresh_table(self.engine) as url, self.engine.connect(url) as connection:

            def load(rows: list[LoadedRow]) -> None:
                with self.engine.transaction(connection):
                    self.load(connection, rows)

            return _timed(load)


def _timed(load: Callable[[list[LoadedRow]], object]) -> float:
    """Seconds per row of all batches but the first ones."""
    batches = [make_batch(number) for number in range(WARM_UP_BATCHES + TIMED_BATCHES)]
    for batch in batches[:WARM_UP_BATCHES]:
        load(batch)
    start = time.perf_counter()
    for batch in batches[WARM_UP_BATCHES:]:
        load(batch)
    return (time.perf_counter() - start) / (TIMED_BATCHES * ROWS)


# -- raw forms ---------------------------------------------------------------------------------------------------------

_NAMES = ", ".join(COLUMNS)


def copy_binary(connection: Any, rows: list[LoadedRow]) -> None:
    with connection.cursor() as cursor, cursor.copy(f"COPY loaded ({_NAMES}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(["int8", "text", "int2", "int8", "text", "text"])
        for row in rows:
            copy.write_row(row)


def copy_text(connection: Any, rows: list[LoadedRow]) -> None:
    with connection.cursor() as cursor, cursor.copy(f"COPY loaded ({_NAMES}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def unnest_binary(connection: Any, rows: list[LoadedRow]) -> None:
    arrays = [list(column) for column in zip(*rows, strict=True)]
    connection.execute(
        f"INSERT INTO loaded ({_NAMES}) SELECT * FROM unnest("  # noqa: S608  # names of this module
        "%b::int8[], %b::text[], %b::int2[], %b::int8[], %b::text[], %b::text[])",
        arrays,
    )


def executemany(connection: Any, rows: list[LoadedRow]) -> None:
    connection.executemany(f"INSERT INTO loaded ({_NAMES}) VALUES (?, ?, ?, ?, ?, ?)", rows)  # noqa: S608


def many_values(connection: Any, rows: list[LoadedRow]) -> None:
    for start in range(0, len(rows), 100):
        part = rows[start : start + 100]
        values = ", ".join(["(?, ?, ?, ?, ?, ?)"] * len(part))
        connection.execute(
            f"INSERT INTO loaded ({_NAMES}) VALUES {values}",  # noqa: S608
            [value for row in part for value in row],
        )


RAW_LOADS: Mapping[str, Mapping[str, RawLoad]] = {
    "postgresql": {
        "psycopg COPY, binary": copy_binary,
        "psycopg COPY, text": copy_text,
        "psycopg unnest, binary": unnest_binary,
    },
    "sqlite": {"sqlite3 executemany": executemany, "sqlite3 VALUES of 100 rows": many_values},
}


def load_comparison(engine: BenchEngine) -> Comparison:
    """The inserter against all raw loads of one engine."""
    return Comparison(
        name="BulkInserter",
        engine=engine.name,
        work=f"batches of {ROWS:,} rows of six columns with 150 characters of JSON text, each one transaction",
        ours=OurLoad(engine),
        others=tuple(RawLoadForm(name, engine, load) for name, load in RAW_LOADS[engine.name].items()),
        limit=LIMIT,
    )
