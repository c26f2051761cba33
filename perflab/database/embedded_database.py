"""`postgresql+embedded:///dir`: a database in the embedded server of a directory.

Opening it starts the server or joins the one that runs there; closing it lets go of the server, and the last user of
all processes stops it. A `Database` that nobody closes lets go when the interpreter exits. Whoever opens and closes
many in a row, and does not want a start for each, holds an `EmbeddedServer` meanwhile, or runs `perflab db start`.
"""

from __future__ import annotations

from dataclasses import replace

import psycopg
from psycopg.errors import DuplicateDatabase, UniqueViolation
from psycopg.sql import SQL, Identifier
from sqlalchemy import URL

from perflab.database import postgresql_pools
from perflab.database.connections import Connections
from perflab.database.embedded import USER, EmbeddedServer
from perflab.database.failures import TypedErrors
from perflab.database.pools import Pools, PoolSettings
from perflab.database.urls import parse_url

DATABASE_PARAMETER = "database"


def open_pools(url: URL, settings: PoolSettings, connections: Connections) -> Pools:
    """The pools of the database, which hold a share in its server until they are closed."""
    server = EmbeddedServer.start(str(url.database))
    try:
        name = str(url.query.get(DATABASE_PARAMETER, USER))
        if name != USER:
            _create_if_missing(server, name)
        pools = postgresql_pools.open_pools(parse_url(server.database_url(name)), settings, connections)
    except BaseException:
        server.close()
        raise
    return replace(pools, release=server.close)


def _create_if_missing(server: EmbeddedServer, name: str) -> None:
    with TypedErrors(f"creating the database {name!r}"), psycopg.connect(server.url, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            return
        try:
            connection.execute(SQL("CREATE DATABASE {} TEMPLATE template0").format(Identifier(name)))
        except (DuplicateDatabase, UniqueViolation):  # another process was first
            return
