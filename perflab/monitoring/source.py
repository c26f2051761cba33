"""Where snapshots come from: this process, or all that publish into a database, and its tables."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from perflab.database.database import Database
from perflab.errors import DatabaseError
from perflab.monitoring.outage import Outage
from perflab.monitoring.publishing import published_snapshots
from perflab.monitoring.registry import MetricsRegistry
from perflab.monitoring.snapshot import Snapshot
from perflab.monitoring.table_state import TableState

logger = logging.getLogger(__name__)


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


class OutageTolerantReader:
    """Reads a source, or says that it cannot be read: in the log once, and not at each look.

    Args:
        read: what is read.
        up: the name of the metric that says whether it can be.
    """

    def __init__(self, read: Source, up: str) -> None:
        self._read = read
        self._up = up
        self._outage = Outage(logger, "metrics can be read again")

    def read(self) -> Sequence[Labelled] | None:
        """None while the database cannot be read."""
        try:
            found = list(self._read())
        except DatabaseError as error:
            self._outage.goes_on("metrics cannot be read, and %s is 0 until they can: %s", self._up, error)
            return None
        self._outage.is_over()
        return found
