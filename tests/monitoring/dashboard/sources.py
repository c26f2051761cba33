"""Readings as they are made up by hand, for dashboards that look at a clock of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from perflab.errors import DatabaseUnusable
from perflab.events import TickCompleted
from perflab.monitoring.alerts.evaluation import Alert
from perflab.monitoring.dashboard.live import Live
from perflab.monitoring.instruments.databases import POOL_IN_USE, POOL_SIZE, POOL_WAITING
from perflab.monitoring.instruments.flushes import FlushInstrument
from perflab.monitoring.instruments.ticks import TickInstrument
from perflab.monitoring.snapshot import Snapshot, SnapshotBuilder
from perflab.monitoring.source import Labelled
from perflab.monitoring.table_state import JOBS, OLDEST, OVERDUE, PAUSED, STATES, WATCHES, WORKERS
from tests.monitoring.flushes import FLUSH

START = 1_372_982_400.0
"""2013-07-05, midnight."""


class Process:
    """One that publishes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_alive = True
        self._flushes, self._ticks = FlushInstrument(), TickInstrument()

    def flush(self, times: int = 1) -> None:
        for _ in range(times):
            self._flushes.add(FLUSH)

    def tick(self, now: float) -> None:
        self._ticks.add(TickCompleted(3, 3, 0, 0, 1, 0.002, lag_seconds=0.4), now)

    def published(self, now: float) -> Labelled:
        builder = SnapshotBuilder()
        self._flushes.collect(builder, "sqlite")
        self._ticks.collect(builder, "sqlite")
        if self.is_alive:
            for gauge, value in ((POOL_SIZE, 5), (POOL_IN_USE, 2), (POOL_WAITING, 0)):
                builder.gauge(gauge, value, "sqlite")
        snapshot = builder.build(now)
        return Labelled(snapshot if self.is_alive else replace(snapshot, gauges={}), {"process": self.name})


def tables(now: float, ready: dict[str, int], *, paused: Sequence[str] = (), watches: int = 0) -> Snapshot:
    builder = SnapshotBuilder()
    for queue, jobs in ready.items():
        for state in STATES:
            builder.gauge(JOBS, jobs if state == "ready" else 0, queue, state)
        builder.gauge(OLDEST, 12.5, queue)
        builder.gauge(PAUSED, queue in paused, queue)
        builder.gauge(WORKERS, 2, queue)
    for state in ("enabled", "due", "failing"):
        builder.gauge(WATCHES, watches if state == "enabled" else 0, state)
    builder.gauge(OVERDUE, 0.0)
    return builder.build(now)


class Scripted:
    """A source whose time passes, and whose figures change, when a test says so."""

    def __init__(self, label: str = "sqlite:///lab.db") -> None:
        self.label = label
        self.now = START
        self.processes: list[Process] = []
        self.ready: dict[str, int] = {}
        self.paused: list[str] = []
        self.watches = 0
        self.error: str | None = None
        self.alerts: Sequence[Alert] = ()

    def __call__(self) -> list[Labelled]:
        if self.error is not None:
            raise DatabaseUnusable(self.error)
        found = tables(self.now, self.ready, paused=self.paused, watches=self.watches)
        return [Labelled(found, {}), *(process.published(self.now) for process in self.processes)]

    def live(self) -> Live:
        return Live(self, self.label, alerts=lambda: self.alerts, clock=lambda: self.now)


def busy(seconds: int = 20) -> tuple[Scripted, Live]:
    """A process that has flushed 10 times a second for some seconds, and two queues."""
    source, process = Scripted(), Process("host:1:aaaaaa")
    source.processes, source.ready, source.watches = [process], {"ingest": 1_234, "mail": 0}, 40
    live = source.live()
    live.look()
    for _ in range(seconds):
        source.now += 1.0
        process.flush(10)
        process.tick(source.now)
        live.look()
    return source, live
