"""Which engine a URL means: the one place that knows them all, and imports the chosen one only."""

from __future__ import annotations

from sqlalchemy import URL

from perflab.database.connections import Connections
from perflab.database.pools import Pools, PoolSettings
from perflab.database.urls import EMBEDDED_SCHEME
from perflab.errors import MissingExtra


def open_pools(url: URL, settings: PoolSettings, connections: Connections) -> Pools:
    """The pools of the database at a URL that `parse_url` has checked.

    Args:
        url: where it is.
        settings: what the user chose.
        connections: hears of each one that is opened and closed.

    Raises:
        MissingExtra: the driver of the engine, or the embedded server, is not installed.
        InvalidInput, DatabaseUnusable: the database cannot be where the URL says.
    """
    if url.get_backend_name() == "sqlite":
        from perflab.database import sqlite  # noqa: PLC0415  # only the engine that is used

        return sqlite.open_pools(url, settings, connections)
    try:
        from perflab.database import postgresql_pools  # noqa: PLC0415  # its driver is an extra
    except ModuleNotFoundError as error:
        raise MissingExtra(f"PostgreSQL needs the package {error.name}: pip install 'perflab[postgres]'") from error
    if url.drivername == EMBEDDED_SCHEME:
        from perflab.database import embedded_database  # noqa: PLC0415  # needs Linux or macOS

        return embedded_database.open_pools(url, settings, connections)
    return postgresql_pools.open_pools(url, settings, connections)
