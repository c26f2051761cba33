"""Bulk calls on SQLite against hand-written `sqlite3` for the same rows in the same tables.

Each visit makes a fresh database with perflab's schema, writes some batches to warm up, and times the next ones. The
raw arms open the file with the same settings (WAL, synchronous=NORMAL) and write what an engineer would write by hand:
they encode the payload with `json.dumps`, check nothing, and return nothing.
"""

from __future__ import annotations

import json
import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from perflab.database.database import Database
from perflab.lab.bench.comparison import Arm, Comparison
from perflab.lab.sweep.subject import job_payload
from perflab.lab.workloads.flights import Flight
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import IngestState, Watch

WARM_UP_BATCHES = 2
TIMED_BATCHES = 8
KNOWN_WATCHES = 5_000
NOW = 1_377_000_000_000_000  # microseconds; any moment does
QUEUE = "bench"


@dataclass(frozen=True, slots=True)
class BulkCall:
    """Our arm: a bulk call of the library."""

    name: str
    prepare: Callable[[Database], None]
    make_batch: Callable[[int], Sequence[Any]]
    call: Callable[[Database], Callable[[Sequence[Any]], object]]

    def visit(self, block: int) -> float:
        with _fresh_database(self.prepare) as path, Database.open(f"sqlite:///{path}") as database:
            return _timed(self.call(database), self.make_batch, block)


@dataclass(frozen=True, slots=True)
class RawForm:
    """An arm of hand-written SQL: `write` sends one batch; the arm begins and commits around it."""

    name: str
    prepare: Callable[[Database], None]
    make_batch: Callable[[int], Sequence[Any]]
    write: Callable[[sqlite3.Connection, Sequence[Any]], object]

    def visit(self, block: int) -> float:
        with _fresh_database(self.prepare) as path:
            connection = sqlite3.connect(path, isolation_level=None)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("PRAGMA foreign_keys = ON")
                connection.execute("PRAGMA cache_size = -65536")

                def transaction(batch: Sequence[Any]) -> None:
                    connection.execute("BEGIN IMMEDIATE")
                    self.write(connection, batch)
                    connection.execute("COMMIT")

                return _timed(transaction, self.make_batch, block)
            finally:
                connection.close()


def _timed(write: Callable[[Sequence[Any]], object], make_batch: Callable[[int], Sequence[Any]], block: int) -> float:
    """Seconds per row of the timed batches; the rows are made before the clock starts."""
    first = block * (WARM_UP_BATCHES + TIMED_BATCHES)
    batches = [make_batch(first + number) for number in range(WARM_UP_BATCHES + TIMED_BATCHES)]
    for batch in batches[:WARM_UP_BATCHES]:
        write(batch)
    timed = batches[WARM_UP_BATCHES:]
    start = time.perf_counter()
    for batch in timed:
        write(batch)
    return (time.perf_counter() - start) / sum(map(len, timed))


@contextmanager
def _fresh_database(prepare: Callable[[Database], None]) -> Iterator[Path]:
    with TemporaryDirectory(prefix="perflab-bench-") as folder:
        path = Path(folder) / "bench.db"
        with Database.open(f"sqlite:///{path}") as database:
            database.create_schema()
            prepare(database)
        yield path


def enqueue_comparison(flights: Sequence[Flight], batch_size: int) -> Comparison:
    """`bulk_enqueue` against the ways to insert a batch of jobs."""
    rows = [(flight.priority, job_payload(flight)) for flight in flights]

    def batch(number: int) -> list[tuple[int, dict[str, Any]]]:
        return [rows[(number * batch_size + index) % len(rows)] for index in range(batch_size)]

    def jobs(number: int) -> list[NewJob]:
        return [NewJob(payload, priority=priority) for priority, payload in batch(number)]

    columns = "(queue, priority, run_at, state, max_attempts, payload, enqueued_at)"
    constant = f"'{QUEUE}', ?, {NOW}, 'ready', 5, ?, {NOW}"
    one_row = f"INSERT INTO perflab_jobs {columns} VALUES ({constant})"  # noqa: S608  # constants of this module

    def executemany(connection: sqlite3.Connection, jobs: Sequence[Any]) -> None:
        connection.executemany(one_row, [(priority, json.dumps(payload)) for priority, payload in jobs])

    def many_values(connection: sqlite3.Connection, jobs: Sequence[Any]) -> None:
        for start in range(0, len(jobs), 100):
            part = jobs[start : start + 100]
            values = ", ".join([f"({constant})"] * len(part))
            parameters = [value for priority, payload in part for value in (priority, json.dumps(payload))]
            connection.execute(f"INSERT INTO perflab_jobs {columns} VALUES {values}", parameters)  # noqa: S608

    def json_parameter(connection: sqlite3.Connection, jobs: Sequence[Any]) -> None:
        connection.execute(
            f"INSERT INTO perflab_jobs {columns} "  # noqa: S608
            f"SELECT '{QUEUE}', value ->> 0, {NOW}, 'ready', 5, value ->> 1, {NOW} FROM json_each(?)",
            (json.dumps([(priority, json.dumps(payload)) for priority, payload in jobs]),),
        )

    return Comparison(
        name="bulk_enqueue",
        work=f"{batch_size:,} jobs of real flights (about 170 bytes of JSON) in one transaction",
        ours=BulkCall("bulk_enqueue", _nothing, jobs, lambda db: PriorityQueue(db, QUEUE).bulk_enqueue),
        others=(
            RawForm("sqlite3 executemany", _nothing, batch, executemany),
            RawForm("sqlite3 VALUES of 100 rows", _nothing, batch, many_values),
            RawForm("sqlite3 one JSON parameter", _nothing, batch, json_parameter),
        ),
        limit=1.25,
    )


