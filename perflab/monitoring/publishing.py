"""Snapshots of many processes in one place: each writes its own into the database, and anyone reads all."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Self
from uuid import uuid4

from perflab.database.database import Database
from perflab.database.failures import TypedErrors, name_of_failure
from perflab.database.statements import load_statements
from perflab.database.values import check_number
from perflab.errors import InvalidInput
from perflab.monitoring.periodic import Periodic
from perflab.monitoring.registry import MetricsRegistry
from perflab.monitoring.snapshot import Snapshot

logger = logging.getLogger(__name__)

SHORTEST_INTERVAL_SECONDS, LONGEST_INTERVAL_SECONDS = 0.1, 600.0
KEPT_SECONDS = 300.0
"""After a process has ended: long enough for a scrape to see its last counts."""


@dataclass(frozen=True, slots=True)
class PublishedSnapshot:
    """What one process published last."""

    process: str
    """Host, process id, and a part drawn at random."""
    snapshot: Snapshot
    """Without gauges once the process has ended, or has missed three publications: it has no connections any more."""


class MetricsPublisher:
    """Publishes the snapshots of a registry from a thread of its own, every `interval` seconds and at the end.

        with MetricsPublisher(registry, db):
            ...

    One short write each time: on PostgreSQL one round trip. A failure is logged, and the next publication says it all.

    Args:
        registry: of this process.
        database: `create_schema()` has run.
        interval: seconds, 0.1 … 600.

    Raises:
        InvalidInput: the interval is out of its range.
        StatementError: the table is missing: run `create_schema()`.
        DatabaseError: the database failed.
    """

    def __init__(self, registry: MetricsRegistry, database: Database, *, interval: float = 5.0) -> None:
        self.process = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:6]}"
        self._registry = registry
        self._database = database
        self._interval = check_number(
            interval, "interval", low=SHORTEST_INTERVAL_SECONDS, high=LONGEST_INTERVAL_SECONDS
        )
        self._sql = load_statements("perflab.monitoring", database.engine_name)
        with TypedErrors("forgetting old metrics"), database.driver_transaction() as connection:
            connection.execute(self._sql["forget"], {"keep": KEPT_SECONDS})
        self.publish()
        self._publications = Periodic(
            lambda: self._try_to_publish(has_ended=False),
            lambda: self._interval,
            "perflab-metrics",
            without="call publish() now and then",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def publish(self) -> None:
        """Publish now.

        Raises:
            DatabaseError: the database refused or failed.
        """
        self._publish(has_ended=False)

    def close(self) -> None:
        """Publish for the last time. Calling it again changes nothing."""
        if self._publications.close():
            self._try_to_publish(has_ended=True)

    def _try_to_publish(self, *, has_ended: bool) -> None:
        try:
            self._publish(has_ended=has_ended)
        except Exception as error:  # noqa: BLE001  # a later one may get through
            logger.warning("the metrics of %s could not be published: %s", self.process, name_of_failure(error))

    def _publish(self, *, has_ended: bool) -> None:
        row = {
            "process": self.process,
            "interval": self._interval,
            "has_ended": has_ended,
            "snapshot": self._registry.snapshot().to_json(),
        }
        with TypedErrors("publishing metrics"), self._database.driver_transaction() as connection:
            connection.execute(self._sql["publish"], row)


def published_snapshots(database: Database) -> Sequence[PublishedSnapshot]:
    """The last snapshots of all processes that published into this database and live, or ended within five minutes.

    Each process keeps its own counts, for they begin with it: add up rates and not counts. What another version of
    perflab wrote in another form is logged and left out.

    Raises:
        StatementError: the table is missing.
        DatabaseError: the database failed.
    """
    found = []
    statement = load_statements("perflab.monitoring", database.engine_name)["published"]
    for process, has_ended, text in database.fetch(statement, {"keep": KEPT_SECONDS}):
        try:
            snapshot = Snapshot.from_json(text)
        except InvalidInput as error:
            logger.warning("the metrics that %s published are left out: %s", process, error)
            continue
        found.append(
            PublishedSnapshot(process, replace(snapshot, gauges=MappingProxyType({})) if has_ended else snapshot)
        )
    return found
