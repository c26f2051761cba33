"""The watches and their ingest states as they are stored: everything of a scheduler but its ticks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from perflab.database.compression import decode_stored, make_encoder
from perflab.database.database import Database
from perflab.database.values import (
    check_integer,
    check_number,
    from_microseconds,
    shown,
    to_microseconds,
)
from perflab.errors import CorruptPayload, InvalidInput
from perflab.scheduler.engine import SchedulerEngine, StoredWatch
from perflab.scheduler.finish_ingest import FinishIngest, finish_ingests
from perflab.scheduler.operations import (
    SchedulerOperation,
    SchedulerOperations,
    SchedulerSettings,
    check_name,
)
from perflab.scheduler.postgresql import PostgresSchedulerEngine
from perflab.scheduler.sqlite import SQLiteSchedulerEngine
from perflab.scheduler.watch import (
    LONGEST_INTERVAL_SECONDS,
    FinishedIngest,
    IngestState,
    IngestStatus,
    Overlap,
    Watch,
    WatchStatus,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from perflab.queue.queue import PriorityQueue

Item = TypeVar("Item")
Result = TypeVar("Result")

LARGEST_LIMIT = 1_000_000


class Watchlist:
    """What a `Scheduler` lets you do with watches and ingest states; make one of those."""

    def __init__(self, db: Database, queue_name: str | None, now: Callable[[], datetime]) -> None:
        self.db = db
        self.queue_name = queue_name
        self._clock = now
        self._engine = _engine_for(db)
        self._settings = SchedulerSettings(queue_name, self._engine, self._now, make_encoder(db.compression))
        self.operations = SchedulerOperations(self._settings)

    # -- watches -------------------------------------------------------------------------------------------------------

    def add_watch(
        self,
        name: str,
        interval: float | None = None,
        *,
        cron: str | None = None,
        timezone: str = "UTC",
        queue: str | None = None,
        priority: int = 0,
        payload: Any = None,
        enabled: bool = True,
        start_at: datetime | None = None,
        overlap: Overlap = "skip",
        catch_up: int = 1,
    ) -> int:
        """Add a watch, or change the one of this name; the arguments are the fields of `Watch`. Returns its id."""
        watch = Watch(name, interval, cron, timezone, queue, priority, payload, enabled, start_at, overlap, catch_up)
        return self.add_watches_bulk([watch])[0]

    def add_watches_bulk(self, watches: Iterable[Watch], *, connection: Connection | None = None) -> list[int]:
        """Add watches, or change those that are there, all or none.

        A watch that is there takes all new settings, `enabled` among them, and keeps its next slot unless its
        schedule (the interval, or the cron expression and its time zone) has changed.

        Args:
            watches: of several with one name, the last one counts.
            connection: a SQLAlchemy connection in a transaction of yours.

        Returns:
            The id of each watch, in input order.

        Raises:
            InvalidInput: a watch is refused; none is written.
        """
        return self._write(self.operations.add_watch, watches, connection)

    def remove_watches(self, names: Iterable[str], *, connection: Connection | None = None) -> list[bool]:
        """Delete watches with their ingest states; their jobs stay. False: there was no such watch."""
        return self._write(self.operations.remove_watch, names, connection)

    def pause_watches(self, names: Iterable[str], *, connection: Connection | None = None) -> list[bool]:
        """Let no more slots of these watches come. False: there is no such watch."""
        return self._write(self.operations.pause_watch, names, connection)

    def resume_watches(self, names: Iterable[str], *, connection: Connection | None = None) -> list[bool]:
        """Undo `pause_watches`; slots that came meanwhile count as missed. False: there is no such watch."""
        return self._write(self.operations.resume_watch, names, connection)

    def watches(self, names: Iterable[str] | None = None) -> dict[str, WatchStatus]:
        """The watches of these names that there are, or all, by name.

        Raises:
            CorruptPayload: that of one of them cannot be decoded; the message has its name.
        """
        statuses = map(_status, self._engine.watches(self.db, self._names(names)))
        return {status.watch.name: status for status in statuses}

    def due_soon(self, within: float = 0.0, *, limit: int = 100_000) -> list[WatchStatus]:
        """The watches whose next slot comes within so many seconds, or has come, in the order of their slots.

        Nothing is locked or changed; a tick may have moved some of them on by the time you look.

        Args:
            within: seconds from now, up to 100 years.
            limit: 1 … 1,000,000 watches.

        Raises:
            InvalidInput: an argument is refused.
            CorruptPayload: that of one of them cannot be decoded; the message has its name.
        """
        check_number(within, "within", high=LONGEST_INTERVAL_SECONDS)
        check_integer(limit, "limit", low=1, high=LARGEST_LIMIT)
        until = self._now() + round(within * 1_000_000)
        return list(map(_status, self._engine.due_soon(self.db, until, limit)))

    # -- ingest states -------------------------------------------------------------------------------------------------

    def update_ingest_state(
        self,
        watch: str,
        *,
        cursor: str | None = None,
        etag: str | None = None,
        succeeded_at: datetime | None = None,
        error: BaseException | str | None = None,
    ) -> bool:
        """Note a success or an error of one watch; the arguments are the fields of `IngestState`."""
        return self.update_ingest_states_bulk([IngestState(watch, cursor, etag, succeeded_at, error)])[0]

    def update_ingest_states_bulk(
        self, states: Iterable[IngestState], *, connection: Connection | None = None
    ) -> list[bool]:
        """Note successes and errors, in order. Of two callers, the one that writes last has the last word; where that
        may be a worker that has lost its job, use `finish_ingests`.

        A success sets `last_success_at`, clears `last_error` and ends the count of failures; an error sets
        `last_error` and adds one to the count. Both move the cursor and the etag where one is given.

        Args:
            states: several may be of one watch.
            connection: a SQLAlchemy connection in a transaction of yours: the cursor then moves together with the rows
                that were ingested, or not at all.

        Returns:
            For each, in input order: True, or False if there is no such watch.

        Raises:
            InvalidInput: a state is refused; none is written.
        """
        return self._write(self.operations.update_ingest_state, states, connection)

    def finish_ingests(
        self,
        queue: PriorityQueue[Any, Any],
        ingests: Iterable[FinishedIngest],
        *,
        connection: Connection | None = None,
    ) -> list[bool]:
        """Write all that ingests leave behind in one transaction: their states, their watches, their jobs, and the jobs
        that follow. On PostgreSQL that is one round trip, or a few if leases are lost.

        An ingest whose job was given to somebody else meanwhile is refused whole, so that a worker that was thought
        dead never moves a cursor back, and nothing of it is written twice.

        Args:
            queue: whose jobs they are; it says how long a failed one waits.
            ingests: several may be of one watch.
            connection: a SQLAlchemy connection in a transaction of yours: for the rows that were ingested.

        Returns:
            For each, in input order: True, or False if the lease of its job is lost (or an earlier one has the same
            job). What is said of a watch that has been removed is dropped, unless `watch` adds it again.

        Raises:
            InvalidInput: an ingest is refused; none is written.
        """
        operation = FinishIngest(self._settings, self.operations, queue.name, queue.operations)
        return finish_ingests(self.db, operation, _each(ingests), connection)

    def ingest_states(self, names: Iterable[str] | None = None) -> dict[str, IngestStatus]:
        """What is known of the ingests of these watches, or of all, by name. Watches without any are left out."""
        return {
            name: IngestStatus(
                cursor,
                etag,
                None if last_success_at is None else from_microseconds(last_success_at),
                last_error,
                failures,
                from_microseconds(updated_at),
            )
            for name, cursor, etag, last_success_at, last_error, failures, updated_at in (
                self._engine.ingest_states(self.db, self._names(names))
            )
        }

    # -- inside --------------------------------------------------------------------------------------------------------

    def _now(self) -> int:
        return to_microseconds(self._clock(), "the time that now() returned")

    def _write(
        self, operation: SchedulerOperation[Item, Result], items: Iterable[Item], connection: Connection | None
    ) -> list[Result]:
        return self.db.apply(operation, _each(items), connection=connection)

    def _names(self, names: Iterable[str] | None) -> list[str] | None:
        return None if names is None else list(map(check_name, _each(names)))


def _status(stored: StoredWatch) -> WatchStatus:
    watch_id, name, queue, priority, interval, cron, timezone, next_due_at = stored[:8]
    enabled, overlap, catch_up, payload, frame = stored[8:]
    watch = Watch(
        name,
        interval=None if interval is None else interval / 1_000_000,
        cron=cron,
        timezone=timezone,
        queue=queue,
        priority=priority,
        payload=_payload(name, payload, frame),
        enabled=bool(enabled),
        overlap=overlap,
        catch_up=catch_up,
    )
    return WatchStatus(watch_id, watch, from_microseconds(next_due_at))


def _payload(name: str, text: str, frame: bytes | None) -> Any:
    try:
        return decode_stored(text, frame)
    except CorruptPayload as error:
        raise CorruptPayload(f"watch {name!r}: {error}; add it again, or remove it") from error


def _each(items: Iterable[Item]) -> Iterable[Item]:
    if not isinstance(items, Iterable) or isinstance(items, str | bytes):
        raise InvalidInput(f"{shown(items, 80)} is one thing where many are taken: give a list")
    return items


def _engine_for(db: Database) -> SchedulerEngine:
    return PostgresSchedulerEngine() if db.engine_name == "postgresql" else SQLiteSchedulerEngine()
