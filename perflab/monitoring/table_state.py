"""How queues, workers and watches are now, from their tables: no event tells how deep a queue is.

A look is seven short reads over indexes, whose cost does not grow with a table beyond what is counted.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from perflab.database.database import Database
from perflab.database.statements import load_statements
from perflab.monitoring.metric import Metric, gauge
from perflab.monitoring.snapshot import Snapshot, SnapshotBuilder

MOST_COUNTED = 100_000
"""Of one kind. More are shown as so many: what a backlog of that size needs is not its exact number, but workers."""

JOBS = gauge(
    "perflab_queue_jobs", "Jobs in a queue by state, counted up to 100,000 of a state.", "queue", "state", unit="{job}"
)
OLDEST = gauge(
    "perflab_queue_oldest_due_seconds", "How long the job is due that is due the longest.", "queue", unit="s"
)
PAUSED = gauge("perflab_queue_paused", "1 while claims find nothing in a queue.", "queue", unit="")
WORKERS = gauge("perflab_queue_workers", "Workers with a lease.", "queue", unit="{worker}")
WATCHES = gauge(
    "perflab_watches",
    "Watches that are enabled, due, or whose last ingest failed; to 100,000.",
    "state",
    unit="{watch}",
)
OVERDUE = gauge("perflab_watches_overdue_seconds", "How long the slot is due that is due the longest.", unit="s")

METRICS: tuple[Metric, ...] = (JOBS, OLDEST, PAUSED, WORKERS, WATCHES, OVERDUE)
STATES = ("scheduled", "ready", "running", "dead")


class TableState:
    """Looks at the tables of a database. Nothing is written.

    Args:
        database: `create_schema()` has run.
        clock: seconds since 1970, by which jobs are due.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._sql = load_statements("perflab.monitoring", database.engine_name)

    def snapshot(self) -> Snapshot:
        """All gauges of this moment.

        Raises:
            StatementError: the tables are missing.
            DatabaseError: the database failed.
        """
        now, builder = self._clock(), SnapshotBuilder()
        self._collect_queues(builder, now)
        enabled, due, failing, first_due = self._read("watches", most=MOST_COUNTED, now=int(now * 1e6))[0]
        for state, watches in (("enabled", enabled), ("due", due), ("failing", failing)):
            builder.gauge(WATCHES, watches, state)
        builder.gauge(OVERDUE, _seconds_since(first_due, now))
        return builder.build(now)

    def _collect_queues(self, builder: SnapshotBuilder, now: float) -> None:
        jobs: Counter[tuple[str, str]] = Counter()
        oldest: dict[str, float] = {}
        for state in STATES:
            for queue, count, *first in self._read(state, most=MOST_COUNTED):
                jobs[queue, state] += count
                oldest[queue] = max(oldest.get(queue, 0.0), *(_seconds_since(due, now) for due in first), 0.0)
        paused = {name for (name,) in self._read("paused")}
        workers = dict(self._read("workers", now=int(now * 1e6)))
        for queue in sorted(oldest.keys() | paused | workers.keys()):
            for state in STATES:
                builder.gauge(JOBS, min(jobs[queue, state], MOST_COUNTED), queue, state)
            builder.gauge(OLDEST, oldest.get(queue, 0.0), queue)
            builder.gauge(PAUSED, queue in paused, queue)
            builder.gauge(WORKERS, workers.get(queue, 0), queue)

    def _read(self, statement: str, **parameters: int) -> list[tuple[Any, ...]]:
        return self._database.fetch(self._sql[statement], parameters)


def _seconds_since(moment: int | None, now: float) -> float:
    return 0.0 if moment is None else max(0.0, now - moment / 1e6)
