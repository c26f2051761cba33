"""What the scheduler needs of a SQL engine. One file for each engine answers it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final, Literal, Protocol, TypeAlias

from perflab.database.compression import StoredPayload
from perflab.database.database import Database
from perflab.database.operation import DriverConnection
from perflab.queue.engine import Lease
from perflab.scheduler.tick import Ticked, TickRequest
from perflab.scheduler.watch import Overlap

Absent: TypeAlias = Literal[0]
ABSENT: Final = 0
"""Stands for "none given" in rows: the driver of SQLite binds a 0 three times as fast as a None."""

WatchRow: TypeAlias = tuple[str, str, int, int, str, str, int, int, str, int, StoredPayload]
"""name, queue, priority, interval in microseconds (ABSENT: a cron watch), cron ("": an interval watch), time zone,
first slot (ABSENT: at once), enabled (0 or 1), overlap, catch_up, payload (bytes: compressed)"""
IngestRow: TypeAlias = tuple[str, str | Absent, str | Absent, int, str | Absent]
"""name of the watch, cursor, etag, succeeded_at (ABSENT: now), error (ABSENT: a success)"""
StoredWatch: TypeAlias = tuple[
    int, str, str, int, int | None, str | None, str, int, bool, Overlap, int, str, bytes | None
]
"""id, name, queue, priority, interval, cron, time zone, next_due_at, enabled, overlap, catch_up, payload,
payload_zstd"""
StoredIngestState: TypeAlias = tuple[str, str | None, str | None, int | None, str | None, int, int]
"""name of the watch, cursor, etag, last_success_at, last_error, consecutive_failures, updated_at"""

JOB_ATTEMPTS = 5
"""Of the jobs that a tick enqueues; as a `NewJob` has."""


class SchedulerEngine(Protocol):
    """The scheduler's statements.

    Times are microseconds since 1970. The first four run inside a transaction that the caller begins and ends; they
    take many rows and return one result for each, in their order, which may be read once that transaction has ended.
    """

    def add_watches(self, connection: DriverConnection, rows: Sequence[WatchRow], now: int) -> Sequence[int]:
        """Insert or change watches by name, and return their ids. Of several rows with one name, the last counts."""

    def update_ingest_states(self, connection: DriverConnection, rows: Sequence[IngestRow], now: int) -> Sequence[bool]:
        """Apply the rows in order. False: no such watch."""

    def remove_watches(self, connection: DriverConnection, names: Sequence[str]) -> Sequence[bool]:
        """Delete watches and their ingest states. False: no such watch, or an earlier name deleted it."""

    def enable_watches(self, connection: DriverConnection, names: Sequence[str], *, enabled: bool) -> Sequence[bool]:
        """Pause or resume watches. False: no such watch."""

    def hold_jobs(self, connection: DriverConnection, leases: Sequence[Lease]) -> Collection[Lease]:
        """Lock the jobs of leases until the transaction ends; those leases that are held.

        Where the connection does not answer at once: all of them, or the transaction fails as for a bad row.
        """

    def tick(self, database: Database, now: Callable[[], int], request: TickRequest) -> Ticked:
        """Take the due watches, the oldest slots first and no more than the limit, and move each on to its first slot
        after now, in the same transaction as its jobs are enqueued.

        `now` is called once.
        """

    def watches(self, database: Database, names: Sequence[str] | None) -> list[StoredWatch]:
        """All watches, or those of these names that there are, by name."""

    def due_soon(self, database: Database, until: int, limit: int) -> list[StoredWatch]:
        """The enabled watches with a slot up to that moment, the oldest slots first."""

    def ingest_states(self, database: Database, names: Sequence[str] | None) -> list[StoredIngestState]:
        """All ingest states, or those of these watches that there are, by name."""