def add_watches_comparison(batch_size: int) -> Comparison:
    """`add_watches_bulk` against the ways to upsert a batch of watches."""

    def rows(number: int) -> list[tuple[str, float, int, dict[str, Any]]]:
        """Name, interval in seconds, priority and payload: all of them the caller's, and different for each row."""
        first = number * batch_size
        return [
            (f"route-{index}", 30.0 + index % 60, index % 4, {"origin": "JFK", "dest": f"D{index % 105}"})
            for index in range(first, first + batch_size)
        ]

    def watches(number: int) -> list[Watch]:
        return [
            Watch(name, interval=interval, priority=priority, payload=payload)
            for name, interval, priority, payload in rows(number)
        ]

    def bound(row: tuple[str, float, int, dict[str, Any]]) -> tuple[str, int, int, str]:
        name, interval, priority, payload = row
        return name, int(interval * 1e6), priority, json.dumps(payload)

    columns = "(name, queue, priority, interval, cron, timezone, next_due_at, enabled, payload)"
    update = (
        "ON CONFLICT (name) DO UPDATE SET queue = excluded.queue, priority = excluded.priority, "
        "interval = excluded.interval, enabled = excluded.enabled, payload = excluded.payload"
    )

    def executemany(connection: sqlite3.Connection, batch: Sequence[Any]) -> None:
        connection.executemany(
            f"INSERT INTO perflab_watches {columns} "  # noqa: S608
            f"VALUES (?1, '{QUEUE}', ?3, ?2, NULL, 'UTC', {NOW}, 1, ?4) {update}",
            [bound(row) for row in batch],
        )

    def many_values(connection: sqlite3.Connection, batch: Sequence[Any]) -> None:
        for start in range(0, len(batch), 100):
            part = batch[start : start + 100]
            values = ", ".join([f"(?, '{QUEUE}', ?, ?, NULL, 'UTC', {NOW}, 1, ?)"] * len(part))
            connection.execute(
                f"INSERT INTO perflab_watches {columns} VALUES {values} {update}",  # noqa: S608
                [
                    value
                    for name, interval, priority, text in map(bound, part)
                    for value in (name, priority, interval, text)
                ],
            )

    def json_parameter(connection: sqlite3.Connection, batch: Sequence[Any]) -> None:
        connection.execute(
            f"INSERT INTO perflab_watches {columns} "  # noqa: S608
            f"SELECT value ->> 0, '{QUEUE}', value ->> 2, value ->> 1, NULL, 'UTC', {NOW}, 1, value ->> 3 "
            f"FROM json_each(?) WHERE true {update}",
            (json.dumps([bound(row) for row in batch]),),
        )

    return Comparison(
        name="add_watches_bulk",
        work=f"{batch_size:,} new watches with intervals, priorities and payloads of their own in one transaction",
        ours=BulkCall("add_watches_bulk", _nothing, watches, lambda db: Scheduler(db, QUEUE).add_watches_bulk),
        others=(
            RawForm("sqlite3 executemany", _nothing, rows, executemany),
            RawForm("sqlite3 VALUES of 100 rows", _nothing, rows, many_values),
            RawForm("sqlite3 one JSON parameter", _nothing, rows, json_parameter),
        ),
        limit=1.25,
    )


