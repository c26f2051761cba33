"""What is measured: a name, a unit and labels, by the conventions of Prometheus."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class MetricKind(StrEnum):
    COUNTER = "counter"
    """It only grows while the process lives."""
    GAUGE = "gauge"
    """How it is now."""
    DISTRIBUTION = "distribution"
    """How often which value was seen."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One family of series.

    Names follow https://prometheus.io/docs/practices/naming/: base units, spelled out at the end; `_total` where it is
    counted.
    """

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    """Of a distribution: the upper bounds of the buckets that are exported, ascending."""
    unit: str = ""
    """As OpenTelemetry writes it: `s`, `By`, or what is counted, such as `{flush}`; none where it is yes or no.

    https://opentelemetry.io/docs/specs/semconv/general/metrics/#instrument-units
    """


class Series(NamedTuple):
    """One of the series of a metric."""

    metric: str
    labels: tuple[tuple[str, str], ...] = ()
    """Pairs of name and value, in the order that the metric declares."""


SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
"""Half a millisecond, about a commit to a fast disk, to a minute, in which nobody waits any more."""
ITEMS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0, 50_000.0)


def counter(name: str, text: str, *labels: str, unit: str) -> Metric:
    return Metric(name, MetricKind.COUNTER, text, labels, unit=unit)


def gauge(name: str, text: str, *labels: str, unit: str) -> Metric:
    return Metric(name, MetricKind.GAUGE, text, labels, unit=unit)


def distribution(name: str, text: str, *labels: str, bounds: tuple[float, ...] = SECONDS, unit: str = "s") -> Metric:
    return Metric(name, MetricKind.DISTRIBUTION, text, labels, bounds, unit)
