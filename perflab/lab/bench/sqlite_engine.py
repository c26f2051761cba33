"""A fresh SQLite file for each visit of a bench."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from perflab.database.database import Database
from perflab.lab.bench.arms import RawWrite
from perflab.lab.bench.sqlite_writes import SQLITE_FORMS


class SQLiteBench:
    """The raw connection has the settings of ours: WAL, synchronous=NORMAL, and a page cache of its size."""

    name = "sqlite"
    raw_forms = SQLITE_FORMS
    promising_forms: ClassVar[Mapping[str, Mapping[str, RawWrite]]] = {}
    """One writer at a time, and no COMMIT that could be lost: every form promises as much."""
    limit = 1.15
    title = f"SQLite {sqlite3.sqlite_version} (WAL, synchronous=NORMAL)"

    @contextmanager
    def fresh_database(self) -> Iterator[str]:
        with TemporaryDirectory(prefix="perflab-bench-") as folder:
            url = f"sqlite:///{Path(folder) / 'bench.db'}"
            with Database.open(url) as database:
                database.create_schema()
            yield url

    def settle(self, url: str) -> None:
        """Nothing: SQLite gathers statistics only when it is told to, and perflab does not tell it."""

    @contextmanager
    def connect(self, url: str) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA cache_size = -65536")
            yield connection
        finally:
            connection.close()

    @contextmanager
    def transaction(self, connection: sqlite3.Connection) -> Iterator[None]:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")
