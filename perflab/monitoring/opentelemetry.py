"""Metrics for OpenTelemetry, through instruments of its API: the SDK, views and exporters of an application see them as
its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import repeat
from typing import TYPE_CHECKING, TypeAlias

from perflab.database.database import Database
from perflab.errors import MissingExtra
from perflab.monitoring.catalogue import CATALOGUE
from perflab.monitoring.change import ChangeTracker
from perflab.monitoring.metric import Metric, MetricKind, Series, gauge
from perflab.monitoring.registry import MetricsRegistry
from perflab.monitoring.snapshot import Snapshot
from perflab.monitoring.source import OutageTolerantReader, Source, of_database, of_process
from perflab.version import __version__

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Meter, MeterProvider, Observation

    Observe: TypeAlias = Callable[[CallbackOptions], Iterable[Observation]]

logger = logging.getLogger(__name__)

UP = gauge("perflab_up", "1 if what is shown here could be read.", unit="")


def export_to_opentelemetry(measured: MetricsRegistry | Database, meter_provider: MeterProvider | None = None) -> None:
    """Make all metrics instruments of an OpenTelemetry meter named `perflab`, for as long as its provider lives.

        with monitored(db) as registry:
            export_to_opentelemetry(registry)

    What is exported, how often and where to is the provider's. Counts begin with zero now, so call this before the work
    begins, and once: each call counts for itself. Names become `perflab.flushes` or `perflab.flush_duration` in `s`,
    which Prometheus turns back into those that `perflab metrics` has, so that dashboards and alert rules hold for both.
    `perflab.up` is 0 while a database cannot be read.

    Args:
        measured: the registry of this process, or a database: then how its tables are, and what all processes count
            that publish into it, added up. Have one process export a database, or it is counted twice.
        meter_provider: of the SDK; without it the global one (`opentelemetry.metrics.get_meter_provider()`).

    Raises:
        MissingExtra: opentelemetry-api is not installed.
    """
    try:
        from opentelemetry.metrics import get_meter  # noqa: PLC0415  # of an extra
    except ImportError as error:
        raise MissingExtra(
            "OpenTelemetry needs the packages opentelemetry-api and -sdk: pip install 'perflab[otel]'"
        ) from error
    read = of_process(measured) if isinstance(measured, MetricsRegistry) else of_database(measured)
    _Instruments(get_meter("perflab", __version__, meter_provider=meter_provider), read)


def opentelemetry_name(metric: Metric) -> str:
    """A namespace, a dot, and neither unit nor `total`, which are added where Prometheus gets them
    (https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/).
    """
    return metric.name.removesuffix("_total").removesuffix("_seconds").replace("_", ".", 1)


class _Instruments:
    """The instruments of one meter, which tell what happened since they were last collected.

    There is no observable histogram, and the SDK for Python cannot be given one that is filled already
    (https://github.com/open-telemetry/opentelemetry-python/issues/4768). So what was seen since the last time is
    recorded when it is asked for, value by value, out of the buckets in which it was counted: the same counts, bounds
    and sum as for Prometheus. A collection calls observers before it looks at what was recorded, and the first of them
    is `perflab.up`.
    """

    def __init__(self, meter: Meter, read: Source, clock: Callable[[], float] = time.time) -> None:
        self._reader = OutageTolerantReader(read, UP.name)
        self._clock = clock
        self._lock = threading.Lock()
        self._changes = ChangeTracker()
        self._gauges: Mapping[Series, float] = {}
        self._unknown: set[str] = set()
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        meter.create_observable_gauge(opentelemetry_name(UP), [self._up], UP.unit, UP.help)
        for metric in CATALOGUE.values():
            self._create(meter, metric)
        self._look()

    def _create(self, meter: Meter, metric: Metric) -> None:
        name = opentelemetry_name(metric)
        if metric.kind is MetricKind.COUNTER:
            self._counters[metric.name] = meter.create_counter(name, metric.unit, metric.help)
        elif metric.kind is MetricKind.DISTRIBUTION:
            self._histograms[metric.name] = meter.create_histogram(
                name, metric.unit, metric.help, explicit_bucket_boundaries_advisory=metric.bounds
            )
        elif metric.unit.startswith("{"):  # of things, whose numbers add up
            meter.create_observable_up_down_counter(name, [self._observer(metric)], metric.unit, metric.help)
        else:
            meter.create_observable_gauge(name, [self._observer(metric)], metric.unit, metric.help)

    def _up(self, _options: CallbackOptions) -> Iterable[Observation]:
        from opentelemetry.metrics import Observation  # noqa: PLC0415  # of an extra

        return [Observation(1 if self._look() else 0)]

    def _observer(self, metric: Metric) -> Observe:
        def observe(_options: CallbackOptions) -> Iterable[Observation]:
            from opentelemetry.metrics import Observation  # noqa: PLC0415  # of an extra

            return [
                Observation(value, dict(series.labels))
                for series, value in self._gauges.items()
                if series.metric == metric.name
            ]

        return observe

    def _look(self) -> bool:
        """Record what happened since the last look; false where it cannot be read now."""
        with self._lock:
            found = self._reader.read()
            if found is None:
                self._gauges = {}
                return False
            happened = self._changes.change(found, self._clock()).counted
            self._gauges = happened.gauges
            self._record(happened)
            return True

    def _record(self, happened: Snapshot) -> None:
        for series, increase in happened.counters.items():
            if (counter := self._counters.get(series.metric)) is not None:
                counter.add(increase, dict(series.labels))
        for series, seen in happened.distributions.items():
            if (histogram := self._histograms.get(series.metric)) is not None:
                labels = dict(series.labels)
                for value, times in seen.values(CATALOGUE[series.metric].bounds):
                    for same in repeat(value, times):
                        histogram.record(same, labels)
        self._warn_of(series.metric for series in (*happened.counters, *happened.gauges, *happened.distributions))

    def _warn_of(self, names: Iterable[str]) -> None:
        """What a process of another version publishes has no instrument here."""
        unknown = {name for name in names if name not in CATALOGUE} - self._unknown
        if unknown:
            logger.warning("not exported, for another version of perflab counts it: %s", ", ".join(sorted(unknown)))
        self._unknown |= unknown
