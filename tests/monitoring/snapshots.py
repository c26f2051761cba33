"""Snapshots as they are written down by hand."""

from __future__ import annotations

from types import MappingProxyType

from perflab.monitoring.change import Change
from perflab.monitoring.metric import Metric, Series
from perflab.monitoring.snapshot import Snapshot


def snapshot_of(
    counters: dict[tuple[Metric, str], float] | None = None,
    gauges: dict[tuple[Metric, str], float] | None = None,
    taken_at: float = 0.0,
) -> Snapshot:
    """The key is a metric and the values of its labels, divided by a space."""
    return Snapshot(
        taken_at,
        MappingProxyType({_series(*key): value for key, value in (counters or {}).items()}),
        MappingProxyType({_series(*key): value for key, value in (gauges or {}).items()}),
        MappingProxyType({}),
    )


def change_of(
    began_at: float,
    ended_at: float,
    counters: dict[tuple[Metric, str], float] | None = None,
    gauges: dict[tuple[Metric, str], float] | None = None,
) -> Change:
    return Change(began_at, ended_at, snapshot_of(counters, gauges, ended_at))


def _series(metric: Metric, labels: str) -> Series:
    return Series(metric.name, tuple(zip(metric.labels, labels.split(), strict=True)))
