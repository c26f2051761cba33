"""All metrics of one moment, as a frozen value with a stable text form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from perflab.errors import InvalidInput
from perflab.monitoring.distribution import Distribution
from perflab.monitoring.metric import Metric, Series

FORM = 1
"""Of the text. A reader refuses another one."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was counted until one moment.

    Two of one process can be subtracted: `later.since(earlier)` is what happened between them.
    """

    taken_at: float
    """Seconds since 1970."""
    counters: Mapping[Series, float]
    gauges: Mapping[Series, float]
    distributions: Mapping[Series, Distribution]

    def since(self, earlier: Snapshot) -> Snapshot:
        """What was counted after an earlier snapshot; gauges stay as they are now.

        A counter that is smaller than it was belongs to a new life of the process, and is taken whole, as Prometheus'
        `increase` does.
        """
        counters = {
            series: value - before if value >= (before := earlier.counters.get(series, 0.0)) else value
            for series, value in self.counters.items()
        }
        distributions = {
            series: seen.since(earlier.distributions.get(series, Distribution()))
            for series, seen in self.distributions.items()
        }
        return replace(self, counters=MappingProxyType(counters), distributions=MappingProxyType(distributions))

    def counted(self, metric: Metric, **labels: str) -> float:
        """The sum of a counter over all series with these labels."""
        values: Iterator[float] = (value for _, value in _chosen(self.counters, metric, labels))
        return sum(values)

    def counted_by(self, metric: Metric, label: str, **labels: str) -> dict[str, float]:
        """The same for each value of one label."""
        sums: dict[str, float] = {}
        for series, value in _chosen(self.counters, metric, labels):
            key = dict(series.labels)[label]
            sums[key] = sums.get(key, 0.0) + value
        return sums

    def gauged(self, metric: Metric, **labels: str) -> list[float]:
        """The values of a gauge in all series with these labels."""
        return [value for _, value in _chosen(self.gauges, metric, labels)]

    def distributed(self, metric: Metric, **labels: str) -> Distribution:
        """The distributions of all series with these labels as one."""
        return sum((seen for _, seen in _chosen(self.distributions, metric, labels)), Distribution())

    def to_json(self) -> str:
        """The stable text form; `from_json` reads it back as an equal value."""
        return json.dumps(
            {
                "form": FORM,
                "taken_at": self.taken_at,
                "counters": [_described(series, value) for series, value in self.counters.items()],
                "gauges": [_described(series, value) for series, value in self.gauges.items()],
                "distributions": [
                    _described(series, {"counts": dict(seen.counts), "total": seen.total})
                    for series, seen in self.distributions.items()
                ],
            },
            allow_nan=False,
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Snapshot:
        """Read the text form.

        Raises:
            InvalidInput: it is not one, or one of another version of perflab.
        """
        try:
            read = json.loads(text)
            if read["form"] != FORM:
                raise InvalidInput(f"this snapshot has form {read['form']!r}, and {FORM} is what can be read here")
            return cls(
                float(read["taken_at"]),
                MappingProxyType({_series(row): float(row["value"]) for row in read["counters"]}),
                MappingProxyType({_series(row): float(row["value"]) for row in read["gauges"]}),
                MappingProxyType({_series(row): _distribution(row["value"]) for row in read["distributions"]}),
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput(
                f"this is no snapshot of metrics ({type(error).__name__}): give what Snapshot.to_json wrote"
            ) from error


class SnapshotBuilder:
    """Collects the series of one moment; what comes twice is added up."""

    def __init__(self) -> None:
        self._counters: dict[Series, float] = {}
        self._gauges: dict[Series, float] = {}
        self._distributions: dict[Series, Distribution] = {}

    def count(self, metric: Metric, value: float, *labels: str) -> None:
        series = _series_of(metric, labels)
        self._counters[series] = self._counters.get(series, 0.0) + value

    def gauge(self, metric: Metric, value: float, *labels: str) -> None:
        series = _series_of(metric, labels)
        self._gauges[series] = self._gauges.get(series, 0.0) + value

    def latest(self, metric: Metric, moment: float, *labels: str) -> None:
        """A gauge of when something happened: the last one counts."""
        series = _series_of(metric, labels)
        self._gauges[series] = max(moment, self._gauges.get(series, moment))

    def distribute(self, metric: Metric, seen: Distribution, *labels: str) -> None:
        series = _series_of(metric, labels)
        self._distributions[series] = self._distributions.get(series, Distribution()) + seen

    def build(self, taken_at: float) -> Snapshot:
        return Snapshot(
            taken_at,
            MappingProxyType(self._counters),
            MappingProxyType(self._gauges),
            MappingProxyType(self._distributions),
        )


def _series_of(metric: Metric, labels: tuple[str, ...]) -> Series:
    return Series(metric.name, tuple(zip(metric.labels, labels, strict=True)))


def _chosen(found: Mapping[Series, Any], metric: Metric, labels: Mapping[str, str]) -> Iterator[tuple[Series, Any]]:
    for series, value in found.items():
        if series.metric == metric.name and labels.items() <= dict(series.labels).items():
            yield series, value


def _described(series: Series, value: Any) -> dict[str, Any]:
    return {"metric": series.metric, "labels": dict(series.labels), "value": value}


def _series(row: Mapping[str, Any]) -> Series:
    return Series(str(row["metric"]), tuple((str(name), str(value)) for name, value in row["labels"].items()))


def _distribution(value: Mapping[str, Any]) -> Distribution:
    counts = {int(bucket): int(count) for bucket, count in value["counts"].items()}
    return Distribution(MappingProxyType(counts), float(value["total"]))
