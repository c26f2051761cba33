"""What a dashboard knows: the last reading, what was counted lately, and the last hours."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from perflab.errors import PerflabError
from perflab.monitoring.alerts.evaluation import Alert
from perflab.monitoring.change import EMPTY, Change
from perflab.monitoring.dashboard.counts import Rates, Totals, rates_of
from perflab.monitoring.dashboard.rings import Point, Rings, Span
from perflab.monitoring.instruments import databases, flushes, ticks
from perflab.monitoring.overview import Overview
from perflab.monitoring.snapshot import Snapshot
from perflab.monitoring.source import Labelled, Source
from perflab.monitoring.sweep_progress import SweepProgress
from perflab.monitoring.table_state import JOBS, OLDEST, OVERDUE, PAUSED, STATES, WATCHES, WORKERS

QUANTILE_SECONDS = 10.0
"""Quantiles of a point are over so long: those of one second of few flushes would jump."""
WINDOW_SECONDS = 60.0
"""Of the distributions and shares that are shown as they are now."""
NAN = float("nan")
THIS_PROCESS = "this process"
"""Who counts without publishing."""


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
    read_at: float | None
    """When it was read; None: never yet."""
    tables: Snapshot | None
    """How queues, workers and watches are; None where no database was looked at."""
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
    alerts: Sequence[Alert] | None
    """Those that are pending or firing; None where nobody watches."""
    sweep: SweepProgress | None
    """None where there is none."""

    @property
    def now(self) -> Point | None:
        """The last figures; None before there are any."""
        return self.points[-1] if self.points else None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be seen: no process publishes, no queue has a job or a worker, and no watch is set."""
        return not self.processes and not self.queues and not (self.tables and sum(self.tables.gauged(WATCHES)))


class Live:
    """Reads a source now and then, and remembers a bounded number of points. Safe to share between threads.

    Args:
        source: `of_database(db)` for all processes that publish there and its tables, or `of_process(registry)`.
        label: of what the figures are, without a password.
        alerts: those that are pending or firing now, such as `lambda: watch.alerts`; None: none are shown.
        sweep: how far a sweep is, such as `lambda: SweepProgress.read(store)`; None: none is shown.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        source: Source,
        label: str,
        *,
        alerts: Callable[[], Sequence[Alert]] | None = None,
        sweep: Callable[[], SweepProgress | None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._label = label
        self._alerts = alerts
        self._sweep = sweep
        self._clock = clock
        self._lock = threading.Lock()
        self._totals, self._rates, self._rings = Totals(), Rates(), Rings()
        self._read_at: float | None = None
        self._tables: Snapshot | None = None
        self._processes: Mapping[str, Snapshot] = {}
        self._progress: SweepProgress | None = None
        self._error: str | None = None

    def look(self) -> None:
        """Read once. A failure is shown by the next view, beside the figures of before."""
        try:
            found = list(self._source())
            progress = None if self._sweep is None else self._sweep()
        except PerflabError as error:
            with self._lock:
                self._error = str(error)
            return
        with self._lock:
            now = self._clock()
            if self._read_at is not None and now < self._read_at:  # the clock was set back
                self._totals, self._rates = Totals(), Rates()
            self._error, self._read_at, self._progress = None, now, progress
            self._tables = next((one.snapshot for one in found if _is_of_tables(one)), None)
            self._processes = {
                one.labels.get("process", THIS_PROCESS): one.snapshot for one in found if not _is_of_tables(one)
            }
            self._totals.add(found, now)
            self._rates.add(self._processes, now)
            tables = EMPTY if self._tables is None else self._tables
            self._rings.add(_point(now, self._rates.total(), self._totals.window(QUANTILE_SECONDS), tables))

    def recall(self, history: Iterable[Change]) -> None:
        """Begin with what happened before the first look, oldest first, as far as it fits into the longest span."""
        with self._lock:
            for change in history:
                rates = rates_of(change.counted, change.seconds)
                self._rings.recall(_point(change.ended_at, rates, change.counted, change.counted))

    def view(self, span: Span) -> View:
        """What is to be shown now."""
        with self._lock:
            window = self._totals.window(WINDOW_SECONDS)
            return View(
                label=self._label,
                moment=self._clock(),
                error=self._error,
                read_at=self._read_at,
                tables=self._tables,
                window=window,
                overview=Overview.of(window),
                points=self._rings.points(span),
                span=span,
                processes=[
                    _process(name, snapshot, self._rates.of(name))
                    for name, snapshot in self._processes.items()
                    if snapshot.gauges  # it lives
                ],
                queues=_queues(self._tables) if self._tables else (),
                alerts=None if self._alerts is None else self._alerts(),
                sweep=self._progress,
            )


def _point(moment: float, rates: Mapping[str, float], seen: Snapshot, tables: Snapshot) -> Point:
    durations, waits = seen.distributed(flushes.DURATION), seen.distributed(flushes.WAIT)
    lags = seen.distributed(ticks.LAG)
    return Point(
        moment=moment,
        items=rates.get("items", 0.0),
        enqueued=rates.get("enqueued", 0.0),
        done=rates.get("done", 0.0),
        failed=rates.get("failed", 0.0),
        round_trips=rates.get("round_trips", 0.0),
        unbatched=rates.get("unbatched", 0.0),
        flush_p50=durations.quantile(0.5) if durations.counts else NAN,
        flush_p99=durations.quantile(0.99) if durations.counts else NAN,
        wait_p99=waits.quantile(0.99) if waits.counts else NAN,
        tick_lag=lags.quantile(0.99) if lags.counts else NAN,
        **{state: sum(tables.gauged(JOBS, state=state)) for state in STATES},
    )


def _is_of_tables(one: Labelled) -> bool:
    """A process has counters, and a look at tables none."""
    return "process" not in one.labels and not one.snapshot.counters


def _process(name: str, snapshot: Snapshot, rates: Mapping[str, float]) -> ProcessLine:
    return ProcessLine(
        name=name,
        items=rates.get("items", 0.0),
        done=rates.get("done", 0.0),
        round_trips=rates.get("database_round_trips", 0.0),
        in_use=sum(snapshot.gauged(databases.POOL_IN_USE)),
        limit=sum(snapshot.gauged(databases.POOL_SIZE)),
        waiting=sum(snapshot.gauged(databases.POOL_WAITING)),
        last_tick=max(snapshot.gauged(ticks.LAST), default=None),
    )


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
