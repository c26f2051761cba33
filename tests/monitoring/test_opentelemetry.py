"""What an OpenTelemetry SDK collects, beside what Prometheus reads of the same source."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
from opentelemetry.sdk.metrics import Counter as SdkCounter
from opentelemetry.sdk.metrics import Histogram as SdkHistogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    InMemoryMetricReader,
    Metric,
    NumberDataPoint,
    Sum,
)

import perflab
from perflab.database.database import Database
from perflab.errors import MissingExtra, StatementError
from perflab.events import (
    CacheAsked,
    CacheWarmed,
    Cause,
    Event,
    JobsClaimed,
    JobsEnqueued,
    JobsFinished,
    LeasesRescued,
    TickCompleted,
    TickFailed,
)
from perflab.monitoring import metric as metrics
from perflab.monitoring.catalogue import CATALOGUE
from perflab.monitoring.metric import MetricKind
from perflab.monitoring.opentelemetry import _Instruments, export_to_opentelemetry, opentelemetry_name
from perflab.monitoring.publishing import MetricsPublisher
from perflab.monitoring.registry import MetricsRegistry
from perflab.monitoring.snapshot import SnapshotBuilder
from perflab.monitoring.source import Labelled, of_database, of_process
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue
from perflab.scheduler.scheduler import Scheduler
from tests.monitoring.flushes import FAILURE, FLUSH
from tests.monitoring.test_prometheus import Samples, key, scraped

EVENTS: tuple[Event, ...] = (
    FLUSH,
    replace(FLUSH, items=100, cause=Cause.COUNT, seconds=0.2, bytes=9),
    replace(FLUSH, items=500, capacity=500, seconds=0.005, waited=0.0),
    replace(FLUSH, items=61_234, capacity=90_000, seconds=99.0, waited=0.0123),
    FAILURE,
    JobsEnqueued("mail", 7),
    JobsClaimed("mail", 4, 0.002, 3.0),
    JobsFinished("mail", done=2, retried=1, dead=1),
    LeasesRescued("mail", ready=3, dead=1),
    TickCompleted(4, 2, 1, 1, 3, 0.01, 1, 8.0),
    TickFailed("TransientError"),
    CacheAsked("airports", hits=6, stale=1, waited=1, misses=1, failed=1),
    CacheWarmed("airports", keys=9, read=4, round_trips=2, seconds=0.5),
)


@pytest.fixture
def db(perflab_url: str) -> Iterator[Database]:
    with Database.open(perflab_url) as opened:
        yield opened


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def provider(reader: InMemoryMetricReader) -> Iterator[MeterProvider]:
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    yield provider
    provider.shutdown()


def collected(reader: InMemoryMetricReader) -> dict[str, Metric]:
    data = reader.get_metrics_data()
    assert data is not None
    (scope,) = data.resource_metrics[0].scope_metrics
    assert (scope.scope.name, scope.scope.version) == ("perflab", perflab.__version__)
    return {metric.name: metric for metric in scope.metrics}


def as_prometheus_has_it(found: dict[str, Metric]) -> Samples:
    """By the rules that the specification of OpenTelemetry has for it: dots become `_`, `s` becomes `_seconds`, what is
    in braces goes away, sums get `_total`, and counts of buckets are added up.
    """
    samples: Samples = {}
    for metric in found.values():
        name = metric.name.replace(".", "_") + ("_seconds" if metric.unit == "s" else "")
        name += "_total" if isinstance(metric.data, Sum) and metric.data.is_monotonic else ""
        for point in metric.data.data_points:
            labels = {name: str(value) for name, value in (point.attributes or {}).items()}
            if isinstance(point, HistogramDataPoint):
                bounds, reached = [*map(str, point.explicit_bounds), "+Inf"], 0
                for bound, count in zip(bounds, point.bucket_counts, strict=True):
                    reached += count
                    samples[key(f"{name}_bucket", **labels, le=bound)] = reached
                samples[key(f"{name}_sum", **labels)] = point.sum
                samples[key(f"{name}_count", **labels)] = point.count
            else:
                assert isinstance(point, NumberDataPoint)
                samples[key(name, **labels)] = point.value
    return samples


def test_each_metric_of_a_process_is_what_prometheus_reads(
    db: Database, provider: MeterProvider, reader: InMemoryMetricReader
) -> None:
    registry = MetricsRegistry()
    with registry.observing(db):
        round_trips = key("perflab_database_round_trips_total", engine=db.engine_name)
        before = scraped(of_process(registry))[round_trips]
        export_to_opentelemetry(registry, provider)
        for event in EVENTS:
            db.events.emit(event)
        for _ in range(2):  # a second collection adds nothing
            expected = scraped(of_process(registry))
            expected[round_trips] -= before
            assert as_prometheus_has_it(collected(reader)) == pytest.approx(expected, rel=1e-9)


def test_each_metric_of_a_database_is_what_prometheus_reads(
    db: Database, provider: MeterProvider, reader: InMemoryMetricReader
) -> None:
    queue: PriorityQueue[int, bool] = PriorityQueue(db, name="mail")
    export_to_opentelemetry(db, provider)
    registry = MetricsRegistry()
    with registry.observing(db), MetricsPublisher(registry, db, interval=600.0) as publisher:
        queue.bulk_enqueue([NewJob(n) for n in range(3)])
        Scheduler(db, queue).tick()
        for event in EVENTS:
            db.events.emit(event)
        publisher.publish()
        found = collected(reader)
        assert {metric.name for metric in found.values()} == {
            "perflab.up",
            *(opentelemetry_name(metric) for metric in CATALOGUE.values()),
        }, "each of the catalogue was seen"
        expected = {
            (name, frozenset(label for label in labels if label[0] != "process")): value
            for (name, labels), value in scraped(of_database(db)).items()
        }
        samples = as_prometheus_has_it(found)
        moving = {sample for sample in samples if "due_seconds" in sample[0]}  # how long until now
        assert moving
        assert {sample: samples[sample] for sample in samples.keys() - moving} == pytest.approx(
            {sample: expected[sample] for sample in expected.keys() - moving}, rel=1e-9
        )


@pytest.mark.parametrize("metric", CATALOGUE.values(), ids=lambda metric: metric.name)
def test_kinds_names_and_units_follow_the_conventions(metric: metrics.Metric) -> None:
    assert (metric.unit == "s") is metric.name.endswith("_seconds")
    assert (metric.unit == "By") is metric.name.removesuffix("_total").endswith("_bytes")
    assert metric.unit in {"s", "By", ""} or (metric.unit.startswith("{") and metric.unit.endswith("}"))
    assert bool(metric.unit) or metric.kind is MetricKind.GAUGE
    namespace, name = opentelemetry_name(metric).split(".")
    assert namespace == "perflab"
    assert not name.endswith(("_total", "_seconds"))


def test_what_adds_up_is_a_sum_and_what_does_not_a_gauge(
    db: Database, provider: MeterProvider, reader: InMemoryMetricReader
) -> None:
    PriorityQueue[int, bool](db, name="mail").bulk_enqueue([NewJob(1)])
    export_to_opentelemetry(db, provider)
    found = collected(reader)
    jobs, oldest = found["perflab.queue_jobs"], found["perflab.queue_oldest_due"]
    assert isinstance(jobs.data, Sum)
    assert not jobs.data.is_monotonic
    assert jobs.unit == "{job}"
    assert isinstance(oldest.data, Gauge)


def test_differences_are_told_where_the_reader_prefers_them() -> None:
    delta = AggregationTemporality.DELTA
    differences = InMemoryMetricReader(preferred_temporality={SdkCounter: delta, SdkHistogram: delta})
    sums = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[differences, sums], shutdown_on_exit=False)
    registry = MetricsRegistry()
    with Database.open("sqlite://") as database, registry.observing(database):
        export_to_opentelemetry(registry, provider)
        batches = []
        for flushes in (2, 3):
            for _ in range(flushes):
                database.events.emit(FLUSH)
            batches.append([_batches(collected(reader)) for reader in (differences, sums)])
    provider.shutdown()
    assert batches == [[2, 2], [3, 5]]


def _batches(found: dict[str, Metric]) -> int:
    data = found["perflab.batch_items"].data
    assert isinstance(data, Histogram)
    return sum(point.count for point in data.data_points)


def test_what_was_counted_before_is_not_told(provider: MeterProvider, reader: InMemoryMetricReader) -> None:
    registry = MetricsRegistry()
    with Database.open("sqlite://") as database, registry.observing(database):
        database.events.emit(FLUSH)
        export_to_opentelemetry(registry, provider)
        samples = as_prometheus_has_it(collected(reader))
        assert samples[key("perflab_flushes_total", engine="sqlite", cause="age")] == 0
        assert not any(name.startswith("perflab_batch_items") for name, _ in samples)


def test_while_a_database_cannot_be_read_it_is_down_and_then_all_is_told(
    provider: MeterProvider, reader: InMemoryMetricReader, caplog: pytest.LogCaptureFixture
) -> None:
    registry, is_broken = MetricsRegistry(), False

    def read() -> list[Labelled]:
        if is_broken:
            raise StatementError("no such table")
        return [Labelled(registry.snapshot(), {})]

    with Database.open("sqlite://") as database, registry.observing(database):
        _Instruments(provider.get_meter("perflab", perflab.__version__), read)
        is_broken = True
        for _ in range(3):
            database.events.emit(FLUSH)
            found = collected(reader)
            assert as_prometheus_has_it(found)[key("perflab_up")] == 0
            assert "perflab.pool_connections_limit" not in found, "no gauge of a time before"
        assert caplog.text.count("cannot be read") == 1
        is_broken = False
        samples = as_prometheus_has_it(collected(reader))
        assert samples[key("perflab_up")] == 1
        assert samples[key("perflab_flushes_total", engine="sqlite", cause="age")] == 3


def test_what_another_version_counts_is_said_once(
    provider: MeterProvider, reader: InMemoryMetricReader, caplog: pytest.LogCaptureFixture
) -> None:
    builder = SnapshotBuilder()
    builder.count(metrics.counter("perflab_wishes_total", "Of tomorrow.", unit="{wish}"), 1.0)
    _Instruments(
        provider.get_meter("perflab", perflab.__version__), lambda: [Labelled(builder.build(0.0), {"process": "new"})]
    )
    collected(reader)
    assert caplog.text.count("perflab_wishes_total") == 1


def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.metrics", None)
    with pytest.raises(MissingExtra, match=r"pip install 'perflab\[otel\]'"):
        export_to_opentelemetry(MetricsRegistry())
