"""Snapshots as Prometheus reads them, by its own client library."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Self
from wsgiref.simple_server import WSGIServer

from perflab.errors import InvalidInput, MissingExtra
from perflab.monitoring.catalogue import CATALOGUE
from perflab.monitoring.distribution import Distribution
from perflab.monitoring.metric import Metric, MetricKind, Series
from perflab.monitoring.source import Labelled, OutageTolerantReader, Source

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric as Family

UP = "perflab_up"


def collector_registry(read: Source) -> CollectorRegistry:
    """A registry of its own for prometheus_client, to be served by it or mounted into an application:
    `prometheus_client.make_asgi_app(registry=collector_registry(of_process(registry)))`.

    `perflab_up` is 0 while the database cannot be read; the other metrics are missing then.

    Raises:
        MissingExtra: prometheus_client is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry  # noqa: PLC0415  # of an extra
    except ImportError as error:
        raise MissingExtra("Prometheus needs the package prometheus-client: pip install 'perflab[metrics]'") from error
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_SnapshotCollector(read))
    return registry


class MetricsServer:
    """Serves a registry over HTTP until it is closed. `port` is the one that was bound, also where 0 was asked for.

    Raises:
        InvalidInput: the address cannot be bound.
    """

    def __init__(self, registry: CollectorRegistry, host: str = "127.0.0.1", port: int = 9464) -> None:
        from prometheus_client import start_http_server  # noqa: PLC0415  # of an extra

        try:
            server, thread = start_http_server(port, host, registry)
        except OSError as error:
            raise InvalidInput(
                f"metrics cannot be served at {host}:{port} ({error.strerror}): give another address"
            ) from error
        self._server: WSGIServer = server
        self._thread: threading.Thread = thread
        self.host, self.port = host, server.server_port

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Serve no longer."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _SnapshotCollector:
    """Reads when it is asked, once at a time."""

    def __init__(self, read: Source) -> None:
        self._reader = OutageTolerantReader(read, UP)
        self._lock = threading.Lock()

    def collect(self) -> Iterator[Family]:
        from prometheus_client.metrics_core import GaugeMetricFamily  # noqa: PLC0415  # of an extra

        with self._lock:
            found = self._reader.read()
        yield GaugeMetricFamily(UP, "1 if what is shown here could be read.", value=0.0 if found is None else 1.0)
        yield from _families(found or ())


def _families(found: Iterable[Labelled]) -> Iterable[Family]:
    """The series of all snapshots, together with those of their name."""
    families: dict[str, Family] = {}
    for snapshot, labels in found:
        for series, value in snapshot.counters.items():
            _family(families, series, MetricKind.COUNTER).add_sample(series.metric, _labels(series, labels), value)
        for series, value in snapshot.gauges.items():
            _family(families, series, MetricKind.GAUGE).add_sample(series.metric, _labels(series, labels), value)
        for series, seen in snapshot.distributions.items():
            _add_histogram(
                _family(families, series, MetricKind.DISTRIBUTION), series.metric, _labels(series, labels), seen
            )
    return families.values()


def _family(families: dict[str, Family], series: Series, kind: MetricKind) -> Family:
    from prometheus_client.metrics_core import Metric as Family  # noqa: PLC0415  # of an extra

    if (family := families.get(series.metric)) is None:
        name = series.metric.removesuffix("_total") if kind is MetricKind.COUNTER else series.metric
        family = families[series.metric] = Family(name, _metric(series.metric, kind).help, _TYPES[kind])
    return family


def _add_histogram(family: Family, name: str, labels: dict[str, str], seen: Distribution) -> None:
    for bound in _metric(name, MetricKind.DISTRIBUTION).bounds:
        family.add_sample(f"{name}_bucket", {**labels, "le": str(bound)}, seen.at_most(bound))
    family.add_sample(f"{name}_bucket", {**labels, "le": "+Inf"}, seen.count)
    family.add_sample(f"{name}_sum", labels, seen.total)
    family.add_sample(f"{name}_count", labels, seen.count)


def _metric(name: str, kind: MetricKind) -> Metric:
    """As the catalogue has it; what a process of another version publishes is shown, too."""
    return CATALOGUE.get(name) or Metric(name, kind, "Of another version of perflab.")


def _labels(series: Series, further: Mapping[str, str]) -> dict[str, str]:
    return {**dict(series.labels), **further}


_TYPES = {MetricKind.COUNTER: "counter", MetricKind.GAUGE: "gauge", MetricKind.DISTRIBUTION: "histogram"}
