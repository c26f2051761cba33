"""Raw psycopg that also promises what our calls do, so that one sees what the promises cost and what we add to them.

Two calls that share rows wait for each other and never for themselves, because rows are locked in one order; no watch
is removed under its state; and a batch notes its id in the ledger, so that a lost COMMIT can be settled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from perflab.lab.bench.arms import RawWrite
from perflab.lab.bench.bulk_calls import Rows
from perflab.lab.bench.postgresql_writes import (
    STATE_COLUMNS,
    STATE_CONSTANTS,
    STATE_UPDATE,
    microseconds,
)


def _note(connection: Any) -> None:
    connection.execute("INSERT INTO perflab_batches (id, position) VALUES (%b, 0)", (uuid4(),))


def done_in_order(connection: Any, rows: Rows) -> list[tuple[int, int]]:
    ids_of_attempt: dict[int, list[int]] = {}
    for job in rows:
        ids_of_attempt.setdefault(job.attempt, []).append(job.id)
    with connection.pipeline():
        cursors = [
            connection.execute(
                "DELETE FROM perflab_jobs WHERE id = ANY(ARRAY(SELECT id FROM perflab_jobs WHERE id = ANY(%b::int8[]) "
                "AND attempt = %s AND state = 'running' ORDER BY id FOR UPDATE)) RETURNING id, attempt",
                (ids, attempt),
            )
            for attempt, ids in ids_of_attempt.items()
        ]
        _note(connection)
    return [lease for cursor in cursors for lease in cursor.fetchall()]


def states_locked(connection: Any, rows: Rows) -> list[int]:
    names = [row.watch for row in rows]
    with connection.pipeline():
        cursor = connection.execute(
            "WITH known AS MATERIALIZED (SELECT id, name FROM perflab_watches WHERE name = ANY(%b::text[]) "
            'ORDER BY name COLLATE "C" FOR KEY SHARE) '
            f"INSERT INTO perflab_ingest_states {STATE_COLUMNS} "
            f"SELECT {STATE_CONSTANTS}, id, cursor, etag, succeeded_at "
            "FROM known JOIN unnest(%b::text[], %b::text[], %b::text[], %b::int8[]) "
            f"AS given (name, cursor, etag, succeeded_at) USING (name) ORDER BY id {STATE_UPDATE} RETURNING watch_id",
            (
                names,
                names,
                [row.cursor for row in rows],
                [row.etag for row in rows],
                [microseconds(row.succeeded_at) for row in rows],
            ),
        )
        _note(connection)
    return [watch_id for (watch_id,) in cursor.fetchall()]


POSTGRESQL_PROMISES: Mapping[str, Mapping[str, RawWrite]] = {
    "mark_done_bulk": {"psycopg DELETE = ANY, locked in order, noted": done_in_order},
    "update_ingest_states_bulk": {"psycopg unnest, binary, watches locked, noted": states_locked},
}
