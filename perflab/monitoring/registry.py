"""Metrics of a process, from the events of the databases that it listens to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from perflab.database.database import Database
from perflab.errors import LifecycleError
from perflab.events import (
    CacheAsked,
    CacheWarmed,
    Event,
    FlushCompleted,
    FlushFailed,
    JobsClaimed,
    JobsEnqueued,
    JobsFinished,
    LeasesRescued,
    TickCompleted,
    TickFailed,
)
from perflab.monitoring.instruments.caches import CacheInstrument
from perflab.monitoring.instruments.databases import collect_database
from perflab.monitoring.instruments.flushes import FlushInstrument
from perflab.monitoring.instruments.queues import QueueInstrument
from perflab.monitoring.instruments.ticks import TickInstrument
from perflab.monitoring.snapshot import Snapshot, SnapshotBuilder


class _Engine:
    """The instruments of one engine."""

    def __init__(self) -> None:
        self.flushes, self.queues, self.ticks = FlushInstrument(), QueueInstrument(), TickInstrument()


class MetricsRegistry:
    """Counts what happens on databases, and shows it as frozen snapshots.

        registry = MetricsRegistry()
        registry.observe(db)
        ...
        registry.snapshot().to_json()

    Parts do not know it: it listens to `db.events`. What it counts stays when it stops listening. Safe to share between
    threads.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._engines: dict[str, _Engine] = {}
        self._caches = CacheInstrument()
        self._observed: dict[int, tuple[Database, Callable[[Event], None]]] = {}

    def observe(self, database: Database) -> None:
        """Listen to a database and to all that is built on it, from now on.

        Raises:
            LifecycleError: it is observed already: each event would count twice.
        """
        with self._lock:
            if id(database) in self._observed:
                raise LifecycleError(f"this registry observes {database.url!r} already: once is enough")
            engine = self._engines.setdefault(database.engine_name, _Engine())
            listener = self._listener(engine)
            self._observed[id(database)] = database, listener
        database.events.add(listener)

    def release(self, database: Database) -> None:
        """Listen no longer. Does nothing where it is not observed."""
        with self._lock:
            _, listener = self._observed.pop(id(database), (None, None))
        if listener is not None:
            database.events.remove(listener)

    @contextmanager
    def observing(self, database: Database) -> Iterator[None]:
        """Listen for the length of a `with` block."""
        self.observe(database)
        try:
            yield
        finally:
            self.release(database)

    def snapshot(self) -> Snapshot:
        """All metrics at this moment."""
        builder = SnapshotBuilder()
        with self._lock:
            for name, engine in self._engines.items():
                engine.flushes.collect(builder, name)
                engine.queues.collect(builder, name)
                engine.ticks.collect(builder, name)
            self._caches.collect(builder)
            observed = [database for database, _ in self._observed.values()]
        for database in observed:
            collect_database(builder, database)
        return builder.build(self._clock())

    def _listener(self, engine: _Engine) -> Callable[[Event], None]:
        count_of: dict[type, Callable[[Any], None]] = {
            FlushCompleted: engine.flushes.add,
            FlushFailed: engine.flushes.add_failure,
            JobsEnqueued: engine.queues.add_enqueued,
            JobsClaimed: engine.queues.add_claimed,
            JobsFinished: engine.queues.add_finished,
            LeasesRescued: engine.queues.add_rescued,
            TickCompleted: lambda tick: engine.ticks.add(tick, self._clock()),
            TickFailed: engine.ticks.add_failure,
            CacheAsked: self._caches.add_asked,
            CacheWarmed: self._caches.add_warmed,
        }

        def listen(event: Event) -> None:
            count = count_of.get(type(event))
            if count is not None:
                with self._lock:
                    count(event)

        return listen
