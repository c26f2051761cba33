"""A batcher at a constant load, somebody who holds its table now and then, and rules that are to tell."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, Table, insert

from perflab.batching.batcher import RequestBatcher
from perflab.database.database import Database
from perflab.errors import WrongAnswer
from perflab.lab.alert_delay.findings import AlertFindings
from perflab.lab.alert_delay.plan import WATCHED, AlertPlan
from perflab.lab.sweep.environment import read_environment
from perflab.lab.sweep.fresh import FreshDatabase
from perflab.lab.sweep.target import open_engine
from perflab.monitoring.alerts.evaluation import AlertEvaluator
from perflab.monitoring.change import Change, ChangeTracker
from perflab.monitoring.overview import Overview
from perflab.monitoring.registry import MetricsRegistry
from perflab.monitoring.source import Source, of_process

EVENTS = Table("events", MetaData(), Column("id", BigInteger, primary_key=True, autoincrement=False))
BATCH_SIZE, FLUSH_INTERVAL_SECONDS = 50, 0.02
PAUSE_SECONDS, STEP_SECONDS = 0.01, 0.002


def measure_alerts(plan: AlertPlan, url: str | None = None) -> AlertFindings:
    """Run the service through all episodes.

    Args:
        plan: what to do.
        url: of the user's own PostgreSQL server, where everything happens in a scratch schema; None: SQLite, or an
            embedded server.

    Raises:
        WrongAnswer: not each item was written once.
        MissingExtra, DatabaseUnusable: the engine is not there.
    """
    with open_engine(plan.engine, plan.durability, url) as target, target.fresh(None) as fresh:
        environment = {**read_environment(Path(tempfile.gettempdir())), **target.environment()}
        with fresh.direct.transaction() as connection:
            EVENTS.metadata.create_all(connection)
        looks, changes = _watch(plan, fresh)
        (found,) = fresh.direct.fetch("SELECT count(*), count(DISTINCT id) FROM events")
    if found != (plan.items, plan.items):
        raise WrongAnswer(f"(rows, ids) are {found}, and not {(plan.items, plan.items)}")
    return AlertFindings(plan, looks, changes, environment)


def _watch(plan: AlertPlan, fresh: FreshDatabase) -> tuple[list[dict[str, Any]], Sequence[Change]]:
    registry, evaluator, tracker = MetricsRegistry(), AlertEvaluator(plan.rules), ChangeTracker()
    source, changes, rows = of_process(registry), [], []
    with (
        registry.observing(fresh.measured),
        _disturber(plan, fresh.url) as is_disturbed,
        RequestBatcher(fresh.measured, batch_size=BATCH_SIZE, flush_interval=FLUSH_INTERVAL_SECONDS) as batcher,
    ):
        evaluator.evaluate(_change(tracker, source))
        start, submitted = time.monotonic(), 0
        for look in range(plan.looks):
            (is_disturbed.set if plan.is_disturbed(look) else is_disturbed.clear)()
            end = start + (look + 1) * plan.look_seconds
            while (now := time.monotonic()) < end:
                due = min(plan.items, int((now - start) * plan.items_per_second))
                for number in range(submitted, due):
                    batcher.submit(insert(EVENTS), {"id": number})
                submitted = max(submitted, due)
                time.sleep(STEP_SECONDS)
            change = _change(tracker, source)
            evaluator.evaluate(change)
            changes.append(change)
            rows.append(_row(plan, look, change, evaluator))
        for number in range(submitted, plan.items):
            batcher.submit(insert(EVENTS), {"id": number})
    return rows, changes


def _change(tracker: ChangeTracker, source: Source) -> Change:
    return tracker.change(source(), time.time())


def _row(plan: AlertPlan, look: int, change: Change, evaluator: AlertEvaluator) -> dict[str, Any]:
    overview = Overview.of(change.counted)
    firing = [alert.rule.name for alert in evaluator.alerts if alert.fired_at is not None]
    return {
        "look": look,
        "measured_at": datetime.fromtimestamp(change.ended_at, UTC),
        "seconds": (look + 1) * plan.look_seconds,
        "is_disturbed": plan.is_disturbed(look),
        "items_per_second": overview.items / change.seconds if change.seconds else 0.0,
        "flush_p99_seconds": overview.flush_p99_seconds if overview.flushes else None,
        "is_firing": WATCHED in firing,
        "others_firing": ", ".join(name for name in firing if name != WATCHED),
    }


@contextmanager
def _disturber(plan: AlertPlan, url: str) -> Iterator[threading.Event]:
    """While the event is set, a connection of its own holds the table most of the time."""
    is_disturbed, stop = threading.Event(), threading.Event()

    def disturb() -> None:
        with Database.open(url) as database:
            while not stop.is_set():
                if not is_disturbed.wait(PAUSE_SECONDS):
                    continue
                with database.transaction() as connection:  # on SQLite this alone holds it
                    if database.engine_name == "postgresql":
                        connection.exec_driver_sql("LOCK TABLE events IN EXCLUSIVE MODE")
                    stop.wait(plan.hold_seconds)
                stop.wait(PAUSE_SECONDS)

    thread = threading.Thread(target=disturb, name="perflab-disturber")
    thread.start()
    try:
        yield is_disturbed
    finally:
        stop.set()
        thread.join()
