"""One job enqueued by hand, on each engine: one statement, which on PostgreSQL tells those who listen."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from perflab.lab.bench.bulk_calls import QUEUE, JobRow
from perflab.lab.bench.sqlite_writes import NOW
from perflab.queue.engine import CHANNEL

EnqueueOne: TypeAlias = Callable[[Any, JobRow], None]
"""On the driver's own connection, in one transaction."""

_INSERT = (
    "INSERT INTO perflab_jobs (queue, run_at, state, max_attempts, enqueued_at, priority, payload) "
    f"VALUES ('{QUEUE}', {NOW}, 'ready', 5, {NOW}"
)


def sqlite_enqueue(connection: Any, row: JobRow) -> None:
    connection.execute(f"{_INSERT}, ?, ?)", (row.priority, json.dumps(row.payload)))


def postgresql_enqueue(connection: Any, row: JobRow) -> None:
    connection.execute(
        f"WITH new AS ({_INSERT}, %s, %s) RETURNING id) SELECT pg_notify('{CHANNEL}', '{QUEUE}') FROM new",
        (row.priority, json.dumps(row.payload)),
    )


RAW_ENQUEUES: Mapping[str, Mapping[str, EnqueueOne]] = {
    "sqlite": {"sqlite3 INSERT, loop that looks": sqlite_enqueue},
    "postgresql": {"psycopg INSERT and NOTIFY, loop that listens": postgresql_enqueue},
}
