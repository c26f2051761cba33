"""The scheduler on SQLite."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, NamedTuple

from perflab.database.columns import columns_of
from perflab.database.compression import split_column
from perflab.database.database import Database
from perflab.database.operation import DriverConnection
from perflab.database.sqlite_rows import write_rows
from perflab.database.statements import load_statements
from perflab.queue.engine import Lease
from perflab.scheduler.cron_slots import CronExpression, cron_slots
from perflab.scheduler.engine import ABSENT, JOB_ATTEMPTS, IngestRow, StoredIngestState, StoredWatch, WatchRow
from perflab.scheduler.tick import Ticked, TickRequest

FIRST_SLOT = 6
"""Its place in a `WatchRow`."""
_error_of = itemgetter(4)

_SQL = load_statements("perflab.scheduler", "sqlite")


class Due(NamedTuple):
    """The watches that one tick takes: the oldest slots first, up to its limit."""

    watches: int
    crons: int
    """How many of them are cron watches."""
    late_intervals: int
    """How many are interval watches that missed a whole slot more."""
    backed_off: int
    catch_up: int | None
    """The most slots that one of them catches up."""
    oldest_slot: int | None
    more: int
    """Whether there are others beyond the limit."""


class SQLiteSchedulerEngine:
    """The statements of `sqlite.sql`, with their parameters and results."""

    def add_watches(self, connection: DriverConnection, rows: Sequence[WatchRow], now: int) -> list[int]:
        last_of_name = {row[0]: row for row in rows}
        before = _largest_id(connection)
        write_rows(connection, _SQL["add_watches"], (), _watch_columns(list(last_of_name.values()), now))
        new = _largest_id(connection) - before
        if new == len(rows):
            # All are new. Each took the largest id plus one, under the write lock and in their order.
            return list(range(before + 1, before + new + 1))
        id_of_name = dict(connection.execute(_SQL["watch_ids"], (_json_array(last_of_name),)).fetchall())
        return [id_of_name[row[0]] for row in rows]

    def update_ingest_states(self, connection: DriverConnection, rows: Sequence[IngestRow], now: int) -> list[bool]:
        if set(map(_error_of, rows)) == {ABSENT}:
            given = [(watch, cursor, etag, moment, now) for watch, cursor, etag, moment, _ in rows]
            updated = connection.executemany(_SQL["note_success"], given).rowcount
        else:
            updated = connection.executemany(_SQL["update_ingest_state"], [(*row, now) for row in rows]).rowcount
        if updated == len(rows):
            return [True] * len(rows)
        has_state = dict(
            connection.execute(_SQL["watches_with_states"], (_json_array({row[0] for row in rows}),)).fetchall()
        )
        first = [row for row in rows if has_state.get(row[0]) == 0]
        if first:
            write_rows(connection, _SQL["insert_ingest_states"], (now,), columns_of(first))
        return [row[0] in has_state for row in rows]

    def remove_watches(self, connection: DriverConnection, names: Sequence[str]) -> list[bool]:
        removed = {name for (name,) in connection.execute(_SQL["remove_watches"], (_json_array(names),))}
        results = []
        for name in names:
            results.append(name in removed)
            removed.discard(name)
        return results

    def enable_watches(self, connection: DriverConnection, names: Sequence[str], *, enabled: bool) -> list[bool]:
        rows = connection.execute(_SQL["enable_watches"], (_json_array(names), int(enabled)))
        known = {name for (name,) in rows}
        return [name in known for name in names]

    def hold_jobs(self, connection: DriverConnection, leases: Sequence[Lease]) -> Collection[Lease]:
        """Nobody else can take one away before this transaction ends."""
        ids = json.dumps([job_id for job_id, _ in leases])
        return set(connection.execute(_SQL["held_jobs"], (ids,)).fetchall())

    def tick(self, database: Database, now: Callable[[], int], request: TickRequest) -> Ticked:
        """One transaction, which keeps other ticks out from its first statement on."""
        with database.writing_connection() as connection:
            before = connection.round_trips
            with connection.conversation():
                moment = now()
                ticked = _tick(connection, moment, request)
            return replace(ticked, round_trips=connection.round_trips - before)

    def watches(self, database: Database, names: Sequence[str] | None) -> list[StoredWatch]:
        return _read(database, "watches", names)

    def due_soon(self, database: Database, until: int, limit: int) -> list[StoredWatch]:
        return database.fetch(_SQL["due_soon"], (until, limit))

    def ingest_states(self, database: Database, names: Sequence[str] | None) -> list[StoredIngestState]:
        return _read(database, "ingest_states", names)


def _tick(connection: DriverConnection, now: int, request: TickRequest) -> Ticked:
    """All that is due; the round trips are not counted.

    Each statement sees the same due watches until they are moved on, which therefore comes last.
    """
    base, cap, doublings = request.backoff
    which = (now, request.limit)
    due = Due._make(connection.execute(_SQL["due"], (*which, base, cap, doublings)).fetchone())
    alone = caught_up = late_crons = 0
    if due.watches:
        slots = "[]"
        if due.crons:
            slots = _slots_of_crons(connection.execute(_SQL["due_crons"], which), now)
            (late_crons,) = connection.execute(_SQL["late_crons"], (*which, slots)).fetchone()
        given = (*which, base, cap, doublings, JOB_ATTEMPTS, slots)
        alone = connection.execute(_SQL["enqueue_due"], given).rowcount
        late = due.late_intervals + late_crons
        if late and due.catch_up and due.catch_up > 1:
            back = json.dumps(list(range(1, due.catch_up)))
            caught_up = connection.execute(_SQL["enqueue_missed"], (*given, back)).rowcount
        connection.execute(_SQL["advance"], (*which, slots))
    return Ticked(
        due=due.watches,
        enqueued=alone + caught_up,
        skipped=due.watches - due.backed_off - alone,
        backed_off=due.backed_off,
        late=due.late_intervals + late_crons,
        more=bool(due.more),
        oldest_slot=due.oldest_slot,
        now=now,
        round_trips=0,
    )


def _slots_of_crons(due_crons: Iterable[tuple[str, str, int]], now: int) -> str:
    known = [cron_slots(CronExpression(cron, timezone), depth, now) for cron, timezone, depth in due_crons]
    return json.dumps([[*slots.expression, slots.next_slot, slots.recent] for slots in known])


def _watch_columns(rows: Sequence[WatchRow], now: int) -> list[Sequence[Any]]:
    columns: list[Sequence[Any]] = [*columns_of(rows)]
    columns[FIRST_SLOT] = [slot or now for slot in columns[FIRST_SLOT]]
    texts, frames = split_column(columns.pop())
    return [*columns, texts, frames or [None] * len(texts)]


def _read(database: Database, name: str, names: Sequence[str] | None) -> list[Any]:
    if names is None:
        return database.fetch(_SQL[name])
    return database.fetch(_SQL[f"{name}_named"], (_json_array(names),))


def _largest_id(connection: DriverConnection) -> int:
    largest: int = connection.execute(_SQL["largest_watch_id"]).fetchone()[0]
    return largest


def _json_array(names: Iterable[str]) -> str:
    return json.dumps(list(names), ensure_ascii=False)
