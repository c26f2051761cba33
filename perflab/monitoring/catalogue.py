"""All metrics by name: what exporters, alerts and dashboards may refer to."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from perflab.monitoring.instruments import caches, databases, flushes, queues, ticks
from perflab.monitoring.metric import Metric

CATALOGUE: Mapping[str, Metric] = MappingProxyType(
    {metric.name: metric for module in (flushes, queues, ticks, caches, databases) for metric in module.METRICS}
)
