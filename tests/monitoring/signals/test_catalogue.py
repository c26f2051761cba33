"""Signals on changes that are written down by hand, and their expressions."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from perflab.database.database import Database
from perflab.events import (
    CacheAsked,
    Cause,
    FlushFailed,
    JobsFinished,
    LeasesRescued,
    Outcome,
    TickCompleted,
    TickFailed,
)
from perflab.monitoring.catalogue import CATALOGUE
from perflab.monitoring.change import Change, Window
from perflab.monitoring.instruments import ticks
from perflab.monitoring.instruments.databases import POOL_WAITING
from perflab.monitoring.metric import MetricKind
from perflab.monitoring.registry import MetricsRegistry
from perflab.monitoring.signals.catalogue import SIGNALS
from perflab.monitoring.signals.readings import Values
from perflab.monitoring.table_state import JOBS, OLDEST, OVERDUE
from tests.monitoring.flushes import FAILURE, FLUSH
from tests.monitoring.snapshots import change_of

SQLITE, MAIL = (("engine", "sqlite"),), (("queue", "mail"),)


def measured(signal: str, window: Window) -> Values:
    return SIGNALS[signal].reading.measure(window, SIGNALS[signal].by)


def window_of(*events: object) -> Window:
    registry = MetricsRegistry(clock=lambda: 1_000.0)
    with Database.open("sqlite://") as database, registry.observing(database):
        for event in events:
            database.events.emit(event)  # type: ignore[arg-type]  # whatever it is
        return Window(Change(940.0, 1_000.0, registry.snapshot()), {})


RETRIED = replace(FLUSH, outcome=Outcome.RETRIED, delivered=0, round_trips_unbatched=0)
FULL = replace(FLUSH, items=100, cause=Cause.COUNT, seconds=0.4)
TICK = TickCompleted(due=1, enqueued=1, skipped=0, late=0, round_trips=1, seconds=0.01, lag_seconds=2.0)


@pytest.mark.parametrize(
    ("signal", "events", "values"),
    [
        ("batch_utilisation", [FLUSH, FULL], {SQLITE: 0.9}),
        ("timer_flush_share", [FLUSH, FULL, FULL], {SQLITE: 1 / 3}),
        ("round_trips_saved_share", [FLUSH], {SQLITE: 1 - 3 / 240}),
        ("flush_p99_seconds", [FLUSH, FULL], {SQLITE: 0.4}),
        ("flush_wait_p99_seconds", [FLUSH], {SQLITE: 0.01}),
        ("flush_retry_share", [FLUSH, RETRIED, replace(FLUSH, attempt=2)], {SQLITE: 1 / 3}),
        ("flushes", [FLUSH, replace(FLUSH, attempt=2)], {SQLITE: 1.0}),
        ("items_delivered", [FLUSH, FLUSH], {SQLITE: 160.0}),
        ("items_failed", [FAILURE], {SQLITE: 2.0}),
        ("jobs_done", [JobsFinished("mail", done=3)], {MAIL: 3.0}),
        ("jobs_died", [JobsFinished("mail", dead=1), LeasesRescued("mail", ready=4, dead=2)], {MAIL: 3.0}),
        ("leases_rescued", [LeasesRescued("mail", ready=4, dead=2)], {MAIL: 6.0}),
        ("tick_lag_p99_seconds", [TICK], {SQLITE: 2.0}),
        ("tick_age_seconds", [TICK], {SQLITE: 0.0}),
        ("tick_failures", [TickFailed("TransientError")], {SQLITE: 1.0}),
        ("cache_hit_share", [CacheAsked("airports", 6, 0, 0, 1, 1)], {(("cache", "airports"),): 0.75}),
        ("batch_utilisation", [], {}),
        ("flush_p99_seconds", [], {}),
        ("round_trips_saved_share", [RETRIED], {}),
    ],
)
def test_values_of_events(signal: str, events: list[FlushFailed], values: Values) -> None:
    found = {labels: value for labels, value in measured(signal, window_of(*events)).items() if value or values}
    assert found == pytest.approx(values, rel=0.01)


def test_values_of_tables() -> None:
    ready = (JOBS, "mail ready")
    change = change_of(0.0, 60.0, gauges={(OLDEST, "mail"): 90.0, (OVERDUE, ""): 7.0, ready: 130.0})
    window = Window(change, change_of(0.0, 0.0, gauges={ready: 10.0}).counted.gauges)
    assert measured("queue_age_seconds", window) == {MAIL: 90.0}
    assert measured("watch_overdue_seconds", window) == {(): 7.0}
    assert measured("backlog", window) == {MAIL: 130.0}
    assert measured("backlog_growth", window) == {MAIL: 2.0}
    waiting = change_of(0.0, 60.0, gauges={(POOL_WAITING, "sqlite"): 3.0})
    assert measured("pool_waiting_threads", Window(waiting, {})) == {SQLITE: 3.0}
    assert measured("backlog_growth", Window(change, {})) == {}, "nothing is known of before"
    assert measured("tick_age_seconds", Window(change_of(0.0, 60.0, gauges={(ticks.LAST, "x"): 48.5}), {})) == {
        (("engine", "x"),): 11.5
    }


SUFFIXES = {MetricKind.DISTRIBUTION: ("_bucket", "_sum", "_count")}


@pytest.mark.parametrize("signal", SIGNALS.values(), ids=lambda signal: signal.name)
def test_expressions_name_what_is_exported(signal: object) -> None:
    expression = SIGNALS[signal.name].reading.expression(signal.by, 300)  # type: ignore[attr-defined]
    exported = {
        f"{metric.name}{suffix}": metric for metric in CATALOGUE.values() for suffix in SUFFIXES.get(metric.kind, ("",))
    }
    selectors = re.findall(r"(perflab_\w+)(?:\{([^}]*)\})?", expression)
    assert selectors
    for name, conditions in selectors:
        metric = exported[name]
        assert set(signal.by) <= set(metric.labels)  # type: ignore[attr-defined]
        assert {condition.partition("=")[0] for condition in conditions.split(", ") if condition} <= set(metric.labels)
