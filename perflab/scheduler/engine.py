"""What the scheduler needs of a SQL engine. One file for each engine answers it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from perflab.database.database import Database
from perflab.database.operation import DriverConnection

Absent: TypeAlias = Literal[0]
ABSENT: Final = 0
"""Stands for "none given" in rows: the driver of SQLite binds a 0 three times as fast as a None."""

WatchRow: TypeAlias = tuple[str, str, int, int, str, str, int, int, str]
"""name, queue, priority, interval in microseconds (ABSENT: a cron watch), cron ("": an interval watch), time zone,
first slot (ABSENT: at once), enabled (0 or 1), payload"""
IngestRow: TypeAlias = tuple[str, str | Absent, str | Absent, int, str | Absent]
"""name of the watch, cursor, etag, succeeded_at (ABSENT: now), error (ABSENT: a success)"""
StoredWatch: TypeAlias = tuple[int, str, str, int, int | None, str | None, str, int, bool, str]
"""id, name, queue, priority, interval, cron, time zone, next_due_at, enabled, payload"""
StoredIngestState: TypeAlias = tuple[str, str | None, str | None, int | None, str | None, int, int]
"""name of the watch, cursor, etag, last_success_at, last_error, consecutive_failures, updated_at"""


class Due(NamedTuple):
    """The watches that one tick takes: the oldest slots first, up to its limit."""

    watches: int
    crons: int
    """How many of them are cron watches."""
    late_intervals: int
    """How many are interval watches that missed a whole slot more."""
    oldest_slot: int | None
    more: bool
    """There are others beyond the limit."""


class DueCron(NamedTuple):
    """One due cron watch."""

    id: int
    name: str
    slot: int
    cron: str
    timezone: str


class SchedulerEngine(Protocol):
    """The scheduler's statements. All but the last two run inside a transaction that the caller begins and ends.

    Times are microseconds since 1970. Calls that take many rows return one result for each, in their order. Between
    `due` and `advance_…` in one transaction, the due watches stay the same.
    """

    def add_watches(self, connection: DriverConnection, rows: Sequence[WatchRow], now: int) -> list[int]:
        """Insert or change watches by name, and return their ids. Of several rows with one name, the last counts."""

    def update_ingest_states(self, connection: DriverConnection, rows: Sequence[IngestRow], now: int) -> list[bool]:
        """Apply the rows in order. False: no such watch."""

    def remove_watches(self, connection: DriverConnection, names: Sequence[str]) -> list[bool]:
        """Delete watches and their ingest states. False: no such watch, or an earlier name deleted it."""

    def enable_watches(self, connection: DriverConnection, names: Sequence[str], *, enabled: bool) -> list[bool]:
        """Pause or resume watches. False: no such watch."""

    def due(self, connection: DriverConnection, now: int, limit: int) -> Due:
        """What this tick has to do."""

    def enqueue_due(self, connection: DriverConnection, now: int, limit: int) -> int:
        """A job for each due watch that has no unfinished one; how many."""

    def advance_intervals(self, connection: DriverConnection, now: int, limit: int) -> None:
        """Move the due interval watches on to their first slot after now."""

    def due_crons(self, connection: DriverConnection, now: int, limit: int) -> list[DueCron]:
        """The due cron watches."""

    def advance_crons(self, connection: DriverConnection, slots: Sequence[tuple[int, int | None]]) -> None:
        """Set the next slot of watches by id; None pauses the watch."""

    def watches(self, database: Database, names: Sequence[str] | None) -> list[StoredWatch]:
        """All watches, or those of these names that there are, by name."""

    def ingest_states(self, database: Database, names: Sequence[str] | None) -> list[StoredIngestState]:
        """All ingest states, or those of these watches that there are, by name."""