def update_states_comparison(batch_size: int) -> Comparison:
    """`update_ingest_states_bulk` against the ways to upsert a batch of states of known watches."""
    midnight = datetime(2013, 8, 20, tzinfo=UTC)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)

    def rows(number: int) -> list[tuple[str, str, str, datetime]]:
        """Name, cursor, etag and time of success: all of them the caller's, and different for each row."""
        chosen = random.Random(number).sample(range(KNOWN_WATCHES), batch_size)
        return [
            (f"route-{index}", f"route-{index}/{number}", f"etag-{index}-{number}", midnight + timedelta(seconds=index))
            for index in chosen
        ]

    def states(number: int) -> list[IngestState]:
        return [
            IngestState(name, cursor=cursor, etag=etag, succeeded_at=succeeded_at)
            for name, cursor, etag, succeeded_at in rows(number)
        ]

    def bound(row: tuple[str, str, str, datetime]) -> tuple[str, str, str, int]:
        return (*row[:3], (row[3] - epoch) // timedelta(microseconds=1))

    def add_watches(database: Database) -> None:
        Scheduler(database, QUEUE).add_watches_bulk(
            [Watch(f"route-{index}", interval=60.0) for index in range(KNOWN_WATCHES)]
        )

    columns = "(watch_id, cursor, etag, last_success_at, last_error, consecutive_failures, updated_at)"
    update = (
        "ON CONFLICT (watch_id) DO UPDATE SET cursor = excluded.cursor, etag = excluded.etag, "
        "last_success_at = excluded.last_success_at, last_error = NULL, consecutive_failures = 0, "
        "updated_at = excluded.updated_at"
    )

    def executemany(connection: sqlite3.Connection, batch: Sequence[Any]) -> None:
        connection.executemany(
            f"INSERT INTO perflab_ingest_states {columns} "  # noqa: S608
            f"SELECT id, ?2, ?3, ?4, NULL, 0, {NOW} FROM perflab_watches WHERE name = ?1 {update}",
            [bound(row) for row in batch],
        )

    def scalar_subselect(connection: sqlite3.Connection, batch: Sequence[Any]) -> None:
        connection.executemany(
            f"INSERT INTO perflab_ingest_states {columns} VALUES "  # noqa: S608
            f"((SELECT id FROM perflab_watches WHERE name = ?1), ?2, ?3, ?4, NULL, 0, {NOW}) {update}",
            [bound(row) for row in batch],
        )

    def json_parameter(connection: sqlite3.Connection, batch: Sequence[Any]) -> None:
        connection.execute(
            f"INSERT INTO perflab_ingest_states {columns} "  # noqa: S608
            f"SELECT watches.id, given.value ->> 1, given.value ->> 2, given.value ->> 3, NULL, 0, {NOW} "
            "FROM json_each(?) AS given JOIN perflab_watches AS watches ON watches.name = given.value ->> 0 "
            f"WHERE true {update}",
            (json.dumps([bound(row) for row in batch]),),
        )

    def ids_first(connection: sqlite3.Connection, batch: Sequence[Any]) -> None:
        ids: dict[str, int] = dict(
            connection.execute(
                "SELECT name, id FROM perflab_watches WHERE name IN (SELECT value FROM json_each(?))",
                (json.dumps([row[0] for row in batch]),),
            )
        )
        connection.executemany(
            f"INSERT INTO perflab_ingest_states {columns} VALUES (?, ?, ?, ?, NULL, 0, {NOW}) {update}",  # noqa: S608
            sorted((ids[name], *values) for name, *values in map(bound, batch)),
        )

    return Comparison(
        name="update_ingest_states_bulk",
        work=f"{batch_size:,} of {KNOWN_WATCHES:,} ingest states, in random order, in one transaction",
        ours=BulkCall(
            "update_ingest_states_bulk",
            add_watches,
            states,
            lambda db: Scheduler(db, QUEUE).update_ingest_states_bulk,
        ),
        others=(
            RawForm("sqlite3 executemany INSERT … SELECT", add_watches, rows, executemany),
            RawForm("sqlite3 executemany with sub-select", add_watches, rows, scalar_subselect),
            RawForm("sqlite3 one JSON parameter", add_watches, rows, json_parameter),
            RawForm("sqlite3 ids first, then executemany in order", add_watches, rows, ids_first),
        ),
        limit=1.25,
    )


def _nothing(_database: Database) -> None:
    pass


__all__ = ["Arm", "add_watches_comparison", "enqueue_comparison", "update_states_comparison"]
