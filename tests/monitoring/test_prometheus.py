"""What Prometheus reads, by the text parser of its client library."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from perflab.database.database import Database
from perflab.errors import InvalidInput, StatementError
from perflab.events import Cause, JobsEnqueued
from perflab.monitoring.catalogue import CATALOGUE
from perflab.monitoring.metric import MetricKind
from perflab.monitoring.prometheus import MetricsServer, collector_registry
from perflab.monitoring.publishing import MetricsPublisher
from perflab.monitoring.registry import MetricsRegistry
from perflab.monitoring.source import Labelled, Source, of_database, of_process
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue
from tests.monitoring.flushes import FLUSH

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def db(perflab_url: str) -> Iterator[Database]:
    with Database.open(perflab_url) as opened:
        yield opened


def scraped(read: Source) -> Samples:
    text = generate_latest(collector_registry(read)).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


@pytest.fixture
def registry() -> MetricsRegistry:
    registry = MetricsRegistry()
    with Database.open("sqlite://") as database, registry.observing(database):
        database.events.emit(FLUSH)
        database.events.emit(replace(FLUSH, items=100, cause=Cause.COUNT, seconds=0.2))
        database.events.emit(JobsEnqueued('odd "name" \\ \n', 7))
    return registry


def test_counters_and_histograms_are_read_as_they_were_counted(registry: MetricsRegistry) -> None:
    samples = scraped(of_process(registry))
    assert samples[key("perflab_flushes_total", engine="sqlite", cause="age")] == 1
    assert samples[key("perflab_flushes_total", engine="sqlite", cause="close")] == 0, "a rate begins with a zero"
    assert samples[key("perflab_jobs_enqueued_total", engine="sqlite", queue='odd "name" \\ \n')] == 7
    assert samples[key("perflab_batch_items_sum", engine="sqlite")] == 180
    assert samples[key("perflab_batch_items_bucket", engine="sqlite", le="50.0")] == 0
    assert samples[key("perflab_batch_items_bucket", engine="sqlite", le="100.0")] == 2, "its bound is in a bucket"
    assert samples[key("perflab_flush_duration_seconds_bucket", engine="sqlite", le="0.005")] == 1
    assert samples[key("perflab_flush_duration_seconds_bucket", engine="sqlite", le="+Inf")] == 2
    assert samples[key("perflab_flush_duration_seconds_count", engine="sqlite")] == 2
    assert samples[key("perflab_up")] == 1


def test_the_text_is_valid_openmetrics_too(registry: MetricsRegistry) -> None:
    text = generate_openmetrics(collector_registry(of_process(registry))).decode()
    names = {family.name for family in parse_openmetrics(text)}
    assert {"perflab_flushes", "perflab_batch_items", "perflab_up"} <= names


def test_names_follow_the_conventions() -> None:
    for name, metric in CATALOGUE.items():
        assert name.startswith("perflab_")
        assert name.endswith("_total") is (metric.kind is MetricKind.COUNTER), name
        assert metric.help.endswith(".")
        assert (metric.kind is MetricKind.DISTRIBUTION) is bool(metric.bounds), name
        assert list(metric.bounds) == sorted(set(metric.bounds))
        assert not {"le", "quantile", "process", "instance", "job"} & set(metric.labels), name


def test_a_database_shows_its_tables_and_what_processes_publish(db: Database) -> None:
    registry = MetricsRegistry()
    queue: PriorityQueue[int, bool] = PriorityQueue(db, name="mail")
    with registry.observing(db), MetricsPublisher(registry, db, interval=600.0) as publisher:
        queue.bulk_enqueue([NewJob(n) for n in range(3)])
        publisher.publish()
        samples = scraped(of_database(db))
    assert samples[key("perflab_queue_jobs", queue="mail", state="ready")] == 3
    assert (
        samples[key("perflab_jobs_enqueued_total", engine=db.engine_name, queue="mail", process=publisher.process)] == 3
    )


def test_a_database_that_cannot_be_read_is_down_and_said_once(
    perflab_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Database.open(perflab_url) as database:
        read, is_broken = of_database(database), True

        def read_or_fail() -> Iterable[Labelled]:
            if is_broken:
                raise StatementError("no such table")
            return read()

        registry = collector_registry(read_or_fail)
        for _ in range(3):
            assert b"perflab_up 0.0" in generate_latest(registry)
        assert caplog.text.count("cannot be read") == 1
        assert "no such table" in caplog.text
        is_broken = False
        assert b"perflab_up 1.0" in generate_latest(registry)


def test_it_is_served_over_http_and_ends(registry: MetricsRegistry) -> None:
    with MetricsServer(collector_registry(of_process(registry)), port=0) as server:
        url = f"http://{server.host}:{server.port}/metrics"
        with urllib.request.urlopen(url, timeout=60) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=")
            assert b"perflab_flushes_total" in answer.read()
        with pytest.raises(InvalidInput, match="another address"):
            MetricsServer(collector_registry(of_process(registry)), port=server.port)
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, timeout=60)
