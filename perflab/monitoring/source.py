"""Where snapshots come from: this process, or all that publish into a database, and its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from perflab.database.database import Database
from perflab.monitoring.publishing import published_snapshots
from perflab.monitoring.registry import MetricsRegistry
from perflab.monitoring.snapshot import Snapshot
from perflab.monitoring.table_state import TableState


class Labelled(NamedTuple):
    """A snapshot, and labels that all its series get, such as of which process it is."""

    snapshot: Snapshot
    labels: Mapping[str, str]


Source = Callable[[], Iterable[Labelled]]


def of_process(registry: MetricsRegistry) -> Source:
    """What this process counts."""
    return lambda: [Labelled(registry.snapshot(), {})]


def of_database(database: Database) -> Source:
    """How the tables of a database are, and what processes have published into it, each with its `process` label."""
    state = TableState(database)

    def read() -> list[Labelled]:
        published = published_snapshots(database)
        return [
            Labelled(state.snapshot(), {}),
            *(Labelled(one.snapshot, {"process": one.process}) for one in published),
        ]

    return read
