"""A drain by hand, on each engine: one turn deletes what is done and claims what is next, in one transaction."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from perflab.lab.bench.bulk_calls import QUEUE
from perflab.lab.bench.sqlite_writes import LEASE_UNTIL

Lease: TypeAlias = tuple[int, int]
"""id, attempt"""
ClaimedJob: TypeAlias = tuple[int, int, Any]
"""id, attempt, payload"""
Turn: TypeAlias = Callable[[Any, Sequence[Lease], int], list[ClaimedJob]]
"""On the driver's own connection, in one transaction: deletes what is done, and claims up to a number of jobs."""

_NEXT = f"SELECT id FROM perflab_jobs WHERE queue = '{QUEUE}' AND state = 'ready' ORDER BY priority, run_at, id"
_LEASED = f"state = 'running', attempt = attempt + 1, lease_until = {LEASE_UNTIL}"


def sqlite_turn(connection: Any, done: Sequence[Lease], limit: int) -> list[ClaimedJob]:
    for attempt, ids in _ids_of_attempt(done).items():
        connection.execute(
            "DELETE FROM perflab_jobs WHERE id IN (SELECT value FROM json_each(?)) AND attempt = ? "
            "AND state = 'running'",
            (json.dumps(ids), attempt),
        )
    rows = connection.execute(
        f"UPDATE perflab_jobs SET {_LEASED} WHERE id IN ({_NEXT} LIMIT ?) "
        "RETURNING priority, run_at, id, attempt, payload",
        (limit,),
    ).fetchall()
    return [(job_id, attempt, json.loads(payload)) for _, _, job_id, attempt, payload in sorted(rows)]


def postgresql_turn(connection: Any, done: Sequence[Lease], limit: int) -> list[ClaimedJob]:
    with connection.pipeline():
        for attempt, ids in _ids_of_attempt(done).items():
            connection.execute(
                "DELETE FROM perflab_jobs WHERE id = ANY(%b::int8[]) AND attempt = %s AND state = 'running'",
                (ids, attempt),
            )
        cursor = connection.execute(
            f"UPDATE perflab_jobs SET {_LEASED} WHERE id = ANY(ARRAY({_NEXT} LIMIT %s FOR UPDATE SKIP LOCKED)) "
            "RETURNING priority, run_at, id, attempt, payload::text",
            (limit,),
        )
    return [(job_id, attempt, json.loads(payload)) for _, _, job_id, attempt, payload in sorted(cursor.fetchall())]


def _ids_of_attempt(leases: Sequence[Lease]) -> dict[int, list[int]]:
    """Of which there is nearly always one."""
    ids: dict[int, list[int]] = {}
    for job_id, attempt in leases:
        ids.setdefault(attempt, []).append(job_id)
    return ids


RAW_TURNS: Mapping[str, Mapping[str, Turn]] = {
    "sqlite": {"sqlite3 DELETE and UPDATE … RETURNING": sqlite_turn},
    "postgresql": {"psycopg DELETE and UPDATE … RETURNING in one pipeline": postgresql_turn},
}
