"""The queue on SQLite."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from perflab.database.columns import columns_of
from perflab.database.compression import split_column
from perflab.database.database import Database
from perflab.database.operation import DriverConnection
from perflab.database.sqlite_rows import write_rows
from perflab.database.statements import load_statements
from perflab.queue.backoff import Spread
from perflab.queue.engine import (
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
from perflab.queue.row_results import claim_order, first_only, group_ids, key_taken, one_for_each_key

_SQL = load_statements("perflab.queue", "sqlite")


class SQLiteQueueEngine:
    """The statements of `sqlite.sql`, with their parameters and results."""

    def enqueue(
        self,
        connection: DriverConnection,
        queue: str,
        rows: Sequence[EnqueueRow],
        now: int,
        *,
        on_conflict: OnConflict,
        notify: bool,  # noqa: ARG002  # see `notify`
    ) -> list[int]:
        keys = {key for *_, key in rows if key is not None}
        if not keys:
            return list(_insert(connection, queue, rows, now))
        distinct, positions = one_for_each_key(rows, on_conflict)
        # Nobody else writes before this transaction ends, so what is looked up here still holds at the INSERT.
        wanted = (queue, json.dumps(list(keys), ensure_ascii=False))
        holders = {key: (job_id, state) for key, job_id, state in connection.execute(_SQL["held_keys"], wanted)}
        if holders and on_conflict == "raise":
            key, (job_id, state) = next(iter(holders.items()))
            raise key_taken(key, f"the {state} job {job_id}")
        if on_conflict == "replace":
            running = [job_id for job_id, state in holders.values() if state == "running"]
            connection.execute(_SQL["free_keys"], (_json_array(running),))
            holders = {key: holder for key, holder in holders.items() if holder[1] != "running"}
            _replace(connection, [(row, holders[row[4]][0]) for row in distinct if row[4] in holders], now)
        new_ids = iter(_insert(connection, queue, [row for row in distinct if row[4] not in holders], now))
        ids = [holders[row[4]][0] if row[4] in holders else next(new_ids) for row in distinct]
        return [ids[position] for position in positions]

    def notify(self, connection: DriverConnection, queue: str) -> None:
        """Nothing: workers look."""

    def promote(self, connection: DriverConnection, queue: str, limit: int, now: int, *, notify: bool) -> None:  # noqa: ARG002
        connection.execute(_SQL["promote"], (queue, now, PROMOTED_AT_ONCE))

    def claim(
        self, connection: DriverConnection, queue: str, limit: int, now: int, *, holder: Holder, ageing: int | None
    ) -> list[ClaimedRow]:
        parameters = (queue, limit, *holder, now)
        if ageing is None:
            cursor = connection.execute(_SQL["claim"], parameters)
        else:
            cursor = connection.execute(_SQL["claim_aged"], (*parameters, ageing))
        return sorted(cursor.fetchall(), key=claim_order(ageing))

    def mark_done(self, connection: DriverConnection, leases: Sequence[Lease]) -> list[bool]:
        return first_only(leases, _delete_held(connection, leases))

    def keep_done(self, connection: DriverConnection, rows: Sequence[FinishedRow], now: int) -> list[bool]:
        leases = [row[:2] for row in rows]
        for attempt, ids in group_ids(leases).items():
            connection.execute(_SQL["copy_done"], (_json_array(ids), attempt, now))
        held = _delete_held(connection, leases)
        result_of = {row[:2]: row[2] for row in reversed(rows)}
        with_result = [(lease[0], result) for lease, result in result_of.items() if lease in held and result != "null"]
        if with_result:
            done, results = zip(*with_result, strict=True)
            texts, frames = split_column(results)
            connection.executemany(_SQL["keep_result"], [*zip(texts, frames or [None] * len(done), done, strict=True)])
        return first_only(leases, held)

    def mark_error(self, connection: DriverConnection, rows: Sequence[ErrorRow], now: int) -> list[bool]:
        first = {(job_id, attempt): (job_id, attempt, *rest) for job_id, attempt, *rest in reversed(rows)}
        errors = json.dumps(list(first.values()), ensure_ascii=False)
        held = set(connection.execute(_SQL["mark_error"], (errors, now)).fetchall())
        return first_only([(job_id, attempt) for job_id, attempt, *_ in rows], held)

    def release(self, connection: DriverConnection, leases: Sequence[Lease], now: int) -> list[bool]:
        return first_only(leases, _where_held(connection, "release", leases, now))

    def extend_lease(self, connection: DriverConnection, rows: Sequence[ExtendRow]) -> list[bool]:
        end_of_lease = {(job_id, attempt): lease_until for job_id, attempt, lease_until in rows}
        groups = group_ids((job_id, (attempt, lease_until)) for (job_id, attempt), lease_until in end_of_lease.items())
        held: set[Lease] = set()
        for parameters, ids in groups.items():
            held.update(connection.execute(_SQL["extend_lease"], (_json_array(ids), *parameters)))
        return [row[:2] in held for row in rows]

    def report_progress(self, connection: DriverConnection, rows: Sequence[ProgressRow], now: int) -> list[bool]:
        last = {row[:2]: row for row in rows}
        reports = json.dumps(list(last.values()), ensure_ascii=False)
        held = set(connection.execute(_SQL["report_progress"], (reports, now)).fetchall())
        return [row[:2] in held for row in rows]

    def progress(self, database: Database, queue: str, ids: Sequence[int]) -> Sequence[ReportedRow]:
        return database.fetch(_SQL["progress"], (_json_array(ids), queue))

    def cancel(self, connection: DriverConnection, queue: str, ids: Sequence[int]) -> list[bool]:
        return first_only(ids, _ids(connection, "cancel", ids, queue))

    def retry(self, connection: DriverConnection, queue: str, rows: Sequence[RetryRow], now: int) -> list[bool]:
        revived: set[int] = set()
        for attempts, ids in group_ids(rows).items():
            revived |= _ids(connection, "retry", ids, queue, attempts, now)
        return first_only([job_id for job_id, _ in rows], revived)

    def open_lease(
        self, connection: DriverConnection, queue: str, worker: str, now: int, *, lease_until: int
    ) -> list[int]:
        return _first_column(connection.execute(_SQL["open_lease"], (queue, worker, now, lease_until)))

    def renew_lease(self, connection: DriverConnection, worker_id: int, now: int, *, lease_until: int) -> list[int]:
        return _first_column(connection.execute(_SQL["renew_lease"], (worker_id, now, lease_until)))

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
    ) -> list[KeptJobs]:
        connection.execute(_SQL["close_lease"], (worker_id,))
        (new_id,) = self.open_lease(connection, queue, worker, now, lease_until=lease_until)
        kept = _where_held(connection, "keep_jobs", leases, new_id)
        connection.execute(_SQL["release_worker"], (queue, worker_id, now)).fetchall()
        return [(new_id, first_only(leases, kept))]

    def close_lease(self, connection: DriverConnection, queue: str, worker_id: int, now: int) -> list[int]:
        connection.execute(_SQL["close_lease"], (worker_id,))
        return _first_column(connection.execute(_SQL["release_worker"], (queue, worker_id, now)))

    def rescue_expired(
        self, connection: DriverConnection, queue: str, limit: int, now: int, *, spread: Spread
    ) -> list[str]:
        connection.execute(_SQL["give_up_workers"], (queue, now))
        states = _first_column(connection.execute(_SQL["rescue_expired"], (queue, now, limit, *spread)))
        connection.execute(_SQL["forget_workers"], (queue,))
        return states

    def purge(self, connection: DriverConnection, queue: str, limit: int, died_before: int) -> list[int]:
        return _first_column(connection.execute(_SQL["purge"], (queue, died_before, limit)))

    def redrive(self, connection: DriverConnection, queue: str, limit: int, now: int, *, attempts: int) -> list[int]:
        return _first_column(connection.execute(_SQL["redrive"], (queue, limit, attempts, now)))

    def pause(self, connection: DriverConnection, queue: str, now: int) -> list[str]:
        return _first_column(connection.execute(_SQL["pause"], (queue, now)))

    def resume(self, connection: DriverConnection, queue: str) -> list[str]:
        return _first_column(connection.execute(_SQL["resume"], (queue,)))

    def paused_at(self, database: Database, queue: str) -> int | None:
        rows = database.fetch(_SQL["paused_at"], (queue,))
        return rows[0][0] if rows else None

    def dead_jobs(self, database: Database, queue: str, limit: int, before: tuple[int, int]) -> Sequence[DeadRow]:
        return database.fetch(_SQL["dead_jobs"], (queue, limit, *before))

    def done_jobs(self, database: Database, queue: str, limit: int, before: tuple[int, int]) -> Sequence[DoneRow]:
        return database.fetch(_SQL["done_jobs"], (queue, limit, *before))

    def find_done(self, database: Database, queue: str, ids: Sequence[int]) -> Sequence[DoneRow]:
        return database.fetch(_SQL["find_done"], (_json_array(ids), queue))

    def purge_done(self, connection: DriverConnection, queue: str, limit: int, done_before: int) -> list[int]:
        return _first_column(connection.execute(_SQL["purge_done"], (queue, done_before, limit)))

    def count_waiting(self, database: Database, queue: str, most: int) -> int:
        count: int = database.fetch(_SQL["count_waiting"], (queue, most))[0][0]
        return count

    def count_waiting_inside(self, connection: DriverConnection, queue: str, most: int) -> list[int]:
        return _first_column(connection.execute(_SQL["count_waiting"], (queue, most)))

    def counts(self, database: Database, queue: str) -> QueueCounts:
        return QueueCounts(*database.fetch(_SQL["counts"], (queue,))[0])


def _insert(connection: DriverConnection, queue: str, rows: Sequence[EnqueueRow], now: int) -> Iterable[int]:
    """Insert jobs without a look at their keys, and return their ids in order.

    With AUTOINCREMENT, and with the write lock held, the ids of consecutive INSERTs are consecutive, and larger than
    any that was ever given.
    """
    if not rows:
        return ()
    columns = _columns(rows, now)
    last_id = write_rows(connection, _SQL["enqueue"], (queue, now), columns).last_id
    return range(last_id - len(rows) + 1, last_id + 1)


def _columns(rows: Sequence[EnqueueRow], now: int) -> tuple[Sequence[Any], ...]:
    payloads, priorities, max_attempts, run_at, keys = columns_of(rows)
    moments = [now if moment is None else moment for moment in run_at]
    states = ["ready" if moment <= now else "scheduled" for moment in moments]
    texts, frames = split_column(payloads)
    return texts, frames or [None] * len(rows), priorities, max_attempts, moments, keys, states


def _replace(connection: DriverConnection, replacements: Sequence[tuple[EnqueueRow, int]], now: int) -> None:
    """Let jobs that wait become what the rows say."""
    if replacements:
        rows, ids = zip(*replacements, strict=True)
        columns = (*_columns(rows, now), [now] * len(ids), ids)
        connection.executemany(_SQL["replace"], [*zip(*columns, strict=True)])


def _where_held(connection: DriverConnection, statement: str, leases: Sequence[Lease], *parameters: Any) -> set[Lease]:
    """Run a fenced statement, and return the leases that still held.

    Once for each number of attempts, of which there are few: a JSON array of pairs would need one statement, but costs
    three times as much for each job.
    """
    held: set[Lease] = set()
    for attempt, ids in group_ids(leases).items():
        held.update(connection.execute(_SQL[statement], (_json_array(ids), attempt, *parameters)))
    return held


def _delete_held(connection: DriverConnection, leases: Sequence[Lease]) -> set[Lease]:
    """Delete jobs whose leases hold, and return these leases.

    Of one job the count tells. Which of several are lost is asked before, and nobody else writes in between: RETURNING
    would keep a row for each that is deleted until the statement ends (1.8 µs a job, and so 1.1).
    """
    held = set(leases)
    for attempt, ids in group_ids(leases).items():
        parameters = (_json_array(ids), attempt)
        if len(ids) > 1:
            held.difference_update((job_id, attempt) for (job_id,) in connection.execute(_SQL["lost"], parameters))
        if not connection.execute(_SQL["mark_done"], parameters).rowcount:
            held.difference_update((job_id, attempt) for job_id in ids)
    return held


def _ids(connection: DriverConnection, statement: str, ids: Sequence[int], *parameters: Any) -> set[int]:
    """Run a statement on jobs, and return the ids of those that it changed."""
    return {job_id for (job_id,) in connection.execute(_SQL[statement], (_json_array(ids), *parameters))}


def _first_column(rows: Iterable[tuple[Any]]) -> list[Any]:
    return [value for (value,) in rows]


def _json_array(ids: Sequence[int]) -> str:
    return str(list(ids))  # a list of integers looks the same in Python and in JSON
