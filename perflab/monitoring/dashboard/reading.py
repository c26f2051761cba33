"""Where the figures of a dashboard come from."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from perflab.database.database import Database
from perflab.monitoring.publishing import PublishedSnapshot, published_snapshots
from perflab.monitoring.registry import MetricsRegistry
from perflab.monitoring.snapshot import Snapshot
from perflab.monitoring.table_state import TableState


@dataclass(frozen=True, slots=True)
class Reading:
    """How everything is at one moment."""

    taken_at: float
    """Seconds since 1970."""
    processes: Sequence[PublishedSnapshot]
    """What each process has counted since it began."""
    tables: Snapshot | None = None
    """How queues, workers and watches are; None where no database was looked at."""


class Source(Protocol):
    """What a dashboard shows."""

    @property
    def label(self) -> str:
        """Of what the figures are, without a password."""
        ...

    def read(self) -> Reading:
        """How it is now.

        Raises:
            PerflabError: it cannot be read now.
        """
        ...


class DatabaseSource:
    """The tables of a database, and what processes publish into it. Nothing is written.

    Args:
        database: `create_schema()` has run.
        clock: seconds since 1970.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._state = TableState(database, clock=clock)

    @property
    def label(self) -> str:
        return str(self._database.url)

    def read(self) -> Reading:
        tables = self._state.snapshot()
        return Reading(self._clock(), published_snapshots(self._database), tables)


class ProcessSource:
    """What this process counts, without a database in between."""

    def __init__(self, registry: MetricsRegistry) -> None:
        self._registry = registry

    @property
    def label(self) -> str:
        return "this process"

    def read(self) -> Reading:
        snapshot = self._registry.snapshot()
        return Reading(snapshot.taken_at, [PublishedSnapshot("this process", snapshot)])
