"""Runs that are really degraded, each in one way: they raise the right alert, and only that."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import wait
from dataclasses import replace

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert

from perflab.batching.batcher import RequestBatcher
from perflab.database.database import Database
from perflab.lab.network.address import TcpAddress
from perflab.lab.network.link import Link
from perflab.lab.network.postgres_url import server_address, url_through
from perflab.lab.network.probe import Probe
from perflab.lab.network.proxy import Proxy
from perflab.monitoring.alerts.rule import AlertRule
from perflab.monitoring.alerts.rule_files import default_rules
from perflab.monitoring.alerts.watch import AlertWatch
from perflab.monitoring.publishing import MetricsPublisher
from perflab.monitoring.registry import MetricsRegistry
from perflab.monitoring.source import of_database
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue
from perflab.scheduler.scheduler import Scheduler

NUMBERS = Table("numbers", MetaData(), Column("id", Integer, primary_key=True))
SLOW_SECONDS = 0.06


def rules(*, are_flushes_watched: bool) -> Iterator[AlertRule]:
    """The default ones, on runs of a few batches. What the machine's speed decides is watched only where it is the
    fault."""
    for rule in default_rules():
        short = replace(rule, for_seconds=0.0, at_least=1 if rule.at_least else None)
        if rule.name == "flushes_slow" and are_flushes_watched:
            yield replace(short, above=SLOW_SECONDS - 0.01, clear=None)
        elif rule.name not in {"flushes_slow", "timer_decides", "batches_empty"} or are_flushes_watched:
            yield short


@pytest.fixture
def db(perflab_url: str) -> Iterator[Database]:
    with Database.open(perflab_url) as opened:
        with opened.transaction() as connection:
            NUMBERS.metadata.create_all(connection)
        yield opened


def fired(watch: AlertWatch) -> list[str]:
    return [alert.rule.name for alert in watch.check()]


def test_a_slow_network_makes_flushes_slow_and_nothing_else(postgres_url: str) -> None:
    with Database.open(postgres_url) as near:
        near.create_schema()
        with near.transaction() as connection:
            NUMBERS.metadata.create_all(connection)
    link = Link(round_trip_seconds=SLOW_SECONDS)
    registry = MetricsRegistry()
    with (
        Database.open(postgres_url) as near,
        Proxy(
            server_address(postgres_url), listen=TcpAddress(), link=link, probe=Probe(pings=10, tolerance_seconds=30.0)
        ) as proxy,
        Database.open(url_through(postgres_url, proxy.address)) as far,
        registry.observing(far),
        MetricsPublisher(registry, near, interval=600.0) as publisher,
        AlertWatch(of_database(near), rules(are_flushes_watched=True), notify=[], interval=600.0) as watch,
    ):
        assert not watch.alerts
        with RequestBatcher(far, batch_size=10, flush_interval=60.0) as batcher:
            wait([batcher.submit(insert(NUMBERS), {"id": number}) for number in range(30)])
        publisher.publish()
        assert fired(watch) == ["flushes_slow"]
        assert watch.alerts[0].value > SLOW_SECONDS * 0.98, "the fault is in the figure"


def test_refused_items_are_told_and_nothing_else(db: Database) -> None:
    registry = MetricsRegistry()
    with (
        registry.observing(db),
        MetricsPublisher(registry, db, interval=600.0) as publisher,
        AlertWatch(of_database(db), rules(are_flushes_watched=False), notify=[], interval=600.0) as watch,
    ):
        with RequestBatcher(db, batch_size=100, flush_interval=60.0) as batcher:
            futures = [batcher.submit(insert(NUMBERS), {"id": number}) for number in [*range(99), 50]]
        assert sum(future.exception() is not None for future in futures) == 1
        publisher.publish()
        assert fired(watch) == ["items_lost"]


def test_a_watch_without_a_scheduler_is_told_and_nothing_else(db: Database) -> None:
    Scheduler(db, PriorityQueue(db, "mail")).add_watch("never", interval=60.0)
    with AlertWatch(of_database(db), rules(are_flushes_watched=False), notify=[], interval=600.0) as watch:
        assert not watch.alerts
        with db.transaction() as connection:
            connection.exec_driver_sql("UPDATE perflab_watches SET next_due_at = next_due_at - 61000000")
        assert fired(watch) == ["no_tick"]
        Scheduler(db, PriorityQueue(db, "mail")).tick()
        assert fired(watch) == ["no_tick"]
        assert not watch.alerts, "that was its end"


def test_jobs_without_a_worker_are_told_and_nothing_else(db: Database) -> None:
    with AlertWatch(of_database(db), rules(are_flushes_watched=False), notify=[], interval=600.0) as watch:
        PriorityQueue(db, "mail").bulk_enqueue([NewJob(1)])
        with db.transaction() as connection:
            connection.exec_driver_sql("UPDATE perflab_jobs SET run_at = run_at - 301000000")
        assert [name for name in fired(watch) if name != "backlog_growing"] == ["queue_old"]


def test_jobs_of_lost_workers_are_told_and_nothing_else(db: Database) -> None:
    registry = MetricsRegistry()
    queue: PriorityQueue[int, bool] = PriorityQueue(db, "mail")
    with (
        registry.observing(db),
        MetricsPublisher(registry, db, interval=600.0) as publisher,
        AlertWatch(of_database(db), rules(are_flushes_watched=False), notify=[], interval=600.0) as watch,
    ):
        queue.bulk_enqueue([NewJob(1)])
        queue.claim(1, lease=1.0)
        with db.transaction() as connection:
            connection.exec_driver_sql("UPDATE perflab_jobs SET lease_until = lease_until - 2000000")
        assert queue.rescue_expired()
        publisher.publish()
        assert [name for name in fired(watch) if name != "backlog_growing"] == ["workers_lost"]
