"""What a registry makes of events, from events written down by hand and from real parts on both engines."""

from __future__ import annotations

import threading
from dataclasses import replace
from math import sqrt

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert

from perflab.batching.batcher import RequestBatcher
from perflab.cache.row_cache import RowCache
from perflab.database.database import Database
from perflab.database.load import load
from perflab.errors import LifecycleError, RejectedRow
from perflab.events import (
    CacheAsked,
    CacheWarmed,
    Cause,
    Event,
    JobsClaimed,
    JobsEnqueued,
    JobsFinished,
    LeasesRescued,
    Outcome,
    TickCompleted,
    TickFailed,
)
from perflab.monitoring.catalogue import CATALOGUE
from perflab.monitoring.instruments import caches, databases, flushes, queues, ticks
from perflab.monitoring.metric import MetricKind
from perflab.monitoring.overview import Overview
from perflab.monitoring.registry import MetricsRegistry
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue
from perflab.scheduler.scheduler import Scheduler
from tests.monitoring.flushes import FAILURE, FLUSH

NOW = 1_700_000_000.0
TABLE = Table("sample", MetaData(), Column("n", Integer, primary_key=True))


def registry_after(*events: Event) -> MetricsRegistry:
    registry = MetricsRegistry(clock=lambda: NOW)
    with Database.open("sqlite://") as database, registry.observing(database):
        for event in events:
            database.events.emit(event)
    return registry


def test_flushes_become_an_overview() -> None:
    overview = Overview.of(
        registry_after(
            FLUSH,
            replace(FLUSH, items=100, delivered=98, cause=Cause.COUNT, outcome=Outcome.PARTIAL, seconds=0.1),
            FAILURE,
            replace(FLUSH, delivered=0, round_trips=1, round_trips_unbatched=0, outcome=Outcome.RETRIED, seconds=0.001),
            replace(FLUSH, attempt=2),
        ).snapshot()
    )
    assert (overview.items, overview.failed, overview.retries) == (258, 2, 1)
    assert overview.flushes == 3, "a second attempt is no new batch"
    assert overview.flush_causes == {"age": 2, "count": 1}
    assert overview.mean_batch == pytest.approx(260 / 3)
    assert overview.utilisation == pytest.approx(260 / 300)
    assert (overview.round_trips, overview.round_trips_saved) == (10, 710)
    assert overview.efficiency == pytest.approx(sqrt(260 / 300 * 710 / 720))
    assert overview.flush_p50_seconds == pytest.approx(0.004, rel=1 / 128)
    assert overview.flush_p99_seconds == pytest.approx(0.1, rel=1 / 128)
    assert overview.wait_p99_seconds == pytest.approx(0.01, rel=1 / 128)


def test_jobs_ticks_and_caches_become_an_overview() -> None:
    registry = registry_after(
        JobsEnqueued("mail", 5),
        JobsClaimed("mail", 4, 0.002, 3.0),
        JobsClaimed("mail", 0, 0.001),
        JobsFinished("mail", done=2, retried=1, dead=1),
        JobsFinished("other", stale=1),
        LeasesRescued("mail", ready=3, dead=1),
        TickCompleted(4, 2, 1, 1, 3, 0.01, 1, 8.0),
        TickCompleted(0, 0, 0, 0, 2, 0.01),
        TickFailed("TransientError"),
        CacheAsked("airports", hits=6, stale=1, waited=1, misses=1, failed=1),
        CacheWarmed("airports", keys=9, read=4, round_trips=2, seconds=0.5),
    )
    snapshot, overview = registry.snapshot(), Overview.of(registry.snapshot())
    assert (overview.jobs_done, overview.jobs_retried, overview.jobs_dead, overview.leases_rescued) == (2, 1, 2, 4)
    assert overview.cache_hit_rate == 0.7
    assert overview.tick_lag_p99_seconds == pytest.approx(8.0, rel=1 / 128)
    assert snapshot.counted(queues.ENQUEUED, queue="mail") == 5
    assert snapshot.counted_by(queues.FINISHED, "queue") == {"mail": 4, "other": 1}
    assert snapshot.distributed(queues.CLAIM_DURATION, queue="mail").count == 2
    assert snapshot.distributed(queues.CLAIM_WAIT, queue="mail").count == 1, "no job, no wait"
    assert [snapshot.counted(metric) for metric in (ticks.TICKS, ticks.FAILURES, ticks.DUE, ticks.ENQUEUED)] == [
        2,
        1,
        4,
        2,
    ]
    assert [snapshot.counted(metric) for metric in (ticks.SKIPPED, ticks.LATE, ticks.BACKED_OFF)] == [1, 1, 1]
    assert snapshot.distributed(ticks.LAG).count == 1, "a tick that found nothing has no lag"
    assert snapshot.gauged(ticks.LAST) == [NOW]
    assert [snapshot.counted(metric) for metric in (caches.WARMED, caches.READ, caches.ROUND_TRIPS)] == [9, 4, 2]


