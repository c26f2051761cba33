"""PostgreSQL: how its connections are opened and set up, how many there are, and when one is looked at again."""

from __future__ import annotations

import os
from typing import Any

import psycopg
from sqlalchemy import create_engine, event
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import URL
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import QueuePool

from perflab.database.connection_failures import connection_failure
from perflab.database.connections import Connections
from perflab.database.failures import TypedErrors
from perflab.database.ledger import Ledger
from perflab.database.pools import Pool, Pools, PoolSettings
from perflab.database.postgresql import PostgresConnection
from perflab.database.postgresql_ledger import PostgresLedger
from perflab.database.postgresql_listener import PostgresListener
from perflab.errors import DatabaseUnusable

MINIMUM_VERSION = 140_000
ROUND_TRIPS_OF_ONE = 1
"""One statement in autocommit."""
DEFAULTS = {
    "application_name": "perflab",
    "connect_timeout": 10,
    # A host that is gone without a word is noticed within a minute, where the system's defaults take two hours for a
    # connection that waits: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-KEEPALIVES
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""Of the client, where the URL does not say otherwise."""
SHARE_OF_SERVER = 4
PROOF_SECONDS = 5.0
"""How long a connection that is in doubt may take to answer before it is replaced."""

_LIMITS = """
    SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
               - coalesce(current_setting('reserved_connections', true), '0')::int,
           least(nullif((SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user), -1),
                 nullif((SELECT datconnlimit FROM pg_database WHERE datname = current_database()), -1))
"""


def default_size(cores: int, server_limit: int, own_limit: int | None) -> int:
    """How many connections a pool holds where the user does not say: the least of three numbers, and at least one.

    - Twice as many as this machine has cores, and one. A connection that works keeps a core busy here or there, or
      waits for a disk or the network; with two for each core neither side idles for want of work, and more only queue
      up inside the server, where waiting costs locks and memory, instead of here. (PostgreSQL wiki, "Number Of Database
      Connections": cores * 2 + spindles; https://github.com/brettwooldridge/HikariCP/wiki/About-Pool-Sizing.) These are
      the client's cores, because they are what this process can keep busy, and a server does not tell its own.
    - A quarter of what the server has for ordinary users, so that other programs, other instances of this one, and the
      one who looks why it is slow still get in. This binds on machines of many cores: a server comes with
      max_connections = 100, and 64 cores would take them all.
    - What the role or the database is limited to.

    Args:
        cores: that this process may run on.
        server_limit: max_connections without those that are reserved
            (https://www.postgresql.org/docs/current/runtime-config-connection.html).
        own_limit: CONNECTION LIMIT of the role or the database, the lower one; None if there is none.
    """
    size = min(2 * cores + 1, server_limit // SHARE_OF_SERVER)
    return max(1, size if own_limit is None else min(size, own_limit))


def open_pools(url: URL, settings: PoolSettings, connections: Connections) -> Pools:
    """One pool for reads and writes: readers do not wait for writers, so nothing is gained by keeping them apart."""
    dialect = PGDialect_psycopg(paramstyle="format")  # type: ignore[no-untyped-call]  # values by position, as operations bind them
    ledger = PostgresLedger()
    connector = Connector(url, settings, ledger)
    first = connector.connect()
    try:
        with TypedErrors("reading the limits of the server"):
            limits = first.execute(_LIMITS).fetchone() or (1, None)
    except BaseException:
        first.close()
        raise
    size = settings.pool_size or default_size(usable_cores(), *limits)
    pool = _open_pool(connector, first, size, settings.busy_timeout, connections)
    return Pools(
        "postgresql",
        pool,
        pool,
        dialect,
        round_trips_of_one=ROUND_TRIPS_OF_ONE,
        ledger=ledger,
        listen=lambda channel, payload: PostgresListener(connector.connect, channel, payload),
    )


def usable_cores() -> int:
    """Those that this process may run on, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Connector:
    """Opens connections to one database, all set up alike."""

    def __init__(self, url: URL, settings: PoolSettings, ledger: Ledger) -> None:
        self.url = url
        self._ledger = ledger
        self._arguments, options = PGDialect_psycopg().create_connect_args(url)  # type: ignore[no-untyped-call]
        self._options = {**DEFAULTS, **options, "autocommit": True}
        milliseconds = max(1, round(settings.busy_timeout * 1_000))  # 0 would be without a bound
        self._settings = {"lock_timeout": str(milliseconds), "plan_cache_mode": "force_custom_plan"}
        if settings.durability == "full":
            self._settings["synchronous_commit"] = "on"

    def connect(self) -> PostgresConnection:
        """A new connection.

        Raises:
            InvalidInput: the URL has a parameter that the client does not know.
            TransientError: the server cannot be reached, or refuses.
            DatabaseUnusable: it is too old.
        """
        try:
            connection = PostgresConnection.connect(*self._arguments, **self._options)
        except psycopg.Error as error:
            raise connection_failure(error, self.url) from None  # the driver's own may quote what it was given
        try:
            with TypedErrors("setting up a connection"):
                _check_version(connection.info.server_version)
                connection.set_up(self._settings)
                self._ledger.look(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def _check_version(version: int) -> None:
    if version < MINIMUM_VERSION:
        raise DatabaseUnusable(
            f"the server is PostgreSQL {version // 10_000}: perflab needs {MINIMUM_VERSION // 10_000} or newer; "
            "upgrade it, or use another server"
        )


def _open_pool(
    connector: Connector, first: PostgresConnection, size: int, timeout: float, connections: Connections
) -> Pool:
    engine = create_engine(
        connector.url.set(drivername="postgresql+psycopg"),
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=0,
        pool_timeout=timeout,
        use_native_hstore=False,  # asking for its type would be a query for each connection
    )
    pool = Pool(engine, size=size, timeout=timeout)
    connections.follow(engine)
    opened = [first]

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, _arguments: Any, _options: Any) -> PostgresConnection:
        doubts = pool.doubts
        connection = opened.pop() if opened else connector.connect()
        connection.doubts_settled = doubts
        return connection

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        # For a user's transaction, in which each statement is answered at once.
        connection.exec_driver_sql(connection.connection.dbapi_connection.begin_statement)

    @event.listens_for(engine, "checkout")
    def checked_out(connection: PostgresConnection, _record: Any, _pooled: Any) -> None:
        # A look at the socket costs no round trip, and a question is asked only where there is reason to doubt.
        doubts = pool.doubts
        if (connection.doubts_settled < doubts or connection.has_news()) and not connection.answers(PROOF_SECONDS):
            raise DisconnectionError  # at which SQLAlchemy closes it, and opens another
        connection.doubts_settled = doubts

    return pool
