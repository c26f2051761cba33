"""What the connections of a database do: looked at when a snapshot is taken, without a round trip."""

from __future__ import annotations

from perflab.database.database import Database
from perflab.monitoring.metric import Metric, counter, gauge
from perflab.monitoring.snapshot import SnapshotBuilder

ROUND_TRIPS = counter(
    "perflab_database_round_trips_total", "Round trips of all connections of a process.", "engine", unit="{round_trip}"
)
POOL_SIZE = gauge(
    "perflab_pool_connections_limit", "Connections that a process may open.", "engine", unit="{connection}"
)
POOL_IN_USE = gauge(
    "perflab_pool_connections_in_use", "Connections that threads of a process hold.", "engine", unit="{connection}"
)
POOL_WAITING = gauge(
    "perflab_pool_waiting_threads", "Threads of a process that want a connection.", "engine", unit="{thread}"
)

METRICS: tuple[Metric, ...] = (ROUND_TRIPS, POOL_SIZE, POOL_IN_USE, POOL_WAITING)


def collect_database(builder: SnapshotBuilder, database: Database) -> None:
    use = database.pool_use
    builder.count(ROUND_TRIPS, database.round_trips, database.engine_name)
    builder.gauge(POOL_SIZE, use.size, database.engine_name)
    builder.gauge(POOL_IN_USE, use.in_use, database.engine_name)
    builder.gauge(POOL_WAITING, use.waiting, database.engine_name)
