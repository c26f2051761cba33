"""What the scheduler does."""

from __future__ import annotations

from perflab.events import TickCompleted, TickFailed
from perflab.monitoring.distribution import DistributionRecorder
from perflab.monitoring.metric import Metric, counter, distribution, gauge
from perflab.monitoring.snapshot import SnapshotBuilder

TICKS = counter("perflab_ticks_total", "Ticks that were committed.", "engine", unit="{tick}")
FAILURES = counter("perflab_tick_failures_total", "Ticks that the database refused or failed.", "engine", unit="{tick}")
DUE = counter("perflab_watches_due_total", "Watches that ticks found due.", "engine", unit="{watch}")
ENQUEUED = counter("perflab_watches_enqueued_total", "Jobs that ticks enqueued for watches.", "engine", unit="{job}")
SKIPPED = counter(
    "perflab_watches_skipped_total", "Due watches without a new job: the last one still ran.", "engine", unit="{watch}"
)
BACKED_OFF = counter(
    "perflab_watches_backed_off_total", "Due watches without a job after failed ingests.", "engine", unit="{watch}"
)
LATE = counter("perflab_watches_late_total", "Due watches that had missed a whole slot.", "engine", unit="{watch}")
ROUND_TRIPS = counter("perflab_tick_round_trips_total", "Round trips of ticks.", "engine", unit="{round_trip}")
DURATION = distribution("perflab_tick_duration_seconds", "How long a tick took.", "engine")
LAG = distribution("perflab_tick_lag_seconds", "How overdue the oldest slot was, of ticks that found one.", "engine")
LAST = gauge(
    "perflab_last_tick_timestamp_seconds", "When this process ended its last tick, since 1970.", "engine", unit="s"
)

METRICS: tuple[Metric, ...] = (
    TICKS,
    FAILURES,
    DUE,
    ENQUEUED,
    SKIPPED,
    BACKED_OFF,
    LATE,
    ROUND_TRIPS,
    DURATION,
    LAG,
    LAST,
)


class TickInstrument:
    """Counts ticks of one engine. Its registry holds the lock."""

    def __init__(self) -> None:
        self._ticks = self._failures = self._due = self._enqueued = self._skipped = self._backed_off = 0
        self._late = self._round_trips = 0
        self._durations, self._lags = DistributionRecorder(), DistributionRecorder()
        self._last: float | None = None

    def add(self, tick: TickCompleted, now: float) -> None:
        self._ticks += 1
        self._due += tick.due
        self._enqueued += tick.enqueued
        self._skipped += tick.skipped
        self._backed_off += tick.backed_off
        self._late += tick.late
        self._round_trips += tick.round_trips
        self._durations.add(tick.seconds)
        if tick.due:
            self._lags.add(tick.lag_seconds)
        self._last = now

    def add_failure(self, _failure: TickFailed) -> None:
        self._failures += 1

    def collect(self, builder: SnapshotBuilder, engine: str) -> None:
        """Nothing in a process that has no scheduler."""
        if not self._ticks and not self._failures:
            return
        for metric, value in (
            (TICKS, self._ticks),
            (FAILURES, self._failures),
            (DUE, self._due),
            (ENQUEUED, self._enqueued),
            (SKIPPED, self._skipped),
            (BACKED_OFF, self._backed_off),
            (LATE, self._late),
            (ROUND_TRIPS, self._round_trips),
        ):
            builder.count(metric, value, engine)
        builder.distribute(DURATION, self._durations.distribution(), engine)
        builder.distribute(LAG, self._lags.distribution(), engine)
        if self._last is not None:
            builder.latest(LAST, self._last, engine)
