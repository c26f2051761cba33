"""How a quantity follows from metrics: as a function of a window, and as an expression of Prometheus.

Both stand in one place, so that a rule means the same here and there. Expressions keep `job` and `instance`, which tell
databases apart where one Prometheus scrapes several; a window here is of one database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias, TypeVar

from perflab.monitoring.change import Window
from perflab.monitoring.metric import Metric, Series

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Pairs of name and value, by which series of one quantity are told apart."""
Values: TypeAlias = Mapping[Labels, float]
_V = TypeVar("_V")

NOTHING: Mapping[str, str] = MappingProxyType({})


class Reading(Protocol):
    """A quantity by labels."""

    def measure(self, window: Window, by: tuple[str, ...]) -> Values:
        """Its values; none where nothing is known, such as a share of no events."""
        ...

    def expression(self, by: tuple[str, ...], range_seconds: int) -> str:
        """The same in PromQL."""
        ...


@dataclass(frozen=True, slots=True)
class Increase:
    """By how much counters have grown in the window, summed over their other labels."""

    metric: Metric
    where: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    part: str = ""
    """Of a distribution: "_count" or "_sum"."""

    def measure(self, window: Window, by: tuple[str, ...]) -> Values:
        counted = window.change.counted
        if self.part:
            seen = _grouped(counted.distributions, self.metric, by, self.where, lambda one, other: one + other)
            return {labels: float(one.count) if self.part == "_count" else one.total for labels, one in seen.items()}
        return _grouped(counted.counters, self.metric, by, self.where, float.__add__)

    def expression(self, by: tuple[str, ...], range_seconds: int) -> str:
        return f"{_sum(by)} (increase({_selector(self.metric, self.where, self.part)}[{range_seconds}s]))"


@dataclass(frozen=True, slots=True)
class Total:
    """The sum of several increases; one that is missing counts as zero where another one is there."""

    parts: tuple[Increase, ...]

    def measure(self, window: Window, by: tuple[str, ...]) -> Values:
        total: dict[Labels, float] = {}
        for part in self.parts:
            for labels, value in part.measure(window, by).items():
                total[labels] = total.get(labels, 0.0) + value
        return total

    def expression(self, by: tuple[str, ...], range_seconds: int) -> str:
        parts = " or ".join(
            f'label_replace(increase({_selector(part.metric, part.where, part.part)}[{range_seconds}s]), "part", '
            f'"{number}", "", "")'
            for number, part in enumerate(self.parts)
        )
        return f"{_sum(by)} ({parts})"


@dataclass(frozen=True, slots=True)
class Share:
    """One increase ÷ another; nothing where the latter is zero."""

    of: Increase
    whole: Increase

    def measure(self, window: Window, by: tuple[str, ...]) -> Values:
        parts = self.of.measure(window, by)
        return {
            labels: parts.get(labels, 0.0) / whole for labels, whole in self.whole.measure(window, by).items() if whole
        }

    def expression(self, by: tuple[str, ...], range_seconds: int) -> str:
        whole = self.whole.expression(by, range_seconds)
        return f"{self.of.expression(by, range_seconds)} / ({whole} > 0)"


@dataclass(frozen=True, slots=True)
class Saving:
    """What a share leaves of its whole. Negative where it is more than the whole."""

    share: Share

    def measure(self, window: Window, by: tuple[str, ...]) -> Values:
        return {labels: 1.0 - value for labels, value in self.share.measure(window, by).items()}

    def expression(self, by: tuple[str, ...], range_seconds: int) -> str:
        return f"1 - {self.share.expression(by, range_seconds)}"


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile of what was seen in the window. Prometheus knows it only to within the bounds of its buckets."""

    metric: Metric
    share: float

    def measure(self, window: Window, by: tuple[str, ...]) -> Values:
        seen = _grouped(window.change.counted.distributions, self.metric, by, NOTHING, lambda one, other: one + other)
        return {labels: one.quantile(self.share) for labels, one in seen.items() if one.count}

    def expression(self, by: tuple[str, ...], range_seconds: int) -> str:
        bucket = _selector(self.metric, NOTHING, "_bucket")
        return f"histogram_quantile({self.share:g}, {_sum((*by, 'le'))} (increase({bucket}[{range_seconds}s])))"


@dataclass(frozen=True, slots=True)
class Level:
    """A gauge as it is now, summed over its other labels."""

    metric: Metric
    where: Mapping[str, str] = field(default_factory=lambda: NOTHING)

    def measure(self, window: Window, by: tuple[str, ...]) -> Values:
        return _grouped(window.gauges, self.metric, by, self.where, float.__add__)

    def expression(self, by: tuple[str, ...], range_seconds: int) -> str:  # noqa: ARG002  # a gauge is of now
        return f"{_sum(by)} ({_selector(self.metric, self.where)})"


@dataclass(frozen=True, slots=True)
class Growth:
    """By how much a gauge has grown in the window, per second."""

    metric: Metric
    where: Mapping[str, str] = field(default_factory=lambda: NOTHING)

    def measure(self, window: Window, by: tuple[str, ...]) -> Values:
        seconds = window.change.seconds
        before = _grouped(window.gauges_before, self.metric, by, self.where, float.__add__)
        now = _grouped(window.gauges, self.metric, by, self.where, float.__add__)
        if not seconds or not before:
            return {}
        return {labels: (value - before.get(labels, 0.0)) / seconds for labels, value in now.items()}

    def expression(self, by: tuple[str, ...], range_seconds: int) -> str:
        gauge = _selector(self.metric, self.where)
        return f"{_sum(by)} (delta({gauge}[{range_seconds}s])) / {range_seconds}"


@dataclass(frozen=True, slots=True)
class Age:
    """Seconds since the moment that a gauge tells."""

    metric: Metric

    def measure(self, window: Window, by: tuple[str, ...]) -> Values:
        moments = _grouped(window.gauges, self.metric, by, NOTHING, max)
        return {labels: max(0.0, window.change.ended_at - moment) for labels, moment in moments.items()}

    def expression(self, by: tuple[str, ...], range_seconds: int) -> str:  # noqa: ARG002  # a gauge is of now
        return f"time() - max by ({_by(by)}) ({_selector(self.metric, NOTHING)})"


def _grouped(
    found: Mapping[Series, _V],
    metric: Metric,
    by: tuple[str, ...],
    where: Mapping[str, str],
    together: Callable[[Any, Any], Any],
) -> dict[Labels, _V]:
    groups: dict[Labels, _V] = {}
    for series, value in found.items():
        if series.metric != metric.name or not where.items() <= dict(series.labels).items():
            continue
        key = tuple(pair for pair in series.labels if pair[0] in by)
        groups[key] = together(groups[key], value) if key in groups else value
    return groups


def _selector(metric: Metric, where: Mapping[str, str], part: str = "") -> str:
    conditions = ", ".join(f'{name}="{value}"' for name, value in where.items())
    return f"{metric.name}{part}{{{conditions}}}" if conditions else f"{metric.name}{part}"


def _by(labels: tuple[str, ...]) -> str:
    return ", ".join(("job", "instance", *labels))


def _sum(labels: tuple[str, ...]) -> str:
    return f"sum by ({_by(labels)})"
