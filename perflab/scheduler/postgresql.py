"""The scheduler on PostgreSQL: each call is one round trip."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from itertools import accumulate
from typing import Any

from perflab.database.binary_arrays import BytesArray, IntegerArray, TextArray, once_if_shared
from perflab.database.columns import columns_of
from perflab.database.compression import split_column
from perflab.database.database import Database
from perflab.database.operation import Deferred, DriverConnection
from perflab.database.statements import load_statements
from perflab.queue.engine import CHANNEL, Lease
from perflab.scheduler.cron_slots import CronSlots, KnownCrons
from perflab.scheduler.engine import JOB_ATTEMPTS, IngestRow, StoredIngestState, StoredWatch, WatchRow
from perflab.scheduler.ingest_fold import net_ingest_columns
from perflab.scheduler.tick import Ticked, TickRequest

_SQL = load_statements("perflab.scheduler", "postgresql")


class PostgresSchedulerEngine:
    """The statements of `postgresql.sql`, with their parameters and results."""

    def __init__(self) -> None:
        self._crons = KnownCrons()

    def add_watches(self, connection: DriverConnection, rows: Sequence[WatchRow], now: int) -> Sequence[int]:
        self._crons.ask_for({(row[4], row[5], row[9]) for row in rows if row[4]})
        last_of_name = {row[0]: row for row in rows}
        written = sorted(last_of_name.values())  # by name, of which there is one each
        answer = connection.execute(_SQL["add_watches"], {"now": now, **_watch_columns(written)})

        def ids() -> list[int]:
            (ids,) = answer.fetchone()
            id_of_name = {row[0]: watch_id for row, watch_id in zip(written, ids, strict=True)}
            return [id_of_name[row[0]] for row in rows]

        return Deferred(ids)

    def update_ingest_states(self, connection: DriverConnection, rows: Sequence[IngestRow], now: int) -> Sequence[bool]:
        given = {"now": now, **_ingest_columns(net_ingest_columns(rows, now))}
        answer = connection.execute(_SQL["update_ingest_states"], given)

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

    def hold_jobs(self, connection: DriverConnection, leases: Sequence[Lease]) -> Collection[Lease]:
        ids, attempts = zip(*leases, strict=True)
        if connection.answers_at_once:
            return set(connection.execute(_SQL["hold_jobs"], {"ids": IntegerArray(ids)}).fetchall())
        connection.execute(_SQL["hold_all_jobs"], {"ids": IntegerArray(ids), "attempts": IntegerArray(attempts)})
        return leases

    def tick(self, database: Database, now: Callable[[], int], request: TickRequest) -> Ticked:
        """One statement, one transaction, one round trip."""
        with database.writing_connection() as connection:
            before = connection.round_trips
            moment = now()
            brought = self._crons.for_tick(moment)
            given = {
                "now": moment,
                "limit": request.limit,
                "attempts": JOB_ATTEMPTS,
                "channel": CHANNEL if request.notify else None,
                **request.backoff._asdict(),
                **_cron_parameters(brought),
            }
            with connection.transaction():
                answer = connection.execute(_SQL["tick"], given)
            due, enqueued, skipped, backed_off, late, oldest_slot, limited, left_out, _ = answer.fetchone()
            if not limited:  # else others of these expressions are due
                self._crons.ticked(brought)
            self._crons.ask_for(left_out or ())
            return Ticked(
                due=due,
                enqueued=enqueued,
                skipped=skipped,
                backed_off=backed_off,
                late=late,
                more=limited or bool(left_out),
                oldest_slot=oldest_slot,
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
    names, queues, priorities, intervals, crons, timezones, first_slots, enabled, *others = columns_of(rows)
    overlaps, catch_ups, payloads = others
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
        "overlaps": TextArray(once_if_shared(overlaps)),
        "catch_ups": IntegerArray(once_if_shared(catch_ups)),
        "payloads": TextArray(texts),
        "frames": BytesArray(frames),
    }


def _ingest_columns(columns: Sequence[Sequence[Any]]) -> dict[str, Any]:
    names, cursors, etags, last_successes, last_errors, failures = columns
    return {
        "names": TextArray(names),
        "cursors": TextArray(cursors),
        "etags": TextArray(etags),
        "last_successes": IntegerArray(last_successes),
        "last_errors": TextArray(once_if_shared(last_errors)),
        "failures": IntegerArray(once_if_shared(failures)),
    }


def _cron_parameters(crons: Sequence[CronSlots]) -> dict[str, Any]:
    """What the statement reads by the number of an expression; the numbers begin with 1, as its arrays do."""
    starts = list(accumulate((len(known.recent) for known in crons), initial=1))
    return {
        "crons": json.dumps({" ".join(known.expression): number for number, known in enumerate(crons, 1)}),
        "next_slots": IntegerArray([known.next_slot or 0 for known in crons]),
        "newest": IntegerArray([known.recent[0] if known.recent else 0 for known in crons]),
        "depths": IntegerArray([known.depth for known in crons]),
        "starts": IntegerArray(starts),
        "slots": IntegerArray([slot for known in crons for slot in known.recent]),
    }


def _read(database: Database, name: str, names: Sequence[str] | None) -> list[Any]:
    if names is None:
        return database.fetch(_SQL[name])
    return database.fetch(_SQL[f"{name}_named"], {"names": TextArray(names)})
