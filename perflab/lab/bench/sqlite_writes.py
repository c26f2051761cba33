"""Raw `sqlite3` for the work of our bulk calls; a transaction is around each batch.

What is put in returns nothing here, where ours returns ids and verdicts. What is claimed is read whole, and so are the
leases that held.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from perflab.lab.bench.arms import RawWrite
from perflab.lab.bench.bulk_calls import LEASE_SECONDS, QUEUE, Rows, StateRow, WatchRow

NOW = 1_377_000_000_000_000  # microseconds; any moment does
LEASE_UNTIL = NOW + int(LEASE_SECONDS * 1e6)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


# -- bulk_enqueue ------------------------------------------------------------------------------------------------------

_JOB_COLUMNS = "(queue, priority, run_at, state, max_attempts, payload, enqueued_at)"
_JOB_ROW = f"('{QUEUE}', ?, {NOW}, 'ready', 5, ?, {NOW})"


def enqueue_executemany(connection: sqlite3.Connection, rows: Rows) -> None:
    connection.executemany(
        f"INSERT INTO perflab_jobs {_JOB_COLUMNS} VALUES {_JOB_ROW}",
        [(priority, json.dumps(payload)) for priority, payload in rows],
    )


def enqueue_values(connection: sqlite3.Connection, rows: Rows) -> None:
    for start in range(0, len(rows), 100):
        part = rows[start : start + 100]
        connection.execute(
            f"INSERT INTO perflab_jobs {_JOB_COLUMNS} VALUES {', '.join([_JOB_ROW] * len(part))}",
            [value for priority, payload in part for value in (priority, json.dumps(payload))],
        )


def enqueue_json(connection: sqlite3.Connection, rows: Rows) -> None:
    connection.execute(
        f"INSERT INTO perflab_jobs {_JOB_COLUMNS} "
        f"SELECT '{QUEUE}', value ->> 0, {NOW}, 'ready', 5, value ->> 1, {NOW} FROM json_each(?)",
        (json.dumps([(priority, json.dumps(payload)) for priority, payload in rows]),),
    )


# -- claim -------------------------------------------------------------------------------------------------------------

_READY = f"FROM perflab_jobs WHERE queue = '{QUEUE}' AND state = 'ready' ORDER BY priority, run_at, id LIMIT ?"
_LEASED = f"state = 'running', attempt = attempt + 1, lease_until = {LEASE_UNTIL}"
_CLAIMED = "priority, run_at, id, payload, attempt, max_attempts, key"


def claim_returning(connection: sqlite3.Connection, rows: Rows) -> list[tuple[Any, ...]]:
    claimed = connection.execute(
        f"UPDATE perflab_jobs SET {_LEASED} WHERE id IN (SELECT id {_READY}) RETURNING {_CLAIMED}", (len(rows),)
    ).fetchall()
    return [(*row[:3], json.loads(row[3]), *row[4:]) for row in sorted(claimed)]


def claim_select_then_json(connection: sqlite3.Connection, rows: Rows) -> list[tuple[Any, ...]]:
    ready = connection.execute(f"SELECT {_CLAIMED} {_READY}", (len(rows),)).fetchall()
    connection.execute(
        f"UPDATE perflab_jobs SET {_LEASED} WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps([row[2] for row in ready]),),
    )
    return [(*row[:3], json.loads(row[3]), row[4] + 1, *row[5:]) for row in ready]


def claim_select_then_executemany(connection: sqlite3.Connection, rows: Rows) -> list[tuple[Any, ...]]:
    ready = connection.execute(f"SELECT {_CLAIMED} {_READY}", (len(rows),)).fetchall()
    connection.executemany(f"UPDATE perflab_jobs SET {_LEASED} WHERE id = ?", [(row[2],) for row in ready])
    return [(*row[:3], json.loads(row[3]), row[4] + 1, *row[5:]) for row in ready]


# -- mark_done_bulk ----------------------------------------------------------------------------------------------------


def done_json(connection: sqlite3.Connection, rows: Rows) -> list[tuple[int, int]]:
    """One DELETE for each number of attempts, of which there is nearly always one."""
    ids_of_attempt: dict[int, list[int]] = {}
    for job in rows:
        ids_of_attempt.setdefault(job.attempt, []).append(job.id)
    return [
        lease
        for attempt, ids in ids_of_attempt.items()
        for lease in connection.execute(
            "DELETE FROM perflab_jobs WHERE id IN (SELECT value FROM json_each(?)) AND attempt = ? "
            "AND state = 'running' RETURNING id, attempt",
            (json.dumps(ids), attempt),
        )
    ]


def done_execute(connection: sqlite3.Connection, rows: Rows) -> list[bool]:
    """One statement for each job, which is what tells whether it was there."""
    return [
        connection.execute(
            "DELETE FROM perflab_jobs WHERE id = ? AND attempt = ? AND state = 'running'", (job.id, job.attempt)
        ).rowcount
        == 1
        for job in rows
    ]


def done_select_then_json(connection: sqlite3.Connection, rows: Rows) -> list[tuple[int, int]]:
    """Nothing can come between the two: the transaction holds the write lock."""
    ids = json.dumps([job.id for job in rows])
    running: dict[int, int] = dict(
        connection.execute(
            "SELECT id, attempt FROM perflab_jobs WHERE id IN (SELECT value FROM json_each(?)) AND state = 'running'",
            (ids,),
        )
    )
    held = [(job.id, job.attempt) for job in rows if running.get(job.id) == job.attempt]
    connection.execute(
        "DELETE FROM perflab_jobs WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps([job_id for job_id, _ in held]),),
    )
    return held


# -- add_watches_bulk --------------------------------------------------------------------------------------------------

_WATCH_COLUMNS = "(name, queue, priority, interval, cron, timezone, next_due_at, enabled, payload)"
_WATCH_UPDATE = (
    "ON CONFLICT (name) DO UPDATE SET queue = excluded.queue, priority = excluded.priority, "
    "interval = excluded.interval, enabled = excluded.enabled, payload = excluded.payload"
)


def _watch(row: WatchRow) -> tuple[str, int, int, str]:
    return row.name, row.priority, int(row.interval_seconds * 1e6), json.dumps(row.payload)


def watches_executemany(connection: sqlite3.Connection, rows: Rows) -> None:
    connection.executemany(
        f"INSERT INTO perflab_watches {_WATCH_COLUMNS} "
        f"VALUES (?, '{QUEUE}', ?, ?, NULL, 'UTC', {NOW}, 1, ?) {_WATCH_UPDATE}",
        list(map(_watch, rows)),
    )


def watches_values(connection: sqlite3.Connection, rows: Rows) -> None:
    for start in range(0, len(rows), 100):
        part = rows[start : start + 100]
        values = ", ".join([f"(?, '{QUEUE}', ?, ?, NULL, 'UTC', {NOW}, 1, ?)"] * len(part))
        connection.execute(
            f"INSERT INTO perflab_watches {_WATCH_COLUMNS} VALUES {values} {_WATCH_UPDATE}",
            [value for row in map(_watch, part) for value in row],
        )


def watches_json(connection: sqlite3.Connection, rows: Rows) -> None:
    connection.execute(
        f"INSERT INTO perflab_watches {_WATCH_COLUMNS} "
        f"SELECT value ->> 0, '{QUEUE}', value ->> 1, value ->> 2, NULL, 'UTC', {NOW}, 1, value ->> 3 "
        f"FROM json_each(?) WHERE true {_WATCH_UPDATE}",
        (json.dumps(list(map(_watch, rows))),),
    )


# -- update_ingest_states_bulk -----------------------------------------------------------------------------------------

_STATE_COLUMNS = "(watch_id, cursor, etag, last_success_at, last_error, consecutive_failures, updated_at)"
_STATE_UPDATE = (
    "ON CONFLICT (watch_id) DO UPDATE SET cursor = excluded.cursor, etag = excluded.etag, "
    "last_success_at = excluded.last_success_at, last_error = NULL, consecutive_failures = 0, "
    "updated_at = excluded.updated_at"
)


def _state(row: StateRow) -> tuple[str, str, str, int]:
    return row.watch, row.cursor, row.etag, (row.succeeded_at - _EPOCH) // _MICROSECOND


def states_insert_select(connection: sqlite3.Connection, rows: Rows) -> None:
    connection.executemany(
        f"INSERT INTO perflab_ingest_states {_STATE_COLUMNS} "
        f"SELECT id, ?2, ?3, ?4, NULL, 0, {NOW} FROM perflab_watches WHERE name = ?1 {_STATE_UPDATE}",
        list(map(_state, rows)),
    )


def states_subselect(connection: sqlite3.Connection, rows: Rows) -> None:
    connection.executemany(
        f"INSERT INTO perflab_ingest_states {_STATE_COLUMNS} VALUES "
        f"((SELECT id FROM perflab_watches WHERE name = ?), ?, ?, ?, NULL, 0, {NOW}) {_STATE_UPDATE}",
        list(map(_state, rows)),
    )


def states_json(connection: sqlite3.Connection, rows: Rows) -> None:
    connection.execute(
        f"INSERT INTO perflab_ingest_states {_STATE_COLUMNS} "
        f"SELECT watches.id, given.value ->> 1, given.value ->> 2, given.value ->> 3, NULL, 0, {NOW} "
        "FROM json_each(?) AS given JOIN perflab_watches AS watches ON watches.name = given.value ->> 0 "
        f"WHERE true {_STATE_UPDATE}",
        (json.dumps(list(map(_state, rows))),),
    )


def states_ids_first(connection: sqlite3.Connection, rows: Rows) -> None:
    ids: dict[str, int] = dict(
        connection.execute(
            "SELECT name, id FROM perflab_watches WHERE name IN (SELECT value FROM json_each(?))",
            (json.dumps([row.watch for row in rows]),),
        )
    )
    connection.executemany(
        f"INSERT INTO perflab_ingest_states {_STATE_COLUMNS} VALUES (?, ?, ?, ?, NULL, 0, {NOW}) {_STATE_UPDATE}",
        sorted((ids[name], *values) for name, *values in map(_state, rows)),
    )


SQLITE_FORMS: Mapping[str, Mapping[str, RawWrite]] = {
    "bulk_enqueue": {
        "sqlite3 executemany": enqueue_executemany,
        "sqlite3 VALUES of 100 rows": enqueue_values,
        "sqlite3 one JSON parameter": enqueue_json,
    },
    "claim": {
        "sqlite3 UPDATE … RETURNING": claim_returning,
        "sqlite3 SELECT, then UPDATE by one JSON parameter": claim_select_then_json,
        "sqlite3 SELECT, then executemany": claim_select_then_executemany,
    },
    "mark_done_bulk": {
        "sqlite3 DELETE by one JSON parameter": done_json,
        "sqlite3 DELETE of each": done_execute,
        "sqlite3 SELECT, then DELETE by one JSON parameter": done_select_then_json,
    },
    "add_watches_bulk": {
        "sqlite3 executemany": watches_executemany,
        "sqlite3 VALUES of 100 rows": watches_values,
        "sqlite3 one JSON parameter": watches_json,
    },
    "update_ingest_states_bulk": {
        "sqlite3 executemany INSERT … SELECT": states_insert_select,
        "sqlite3 executemany with sub-select": states_subselect,
        "sqlite3 one JSON parameter": states_json,
        "sqlite3 ids first, then executemany in order": states_ids_first,
    },
}
