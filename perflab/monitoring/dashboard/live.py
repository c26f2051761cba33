"""What a dashboard knows: the last reading, what was counted lately, and the last hours."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from perflab.errors import PerflabError
from perflab.monitoring.dashboard.counts import Counts
from perflab.monitoring.dashboard.reading import Reading, Source
from perflab.monitoring.dashboard.rings import Point, Rings, Span
from perflab.monitoring.instruments import databases, flushes, ticks
from perflab.monitoring.overview import Overview
from perflab.monitoring.snapshot import Snapshot
from perflab.monitoring.table_state import JOBS, OLDEST, OVERDUE, PAUSED, STATES, WATCHES, WORKERS

QUANTILE_SECONDS = 10.0
"""Quantiles of a point are over so long: those of one second of few flushes would jump."""
WINDOW_SECONDS = 60.0
"""Of the distributions and shares that are shown as they are now."""
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class ProcessLine:
    name: str
    items: float
    """Per second, and so the others."""
    done: float
    round_trips: float
    in_use: float
    """Connections."""
    limit: float
    waiting: float
    """Threads that want a connection."""
    last_tick: float | None
    """Seconds since 1970; None without a scheduler."""


@dataclass(frozen=True, slots=True)
class QueueLine:
    name: str
    scheduled: float
    ready: float
    running: float
    dead: float
    oldest_seconds: float
    workers: float
    is_paused: bool


@dataclass(frozen=True, slots=True)
class View:
    """What is shown at one moment."""

    label: str
    moment: float
    """When it was made."""
    error: str | None
    """Why it could not be read now."""
    reading: Reading | None
    """The last one; None: there was none yet."""
    window: Snapshot
    """What was counted in the last minute."""
    overview: Overview
    """Of that minute."""
    points: Sequence[Point]
    """Of the span that was asked for, the oldest first."""
    span: Span
    processes: Sequence[ProcessLine]
    """Those that live."""
    queues: Sequence[QueueLine]

    @property
    def now(self) -> Point | None:
        """The last figures; None before there are any."""
        return self.points[-1] if self.points else None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be seen: no process publishes, no queue has a job or a worker, and no watch is set."""
        tables = self.reading.tables if self.reading else None
        return not self.processes and not self.queues and not (tables and sum(tables.gauged(WATCHES)))


class Live:
    """Reads a source now and then, and remembers a bounded number of points. Safe to share between threads.

    Args:
        source: of the figures.
        clock: seconds since 1970.
    """

    def __init__(self, source: Source, *, clock: Callable[[], float] = time.time) -> None:
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        self._counts, self._rings = Counts(), Rings()
        self._reading: Reading | None = None
        self._error: str | None = None

    def look(self) -> None:
        """Read once. A failure is shown by the next view, beside the figures of before."""
        try:
            reading, error = self._source.read(), None
        except PerflabError as failure:
            reading, error = None, str(failure)
        with self._lock:
            self._error = error
            if reading is None:
                return
            if self._reading is not None and reading.taken_at < self._reading.taken_at:  # the clock was set back
                self._counts = Counts()
            self._reading = reading
            self._counts.add(reading)
            self._rings.add(self._point(reading))

    def view(self, span: Span) -> View:
        """What is to be shown now."""
        with self._lock:
            reading = self._reading
            window = self._counts.window(WINDOW_SECONDS) if reading else Snapshot(0.0, {}, {}, {})
            return View(
                label=self._source.label,
                moment=self._clock(),
                error=self._error,
                reading=reading,
                window=window,
                overview=Overview.of(window),
                points=self._rings.points(span),
                span=span,
                processes=self._processes(reading) if reading else (),
                queues=_queues(reading.tables) if reading and reading.tables else (),
            )

    def _point(self, reading: Reading) -> Point:
        lately = self._counts.window(QUANTILE_SECONDS)
        durations, waits = lately.distributed(flushes.DURATION), lately.distributed(flushes.WAIT)
        lags = lately.distributed(ticks.LAG)
        jobs = {state: sum(reading.tables.gauged(JOBS, state=state)) if reading.tables else 0.0 for state in STATES}
        rate = self._counts.rate
        return Point(
            moment=reading.taken_at,
            items=rate("items"),
            enqueued=rate("enqueued"),
            done=rate("done"),
            failed=rate("failed"),
            round_trips=rate("round_trips"),
            unbatched=rate("unbatched"),
            flush_p50=durations.quantile(0.5) if durations.counts else NAN,
            flush_p99=durations.quantile(0.99) if durations.counts else NAN,
            wait_p99=waits.quantile(0.99) if waits.counts else NAN,
            tick_lag=lags.quantile(0.99) if lags.counts else NAN,
            **jobs,
        )

    def _processes(self, reading: Reading) -> list[ProcessLine]:
        lines = []
        for one in reading.processes:
            if not one.snapshot.gauges:  # it has ended
                continue
            rates, snapshot = self._counts.rates_of(one.process), one.snapshot
            lines.append(
                ProcessLine(
                    name=one.process,
                    items=rates.get("items", 0.0),
                    done=rates.get("done", 0.0),
                    round_trips=rates.get("database_round_trips", 0.0),
                    in_use=sum(snapshot.gauged(databases.POOL_IN_USE)),
                    limit=sum(snapshot.gauged(databases.POOL_SIZE)),
                    waiting=sum(snapshot.gauged(databases.POOL_WAITING)),
                    last_tick=max(snapshot.gauged(ticks.LAST), default=None),
                )
            )
        return lines


def _queues(tables: Snapshot) -> list[QueueLine]:
    names = sorted({dict(series.labels)["queue"] for series in tables.gauges if series.metric == JOBS.name})
    return [
        QueueLine(
            name=name,
            **{state: sum(tables.gauged(JOBS, queue=name, state=state)) for state in STATES},
            oldest_seconds=sum(tables.gauged(OLDEST, queue=name)),
            workers=sum(tables.gauged(WORKERS, queue=name)),
            is_paused=any(tables.gauged(PAUSED, queue=name)),
        )
        for name in names
    ]


def watches(tables: Snapshot) -> dict[str, float]:
    """Watches by state, and for how many seconds the most overdue one is due."""
    return {
        **{state: sum(tables.gauged(WATCHES, state=state)) for state in ("enabled", "due", "failing")},
        "overdue_seconds": sum(tables.gauged(OVERDUE)),
    }
