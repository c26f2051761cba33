"""The scheduler on PostgreSQL: each call is one round trip, but a tick with due cron watches, which is two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from perflab.database.binary_arrays import BytesArray, IntegerArray, TextArray, once_if_shared
from perflab.database.compression import split_column
from perflab.database.database import Database
from perflab.database.operation import Deferred, DriverConnection
from perflab.database.statements import load_statements
from perflab.scheduler.engine import JOB_ATTEMPTS, IngestRow, StoredIngestState, StoredWatch, WatchRow
from perflab.scheduler.ingest_fold import NetIngest, fold_ingest_rows
from perflab.scheduler.tick import DueCron, NextSlot, Ticked, next_slots

_SQL = load_statements("perflab.scheduler", "postgresql")


class PostgresSchedulerEngine:
    """The statements of `postgresql.sql`, with their parameters and results."""

    def add_watches(self, connection: DriverConnection, rows: Sequence[WatchRow], now: int) -> Sequence[int]:
        last_of_name = {row[0]: row for row in rows}
        written = sorted(last_of_name.values())  # by name, of which there is one each
        answer = connection.execute(_SQL["add_watches"], {"now": now, **_watch_columns(written)})

        def ids() -> list[int]:
            (ids,) = answer.fetchone()
            id_of_name = {row[0]: watch_id for row, watch_id in zip(written, ids, strict=True)}
            return [id_of_name[row[0]] for row in rows]

        return Deferred(ids)

    def update_ingest_states(self, connection: DriverConnection, rows: Sequence[IngestRow], now: int) -> Sequence[bool]:
        net = fold_ingest_rows(rows, now)
        answer = connection.execute(_SQL["update_ingest_states"], {"now": now, **_ingest_columns(net)})

        def known() -> list[bool]:
            unknown = {name for (name,) in answer.fetchall()}
            return [row[0] not in unknown for row in rows] if unknown else [True] * len(rows)

        return Deferred(known)

    def remove_watches(self, connection: DriverConnection, names: Sequence[str]) -> Sequence[bool]:
        given = {"names": TextArray(sorted(set(names)))}
        connection.execute(_SQL["lock_watches_to_remove"], given)
        answer = connection.execute(_SQL["remove_watches"], given)

        def removed() -> list[bool]:
            left = {name for (name,) in answer.fetchall()}
            results = []
            for name in names:
                results.append(name in left)
                left.discard(name)
            return results

        return Deferred(removed)

    def enable_watches(self, connection: DriverConnection, names: Sequence[str], *, enabled: bool) -> Sequence[bool]:
        given = {"names": TextArray(sorted(set(names)))}
        connection.execute(_SQL["lock_watches_to_change"], given)
        answer = connection.execute(_SQL["enable_watches"], {"enabled": enabled, **given})

        def known() -> list[bool]:
            found = {name for (name,) in answer.fetchall()}
            return [name in found for name in names]

        return Deferred(known)

    def tick(self, database: Database, now: Callable[[], int], limit: int) -> Ticked:
        """One statement takes all interval watches; where cron watches are due too, a second one takes those.

        The second is a transaction of its own: between the two, somebody else may have taken a cron watch, or it may
        have changed, and then it is not counted here.
        """
        with database.writing_connection() as connection:
            before = connection.round_trips
            moment = now()
            shared = {"now": moment, "attempts": JOB_ATTEMPTS}
            with connection.transaction():
                answer = connection.execute(_SQL["tick"], {"limit": limit, **shared})
            due, enqueued, late, oldest, more, *of_crons = answer.fetchone()
            oldest_slots = [oldest]
            if of_crons[0] is not None:
                crons = list(map(DueCron, *of_crons))
                with connection.transaction():
                    answer = connection.execute(
                        _SQL["tick_crons"], {**_moves(crons, next_slots(crons, moment)), **shared}
                    )
                due_crons, enqueued_crons, late_crons, oldest = answer.fetchone()
                due, enqueued, late = due + due_crons, enqueued + enqueued_crons, late + late_crons
                oldest_slots.append(oldest)
            return Ticked(
                due=due,
                enqueued=enqueued,
                late=late,
                more=more,
                oldest_slot=min((slot for slot in oldest_slots if slot is not None), default=None),
                now=moment,
                round_trips=connection.round_trips - before,
            )

    def watches(self, database: Database, names: Sequence[str] | None) -> list[StoredWatch]:
        return _read(database, "watches", names)

    def due_soon(self, database: Database, until: int, limit: int) -> list[StoredWatch]:
        return database.fetch(_SQL["due_soon"], {"until": until, "limit": limit})

    def ingest_states(self, database: Database, names: Sequence[str] | None) -> list[StoredIngestState]:
        return _read(database, "ingest_states", names)


def _watch_columns(rows: Sequence[WatchRow]) -> dict[str, Any]:
    names, queues, priorities, intervals, crons, timezones, first_slots, enabled, payloads = zip(*rows, strict=True)
    texts, frames = split_column(payloads)
    return {
        "names": TextArray(names),
        "queues": TextArray(once_if_shared(queues)),
        "priorities": IntegerArray(priorities),
        "intervals": IntegerArray(intervals),
        "crons": TextArray(once_if_shared(crons)),
        "timezones": TextArray(once_if_shared(timezones)),
        "first_slots": IntegerArray(once_if_shared(first_slots)),
        "enabled": IntegerArray(once_if_shared(enabled)),
        "payloads": TextArray(texts),
        "frames": BytesArray(frames),
    }


def _ingest_columns(rows: Sequence[NetIngest]) -> dict[str, Any]:
    names, cursors, etags, last_successes, last_errors, failures = zip(*rows, strict=True)
    return {
        "names": TextArray(names),
        "cursors": TextArray(cursors),
        "etags": TextArray(etags),
        "last_successes": IntegerArray(last_successes),
        "last_errors": TextArray(once_if_shared(last_errors)),
        "failures": IntegerArray(once_if_shared(failures)),
    }


def _moves(crons: Sequence[DueCron], following: Sequence[NextSlot]) -> dict[str, Any]:
    ids, slots, expressions, timezones, _names = zip(*crons, strict=True)
    next_slots, late = map(list, zip(*following, strict=True))
    return {
        "ids": IntegerArray(ids),
        "slots": IntegerArray(slots),
        "crons": TextArray(expressions),
        "timezones": TextArray(timezones),
        "next_slots": next_slots,  # null where there is none
        "late": late,
    }


def _read(database: Database, name: str, names: Sequence[str] | None) -> list[Any]:
    if names is None:
        return database.fetch(_SQL[name])
    return database.fetch(_SQL[f"{name}_named"], {"names": TextArray(names)})
