"""A fresh schema on a PostgreSQL server for each visit of a bench."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import psycopg

from perflab.database.database import Database
from perflab.database.urls import redact_url
from perflab.lab.bench.postgresql_promising_writes import POSTGRESQL_PROMISES
from perflab.lab.bench.postgresql_writes import POSTGRESQL_FORMS
from perflab.lab.measured_server import measured_server

_SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "wal_level")


class PostgresBench:
    """The raw connection is psycopg's own in autocommit, with whatever else is its default: one statement is a round
    trip and a durable transaction.

    Args:
        url: `postgresql://…`; schemas are made in its database and dropped again.
    """

    name = "postgresql"
    raw_forms = POSTGRESQL_FORMS
    promising_forms = POSTGRESQL_PROMISES
    limit = 1.2

    def __init__(self, url: str) -> None:
        self._url = url
        with self.connect(url) as connection:
            version = connection.execute("SHOW server_version").fetchone()[0].split()[0]
            settings = [f"{name}={connection.execute(f'SHOW {name}').fetchone()[0]}" for name in _SETTINGS]
        self.title = f"PostgreSQL {version} ({', '.join(settings)})"

    def __repr__(self) -> str:
        return f"PostgresBench({redact_url(self._url)!r})"

    @contextmanager
    def fresh_database(self) -> Iterator[str]:
        schema = f"perflab_bench_{uuid4().hex[:12]}"
        url = f"{self._url}{'&' if '?' in self._url else '?'}options={quote(f'-csearch_path={schema}')}"
        with self.connect(self._url) as connection:
            connection.execute(f"CREATE SCHEMA {schema}")
        try:
            with Database.open(url) as database:
                database.create_schema()
            yield url
        finally:
            with self.connect(self._url) as connection:
                connection.execute("SET client_min_messages = warning")
                connection.execute(f"DROP SCHEMA {schema} CASCADE")

    def settle(self, url: str) -> None:
        """The statistics that a table has which lives for longer than a visit."""
        with self.connect(url) as connection:
            connection.execute("ANALYZE perflab_jobs, perflab_watches, perflab_ingest_states")

    def connect(self, url: str) -> AbstractContextManager[Any]:
        return psycopg.connect(url, autocommit=True)

    def transaction(self, _connection: Any) -> AbstractContextManager[object]:
        return nullcontext()


@contextmanager
def open_postgres(url: str | None) -> Iterator[PostgresBench]:
    """On the server of a URL; without one, on an embedded server with its defaults, fsync included.

    Raises:
        InvalidInput, DatabaseUnusable, MissingExtra: as `measured_server`.
    """
    with measured_server(url) as server:
        yield PostgresBench(server.url)
