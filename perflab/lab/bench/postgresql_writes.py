"""Raw psycopg for the work of our bulk calls: each form is one statement, or one pipeline, in autocommit.

Lists travel as binary arrays where nothing else is said: `%b`. Answers are read whole: ids where ours returns ids, the
leases that held where ours returns a verdict for each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from perflab.lab.bench.arms import RawWrite
from perflab.lab.bench.bulk_calls import LEASE_SECONDS, QUEUE, Rows

NOW = 1_377_000_000_000_000  # microseconds; any moment does
LEASE_UNTIL = NOW + int(LEASE_SECONDS * 1e6)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


# -- bulk_enqueue ------------------------------------------------------------------------------------------------------

_JOB_COLUMNS = "(queue, run_at, state, max_attempts, enqueued_at, priority, payload)"
_JOB_CONSTANTS = f"'{QUEUE}', {NOW}, 'ready', 5, {NOW}"


def enqueue_unnest(connection: Any, rows: Rows) -> list[int]:
    cursor = connection.execute(
        f"INSERT INTO perflab_jobs {_JOB_COLUMNS} SELECT {_JOB_CONSTANTS}, priority, payload::json "
        "FROM unnest(%b::int2[], %b::text[]) AS new (priority, payload) RETURNING id",
        ([priority for priority, _ in rows], [json.dumps(payload) for _, payload in rows]),
    )
    return [job_id for (job_id,) in cursor.fetchall()]


def enqueue_json(connection: Any, rows: Rows) -> list[int]:
    cursor = connection.execute(
        f"INSERT INTO perflab_jobs {_JOB_COLUMNS} SELECT {_JOB_CONSTANTS}, priority, payload "
        "FROM json_to_recordset(%s::json) AS new (priority int2, payload json) RETURNING id",
        (json.dumps([{"priority": priority, "payload": payload} for priority, payload in rows]),),
    )
    return [job_id for (job_id,) in cursor.fetchall()]


def enqueue_executemany(connection: Any, rows: Rows) -> list[int]:
    cursor = connection.cursor()
    cursor.executemany(
        f"INSERT INTO perflab_jobs {_JOB_COLUMNS} VALUES ({_JOB_CONSTANTS}, %s, %s) RETURNING id",
        [(priority, json.dumps(payload)) for priority, payload in rows],
        returning=True,
    )
    return [cursor.fetchone()[0] for _ in cursor.results()]


def enqueue_copy(connection: Any, rows: Rows) -> list[int]:
    """COPY returns nothing, so the ids are drawn before, in a round trip of their own."""
    drawn = connection.execute(
        "SELECT nextval('perflab_jobs_id_seq') FROM generate_series(1, %s)", (len(rows),), binary=True
    )
    ids = [job_id for (job_id,) in drawn.fetchall()]
    cursor = connection.cursor()
    columns = "(id, queue, run_at, state, max_attempts, enqueued_at, priority, payload)"
    with cursor.copy(f"COPY perflab_jobs {columns} FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(["int8", "text", "int8", "text", "int2", "int8", "int2", "text"])
        for job_id, (priority, payload) in zip(ids, rows, strict=True):
            copy.write_row((job_id, QUEUE, NOW, "ready", 5, NOW, priority, json.dumps(payload)))
    return ids


# -- claim -------------------------------------------------------------------------------------------------------------

_NEXT_JOBS = (
    f"SELECT id FROM perflab_jobs WHERE queue = '{QUEUE}' AND state = 'ready' "
    "ORDER BY priority, run_at, id LIMIT %s FOR UPDATE SKIP LOCKED"
)
_LEASED = f"state = 'running', attempt = attempt + 1, lease_until = {LEASE_UNTIL}"
_CLAIMED = "priority, run_at, id, payload::text, attempt, max_attempts, key"


def _jobs(cursor: Any) -> list[tuple[Any, ...]]:
    """In the order of the queue, each payload decoded."""
    return [(*row[:3], json.loads(row[3]), *row[4:]) for row in sorted(cursor.fetchall())]


def claim_any_array(connection: Any, rows: Rows) -> list[tuple[Any, ...]]:
    return _jobs(
        connection.execute(
            f"UPDATE perflab_jobs SET {_LEASED} WHERE id = ANY(ARRAY({_NEXT_JOBS})) RETURNING {_CLAIMED}", (len(rows),)
        )
    )


def claim_binary_answer(connection: Any, rows: Rows) -> list[tuple[Any, ...]]:
    return _jobs(
        connection.execute(
            f"UPDATE perflab_jobs SET {_LEASED} WHERE id = ANY(ARRAY({_NEXT_JOBS})) RETURNING {_CLAIMED}",
            (len(rows),),
            binary=True,
        )
    )


def claim_cte_join(connection: Any, rows: Rows) -> list[tuple[Any, ...]]:
    return _jobs(
        connection.execute(
            f"WITH next AS MATERIALIZED ({_NEXT_JOBS}) UPDATE perflab_jobs SET {_LEASED} FROM next "
            f"WHERE perflab_jobs.id = next.id RETURNING {_CLAIMED.replace('id,', 'perflab_jobs.id,')}",
            (len(rows),),
        )
    )


# -- mark_done_bulk ----------------------------------------------------------------------------------------------------


def done_any(connection: Any, rows: Rows) -> list[tuple[int, int]]:
    """One DELETE for each number of attempts, of which there is nearly always one."""
    ids_of_attempt: dict[int, list[int]] = {}
    for job in rows:
        ids_of_attempt.setdefault(job.attempt, []).append(job.id)
    with connection.pipeline():
        cursors = [
            connection.execute(
                "DELETE FROM perflab_jobs WHERE id = ANY(%b::int8[]) AND attempt = %s AND state = 'running' "
                "RETURNING id, attempt",
                (ids, attempt),
            )
            for attempt, ids in ids_of_attempt.items()
        ]
    return [lease for cursor in cursors for lease in cursor.fetchall()]


def done_unnest(connection: Any, rows: Rows) -> list[tuple[int, int]]:
    cursor = connection.execute(
        "DELETE FROM perflab_jobs AS jobs USING unnest(%b::int8[], %b::int2[]) AS held (id, attempt) "
        "WHERE jobs.id = held.id AND jobs.attempt = held.attempt AND state = 'running' RETURNING jobs.id, jobs.attempt",
        ([job.id for job in rows], [job.attempt for job in rows]),
    )
    leases: list[tuple[int, int]] = cursor.fetchall()
    return leases


def done_executemany(connection: Any, rows: Rows) -> list[tuple[int, int]]:
    cursor = connection.cursor()
    cursor.executemany(
        "DELETE FROM perflab_jobs WHERE id = %s AND attempt = %s AND state = 'running' RETURNING id, attempt",
        [(job.id, job.attempt) for job in rows],
        returning=True,
    )
    return [lease for _ in cursor.results() for lease in cursor.fetchall()]


# -- add_watches_bulk --------------------------------------------------------------------------------------------------

_WATCH_COLUMNS = "(queue, cron, timezone, next_due_at, enabled, name, interval, priority, payload)"
_WATCH_CONSTANTS = f"'{QUEUE}', NULL, 'UTC', {NOW}, true"
_WATCH_UPDATE = (
    "ON CONFLICT (name) DO UPDATE SET queue = excluded.queue, priority = excluded.priority, "
    "interval = excluded.interval, enabled = excluded.enabled, payload = excluded.payload"
)


def watches_unnest(connection: Any, rows: Rows) -> list[int]:
    cursor = connection.execute(
        f"INSERT INTO perflab_watches {_WATCH_COLUMNS} SELECT {_WATCH_CONSTANTS}, name, interval, priority, "
        "payload::json FROM unnest(%b::text[], %b::int8[], %b::int2[], %b::text[]) "
        f"AS new (name, interval, priority, payload) {_WATCH_UPDATE} RETURNING id",
        (
            [row.name for row in rows],
            [int(row.interval_seconds * 1e6) for row in rows],
            [row.priority for row in rows],
            [json.dumps(row.payload) for row in rows],
        ),
    )
    return [watch_id for (watch_id,) in cursor.fetchall()]


def watches_json(connection: Any, rows: Rows) -> list[int]:
    cursor = connection.execute(
        f"INSERT INTO perflab_watches {_WATCH_COLUMNS} SELECT {_WATCH_CONSTANTS}, name, interval * 1e6, priority, "
        "payload FROM json_to_recordset(%s::json) AS new (name text, interval float8, priority int2, payload json) "
        f"{_WATCH_UPDATE} RETURNING id",
        (
            json.dumps(
                [
                    {"name": name, "interval": interval, "priority": priority, "payload": payload}
                    for name, interval, priority, payload in rows
                ]
            ),
        ),
    )
    return [watch_id for (watch_id,) in cursor.fetchall()]


def watches_executemany(connection: Any, rows: Rows) -> list[int]:
    cursor = connection.cursor()
    cursor.executemany(
        f"INSERT INTO perflab_watches {_WATCH_COLUMNS} VALUES ({_WATCH_CONSTANTS}, %s, %s, %s, %s) "
        f"{_WATCH_UPDATE} RETURNING id",
        [(row.name, int(row.interval_seconds * 1e6), row.priority, json.dumps(row.payload)) for row in rows],
        returning=True,
    )
    return [cursor.fetchone()[0] for _ in cursor.results()]


# -- update_ingest_states_bulk -----------------------------------------------------------------------------------------

STATE_COLUMNS = "(last_error, consecutive_failures, updated_at, watch_id, cursor, etag, last_success_at)"
STATE_CONSTANTS = f"NULL, 0, {NOW}"
STATE_UPDATE = (
    "ON CONFLICT (watch_id) DO UPDATE SET cursor = excluded.cursor, etag = excluded.etag, "
    "last_success_at = excluded.last_success_at, last_error = NULL, consecutive_failures = 0, "
    "updated_at = excluded.updated_at"
)


def _states_unnest(connection: Any, rows: Rows, order: str) -> list[int]:
    cursor = connection.execute(
        f"INSERT INTO perflab_ingest_states {STATE_COLUMNS} SELECT {STATE_CONSTANTS}, watches.id, given.cursor, "
        "given.etag, given.succeeded_at FROM unnest(%b::text[], %b::text[], %b::text[], %b::int8[]) "
        "AS given (name, cursor, etag, succeeded_at) JOIN perflab_watches AS watches ON watches.name = given.name "
        f"{order} {STATE_UPDATE} RETURNING watch_id",
        (
            [row.watch for row in rows],
            [row.cursor for row in rows],
            [row.etag for row in rows],
            [microseconds(row.succeeded_at) for row in rows],
        ),
    )
    return [watch_id for (watch_id,) in cursor.fetchall()]


def states_unnest(connection: Any, rows: Rows) -> list[int]:
    return _states_unnest(connection, rows, order="")


def states_unnest_ordered(connection: Any, rows: Rows) -> list[int]:
    return _states_unnest(connection, rows, order="ORDER BY watches.id")


def states_executemany(connection: Any, rows: Rows) -> list[int]:
    cursor = connection.cursor()
    cursor.executemany(
        f"INSERT INTO perflab_ingest_states {STATE_COLUMNS} SELECT {STATE_CONSTANTS}, id, %s, %s, %s "
        f"FROM perflab_watches WHERE name = %s {STATE_UPDATE} RETURNING watch_id",
        [(row.cursor, row.etag, microseconds(row.succeeded_at), row.watch) for row in rows],
        returning=True,
    )
    return [watch_id for _ in cursor.results() for (watch_id,) in cursor.fetchall()]


POSTGRESQL_FORMS: Mapping[str, Mapping[str, RawWrite]] = {
    "bulk_enqueue": {
        "psycopg unnest, binary": enqueue_unnest,
        "psycopg json_to_recordset": enqueue_json,
        "psycopg executemany": enqueue_executemany,
        "psycopg ids first, then COPY, binary": enqueue_copy,
    },
    "claim": {
        "psycopg UPDATE = ANY(ARRAY(…))": claim_any_array,
        "psycopg UPDATE = ANY(ARRAY(…)), binary answer": claim_binary_answer,
        "psycopg UPDATE FROM a CTE": claim_cte_join,
    },
    "mark_done_bulk": {
        "psycopg DELETE = ANY": done_any,
        "psycopg DELETE USING unnest": done_unnest,
        "psycopg executemany": done_executemany,
    },
    "add_watches_bulk": {
        "psycopg unnest, binary": watches_unnest,
        "psycopg json_to_recordset": watches_json,
        "psycopg executemany": watches_executemany,
    },
    "update_ingest_states_bulk": {
        "psycopg unnest, binary": states_unnest,
        "psycopg unnest, binary, in order of ids": states_unnest_ordered,
        "psycopg executemany": states_executemany,
    },
}