def test_nothing_done_is_all_zero() -> None:
    overview = Overview.of(MetricsRegistry().snapshot())
    assert (overview.items, overview.flushes, overview.utilisation, overview.efficiency) == (0, 0, 0.0, 0.0)
    assert overview.cache_hit_rate is None


def test_each_series_is_of_the_catalogue_and_of_its_kind() -> None:
    snapshot = registry_after(FLUSH, JobsEnqueued("q", 1), TickCompleted(0, 0, 0, 0, 1, 0.1)).snapshot()
    for kind, found in (
        (MetricKind.COUNTER, snapshot.counters),
        (MetricKind.GAUGE, snapshot.gauges),
        (MetricKind.DISTRIBUTION, snapshot.distributions),
    ):
        for series in found:
            metric = CATALOGUE[series.metric]
            assert metric.kind is kind
            assert tuple(name for name, _ in series.labels) == metric.labels


def test_a_database_is_observed_once_and_released() -> None:
    registry = MetricsRegistry()
    with Database.open("sqlite://") as database:
        registry.observe(database)
        with pytest.raises(LifecycleError, match="observes"):
            registry.observe(database)
        database.events.emit(FLUSH)
        registry.release(database)
        registry.release(database)
        assert not database.events
        database.events.emit(FLUSH)
    assert Overview.of(registry.snapshot()).items == FLUSH.delivered


def test_databases_of_one_engine_add_up() -> None:
    registry = MetricsRegistry()
    with (
        Database.open("sqlite://") as one,
        Database.open("sqlite://") as other,
        registry.observing(one),
        registry.observing(other),
    ):
        one.events.emit(FLUSH)
        other.events.emit(FLUSH)
        snapshot = registry.snapshot()
    assert Overview.of(snapshot).items == 2 * FLUSH.delivered
    assert snapshot.gauged(databases.POOL_SIZE) == [2 * one.most_connections]


def test_threads_lose_no_event() -> None:
    registry = MetricsRegistry()
    with Database.open("sqlite://") as database, registry.observing(database):

        def emit() -> None:
            for _ in range(2_000):
                database.events.emit(FLUSH)

        threads = [threading.Thread(target=emit) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            registry.snapshot()
        for thread in threads:
            thread.join()
    snapshot = registry.snapshot()
    assert snapshot.counted(flushes.DELIVERED) == 8_000 * FLUSH.delivered
    assert snapshot.distributed(flushes.DURATION).count == 8_000


def test_a_batcher_is_counted_as_it_counts_itself(perflab_url: str) -> None:
    registry = MetricsRegistry()
    with Database.open(perflab_url) as database, registry.observing(database):
        with database.transaction() as connection:
            TABLE.create(connection)
        with RequestBatcher(database, batch_size=10, flush_interval=60.0) as batcher:
            futures = [batcher.submit(insert(TABLE), {"n": n % 25}) for n in range(30)]
            batcher.flush()
            own = batcher.metrics()
        refused = [future for future in futures if isinstance(future.exception(), RejectedRow)]
        snapshot = registry.snapshot()
        round_trips = database.round_trips
    overview = Overview.of(snapshot)
    assert len(refused) == 5
    assert (overview.items, overview.failed) == (own.items, own.failed) == (25, 5)
    assert (overview.round_trips, overview.round_trips_saved) == (own.round_trips, own.round_trips_saved)
    assert (overview.utilisation, overview.efficiency) == (own.utilisation, own.efficiency)
    assert overview.flush_causes == own.causes
    assert snapshot.counted(databases.ROUND_TRIPS) == round_trips


def test_a_queue_a_scheduler_and_a_cache_are_counted(perflab_url: str) -> None:
    registry = MetricsRegistry()
    with Database.open(perflab_url) as database, registry.observing(database):
        queue: PriorityQueue[int, bool] = PriorityQueue(database, name="mail")
        queue.bulk_enqueue([NewJob(n, max_attempts=1) for n in range(3)])
        first, *others = queue.claim(limit=3)
        queue.mark_error(first, "no")
        queue.mark_done_bulk(others)
        scheduler = Scheduler(database, queue)
        scheduler.add_watch("w", interval=60.0)
        scheduler.tick()
        with database.transaction() as connection:
            TABLE.create(connection)
            connection.execute(insert(TABLE), [{"n": 1}])
        with RowCache(database, load(TABLE)) as cache:
            cache.get(1)
            cache.get(1)
        overview = Overview.of(registry.snapshot())
    assert (overview.jobs_done, overview.jobs_dead) == (2, 1)
    assert overview.cache_hit_rate == 0.5
    assert overview.tick_lag_p99_seconds >= 0.0


def test_a_pool_in_use_is_seen(perflab_url: str) -> None:
    registry = MetricsRegistry()
    with Database.open(perflab_url) as database, registry.observing(database):
        with database.transaction():
            busy = registry.snapshot()
        idle = registry.snapshot()
    assert busy.gauged(databases.POOL_IN_USE) == [1]
    assert idle.gauged(databases.POOL_IN_USE) == [0]
