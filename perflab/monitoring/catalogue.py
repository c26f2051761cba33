"""All metrics by name: what exporters, alerts and dashboards may refer to."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from perflab.monitoring import table_state
from perflab.monitoring.instruments import caches, databases, flushes, queues, ticks
from perflab.monitoring.metric import Metric

_HOMES = (flushes, queues, ticks, caches, databases, table_state)
CATALOGUE: Mapping[str, Metric] = MappingProxyType({metric.name: metric for home in _HOMES for metric in home.METRICS})
