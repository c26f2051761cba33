"""The queue on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from perflab.database.binary_arrays import BytesArray, IntegerArray, TextArray
from perflab.database.columns import columns_of
from perflab.database.compression import split_column
from perflab.database.database import Database
from perflab.database.operation import Deferred, DriverConnection
from perflab.database.statements import load_statements
from perflab.queue.backoff import Spread
from perflab.queue.engine import (
    CHANNEL,
    PROMOTED_AT_ONCE,
    ClaimedRow,
    DeadRow,
    DoneRow,
    EnqueueRow,
    ErrorRow,
    ExtendRow,
    FinishedRow,
    Holder,
    KeptJobs,
    Lease,
    OnConflict,
    ProgressRow,
    ReportedRow,
    RetryRow,
)
from perflab.queue.job import QueueCounts
from perflab.queue.row_results import Parameter, claim_order, first_only, group_ids, one_for_each_key

_SQL = load_statements("perflab.queue", "postgresql")

_WITH_KEYS: Mapping[OnConflict, str] = {
    "skip": "enqueue_with_keys",
    "raise": "enqueue_or_raise",
    "replace": "enqueue_replacing",
}


class PostgresQueueEngine:
    """The statements of `postgresql.sql`, with their parameters and results.

    Everything is sent in one pipeline, and what comes back is read after it: each call is one round trip.

    Payloads are json and not jsonb, which would give a float of 1e16 back as an int, and -0.0 as 0.0.

    Calls that lock the same jobs cannot deadlock. What can, and then fails with a `TransientError` for one of the two:
    a `retry`, or an enqueuer that loses its key to another one in this very moment, against a call that waits for one
    of its jobs; and calls that stand together in a transaction of the caller's or in a batch of mixed operations.
    """

    def enqueue(
        self,
        connection: DriverConnection,
        queue: str,
        rows: Sequence[EnqueueRow],
        now: int,
        *,
        on_conflict: OnConflict,
        notify: bool,
    ) -> Sequence[int]:
        has_keys = any(row[4] is not None for row in rows)
        if len(rows) == 1 and not has_keys:
            return _enqueue_one(connection, queue, rows[0], now, notify=notify)
        enqueue = partial(_enqueue_with_keys, on_conflict=on_conflict) if has_keys else _enqueue_many
        ids = enqueue(connection, queue, rows, now)
        if notify:
            self.notify(connection, queue)
        return ids

    def notify(self, connection: DriverConnection, queue: str) -> None:
        connection.execute(_SQL["notify"], {"channel": CHANNEL, "queue": queue})

    def promote(self, connection: DriverConnection, queue: str, limit: int, now: int, *, notify: bool) -> None:
        parameters = {"queue": queue, "now": now, "limit": PROMOTED_AT_ONCE}
        if notify:
            connection.execute(_SQL["promote_and_notify"], {**parameters, "claimed": limit, "channel": CHANNEL})
        else:
            connection.execute(_SQL["promote"], parameters)

    def claim(
        self, connection: DriverConnection, queue: str, limit: int, now: int, *, holder: Holder, ageing: int | None
    ) -> Sequence[ClaimedRow]:
        parameters = {"queue": queue, "limit": limit, "now": now, **holder._asdict()}
        if ageing is None:
            cursor = connection.execute(_SQL["claim"], parameters)
        else:
            cursor = connection.execute(_SQL["claim_aged"], {**parameters, "ageing": ageing})
        return Deferred(lambda: sorted(cursor.fetchall(), key=claim_order(ageing)))

    def mark_done(self, connection: DriverConnection, leases: Sequence[Lease]) -> Sequence[bool]:
        return _where_held(connection, "mark_done", leases)

    def keep_done(self, connection: DriverConnection, rows: Sequence[FinishedRow], now: int) -> Sequence[bool]:
        leases = [row[:2] for row in rows]
        result_of = {row[:2]: row[2] for row in reversed(rows)}
        answers = []
        for attempt, ids in _lock_groups(connection, result_of).items():
            results = [result_of[job_id, attempt] for job_id in ids]
            texts, frames = split_column(results)
            parameters = {
                "ids": IntegerArray(ids),
                "attempt": attempt,
                "now": now,
                "results": TextArray(() if all(text == "null" for text in results) else texts),
                "frames": BytesArray(frames),
            }
            answers.append((attempt, connection.execute(_SQL["keep_done"], parameters)))
        return Deferred(lambda: first_only(leases, set(leases) - _leases(answers)))

    def mark_error(self, connection: DriverConnection, rows: Sequence[ErrorRow], now: int) -> Sequence[bool]:
        first = {row[:2]: row for row in reversed(rows)}
        ids, attempts, delays, errors = columns_of(list(first.values()))
        cursor = connection.execute(
            _SQL["mark_error"],
            {
                "ids": IntegerArray(ids),
                "attempts": IntegerArray(attempts),
                "delays": IntegerArray(delays),
                "errors": TextArray(errors),
                "now": now,
            },
        )
        return Deferred(lambda: first_only([row[:2] for row in rows], set(cursor.fetchall())))

    def release(self, connection: DriverConnection, leases: Sequence[Lease], now: int) -> Sequence[bool]:
        return _where_held(connection, "release", leases, now=now)

    def extend_lease(self, connection: DriverConnection, rows: Sequence[ExtendRow]) -> Sequence[bool]:
        end_of_lease = {(job_id, attempt): lease_until for job_id, attempt, lease_until in rows}
        groups = _lock_groups(connection, ((job_id, (attempt, end)) for (job_id, attempt), end in end_of_lease.items()))
        answers = [
            (
                attempt,
                connection.execute(
                    _SQL["extend_lease"], {"ids": IntegerArray(ids), "attempt": attempt, "lease_until": end}
                ),
            )
            for (attempt, end), ids in groups.items()
        ]

        def read() -> list[bool]:
            held = _leases(answers)
            return [row[:2] in held for row in rows]

        return Deferred(read)

    def report_progress(self, connection: DriverConnection, rows: Sequence[ProgressRow], now: int) -> Sequence[bool]:
        last = {row[:2]: row for row in rows}
        ids, attempts, fractions, notes = zip(*last.values(), strict=True)
        cursor = connection.execute(
            _SQL["report_progress"],
            {
                "ids": IntegerArray(ids),
                "attempts": IntegerArray(attempts),
                "fractions": list(fractions),
                "notes": TextArray(notes),
                "now": now,
            },
        )

        def read() -> list[bool]:
            held = set(cursor.fetchall())
            return [row[:2] in held for row in rows]

        return Deferred(read)

    def progress(self, database: Database, queue: str, ids: Sequence[int]) -> Sequence[ReportedRow]:
        return database.fetch(_SQL["progress"], {"queue": queue, "ids": IntegerArray(ids)})

    def cancel(self, connection: DriverConnection, queue: str, ids: Sequence[int]) -> Sequence[bool]:
        cursor = connection.execute(_SQL["cancel"], {"queue": queue, "ids": IntegerArray(ids)})
        return Deferred(lambda: first_only(ids, set(_first_column(cursor))))

    def retry(self, connection: DriverConnection, queue: str, rows: Sequence[RetryRow], now: int) -> Sequence[bool]:
        cursors = [
            connection.execute(
                _SQL["retry"], {"queue": queue, "ids": IntegerArray(ids), "attempts": attempts, "now": now}
            )
            for attempts, ids in _lock_groups(connection, rows).items()
        ]
        return Deferred(
            lambda: first_only(
                [job_id for job_id, _ in rows], {job_id for cursor in cursors for job_id in _first_column(cursor)}
            )
        )

    def open_lease(
        self, connection: DriverConnection, queue: str, worker: str, now: int, *, lease_until: int
    ) -> Sequence[int]:
        parameters = {"queue": queue, "worker": worker, "now": now, "lease_until": lease_until}
        cursor = connection.execute(_SQL["open_lease"], parameters)
        return Deferred(lambda: _first_column(cursor))

    def renew_lease(self, connection: DriverConnection, worker_id: int, now: int, *, lease_until: int) -> Sequence[int]:
        parameters = {"worker_id": worker_id, "now": now, "lease_until": lease_until}
        cursor = connection.execute(_SQL["renew_lease"], parameters)
        return Deferred(lambda: _first_column(cursor))

    def replace_lease(
        self,
        connection: DriverConnection,
        queue: str,
        worker_id: int,
        leases: Sequence[Lease],
        now: int,
        *,
        worker: str,
        lease_until: int,
    ) -> Sequence[KeptJobs]:
        old = {"queue": queue, "worker_id": worker_id, "now": now}
        connection.execute(_SQL["close_lease"], old)
        cursor = connection.execute(
            _SQL["replace_lease"],
            {
                "queue": queue,
                "worker": worker,
                "now": now,
                "lease_until": lease_until,
                "ids": IntegerArray([job_id for job_id, _ in leases]),
                "attempts": IntegerArray([attempt for _, attempt in leases]),
            },
        )
        connection.execute(_SQL["release_worker"], old)

        def read() -> list[KeptJobs]:
            rows = cursor.fetchall()
            return [(rows[0][0], first_only(leases, {(job_id, attempt) for _, job_id, attempt in rows if job_id}))]

        return Deferred(read)

    def close_lease(self, connection: DriverConnection, queue: str, worker_id: int, now: int) -> Sequence[int]:
        parameters = {"queue": queue, "worker_id": worker_id, "now": now}
        connection.execute(_SQL["close_lease"], parameters)
        cursor = connection.execute(_SQL["release_worker"], parameters)
        return Deferred(lambda: _first_column(cursor))

    def rescue_expired(
        self, connection: DriverConnection, queue: str, limit: int, now: int, *, spread: Spread
    ) -> Sequence[str]:
        parameters = {"queue": queue, "now": now, "limit": limit, **spread._asdict()}
        connection.execute(_SQL["give_up_workers"], parameters)
        cursor = connection.execute(_SQL["rescue_expired"], parameters)
        connection.execute(_SQL["forget_workers"], parameters)
        return Deferred(lambda: _first_column(cursor))

    def purge(self, connection: DriverConnection, queue: str, limit: int, died_before: int) -> Sequence[int]:
        cursor = connection.execute(_SQL["purge"], {"queue": queue, "died_before": died_before, "limit": limit})
        return Deferred(lambda: _first_column(cursor))

    def redrive(
        self, connection: DriverConnection, queue: str, limit: int, now: int, *, attempts: int
    ) -> Sequence[int]:
        parameters = {"queue": queue, "limit": limit, "now": now, "attempts": attempts}
        cursor = connection.execute(_SQL["redrive"], parameters)
        return Deferred(lambda: _first_column(cursor))

    def pause(self, connection: DriverConnection, queue: str, now: int) -> Sequence[str]:
        cursor = connection.execute(_SQL["pause"], {"queue": queue, "now": now})
        return Deferred(lambda: _first_column(cursor))

    def resume(self, connection: DriverConnection, queue: str) -> Sequence[str]:
        cursor = connection.execute(_SQL["resume"], {"queue": queue})
        return Deferred(lambda: _first_column(cursor))

    def paused_at(self, database: Database, queue: str) -> int | None:
        rows = database.fetch(_SQL["paused_at"], {"queue": queue})
        return rows[0][0] if rows else None

    def dead_jobs(self, database: Database, queue: str, limit: int, before: tuple[int, int]) -> Sequence[DeadRow]:
        moment, job_id = before
        parameters = {"queue": queue, "limit": limit, "before": moment, "before_id": job_id}
        return database.fetch(_SQL["dead_jobs"], parameters)

    def done_jobs(self, database: Database, queue: str, limit: int, before: tuple[int, int]) -> Sequence[DoneRow]:
        moment, job_id = before
        parameters = {"queue": queue, "limit": limit, "before": moment, "before_id": job_id}
        return database.fetch(_SQL["done_jobs"], parameters)

    def find_done(self, database: Database, queue: str, ids: Sequence[int]) -> Sequence[DoneRow]:
        return database.fetch(_SQL["find_done"], {"queue": queue, "ids": IntegerArray(ids)})

    def purge_done(self, connection: DriverConnection, queue: str, limit: int, done_before: int) -> Sequence[int]:
        cursor = connection.execute(_SQL["purge_done"], {"queue": queue, "done_before": done_before, "limit": limit})
        return Deferred(lambda: _first_column(cursor))

    def count_waiting(self, database: Database, queue: str, most: int) -> int:
        count: int = database.fetch(_SQL["count_waiting"], {"queue": queue, "most": most})[0][0]
        return count

    def count_waiting_inside(self, connection: DriverConnection, queue: str, most: int) -> Sequence[int]:
        cursor = connection.execute(_SQL["count_waiting"], {"queue": queue, "most": most})
        return Deferred(lambda: _first_column(cursor))

    def counts(self, database: Database, queue: str) -> QueueCounts:
        return QueueCounts(*database.fetch(_SQL["counts"], {"queue": queue})[0])


def _columns(rows: Sequence[EnqueueRow], now: int) -> dict[str, TextArray | IntegerArray | BytesArray]:
    payloads, priorities, max_attempts, run_at, keys = columns_of(rows)
    texts, frames = split_column(payloads)
    return {
        "payloads": TextArray(texts),
        "frames": BytesArray(frames),
        "priorities": IntegerArray(priorities),
        "max_attempts": IntegerArray(max_attempts),
        "run_at": IntegerArray([now if moment is None else moment for moment in run_at]),
        "keys": TextArray(keys),
    }


def _enqueue_one(connection: DriverConnection, queue: str, row: EnqueueRow, now: int, *, notify: bool) -> Sequence[int]:
    payload, priority, max_attempts, run_at, _ = row
    (text,), frames = split_column([payload])
    parameters = {
        "queue": queue,
        "now": now,
        "payload": text,
        "frame": frames[0] if frames else None,
        "priority": priority,
        "max_attempts": max_attempts,
        "run_at": now if run_at is None else run_at,
        "notify": notify,
        "channel": CHANNEL,
    }
    cursor = connection.execute(_SQL["enqueue_one"], parameters)
    return Deferred(lambda: [cursor.fetchone()[0]])


def _enqueue_many(connection: DriverConnection, queue: str, rows: Sequence[EnqueueRow], now: int) -> Sequence[int]:
    cursor = connection.execute(_SQL["enqueue"], {"queue": queue, "now": now, **_columns(rows, now)})

    def ids() -> Sequence[int]:
        first_id, ids = cursor.fetchone()
        return range(first_id, first_id + len(rows)) if ids is None else sorted(ids)

    return Deferred(ids)


def _enqueue_with_keys(
    connection: DriverConnection, queue: str, rows: Sequence[EnqueueRow], now: int, *, on_conflict: OnConflict
) -> Sequence[int]:
    distinct, positions = one_for_each_key(rows, on_conflict)
    parameters = {"queue": queue, "now": now, **_columns(distinct, now)}
    if on_conflict == "replace":
        connection.execute(_SQL["free_keys"], parameters)
    cursor = connection.execute(_SQL[_WITH_KEYS[on_conflict]], parameters)

    def read() -> list[int]:
        ids = [job_id for _, job_id in sorted(cursor.fetchall())]
        return [ids[position] for position in positions]

    return Deferred(read)


def _where_held(
    connection: DriverConnection, statement: str, leases: Sequence[Lease], **parameters: Any
) -> Sequence[bool]:
    """Run a statement that returns what was not held, for each number of attempts, of which there are few; whether each
    lease still held.
    """
    answers = [
        (attempt, connection.execute(_SQL[statement], {"ids": IntegerArray(ids), "attempt": attempt, **parameters}))
        for attempt, ids in _lock_groups(connection, leases).items()
    ]

    def read() -> list[bool]:
        return first_only(leases, set(leases) - _leases(answers))

    return Deferred(read)


def _lock_groups(connection: DriverConnection, rows: Iterable[tuple[int, Parameter]]) -> dict[Parameter, list[int]]:
    """The ids of each parameter. If that makes several statements, all their jobs are locked first, in one order."""
    groups = group_ids(rows)
    if len(groups) > 1:
        connection.execute(_SQL["lock"], {"ids": IntegerArray([job_id for ids in groups.values() for job_id in ids])})
    return groups


def _leases(answers: Iterable[tuple[int, Any]]) -> set[Lease]:
    return {(job_id, attempt) for attempt, cursor in answers for job_id in _first_column(cursor)}


def _first_column(cursor: Any) -> list[Any]:
    return [value for (value,) in cursor.fetchall()]
