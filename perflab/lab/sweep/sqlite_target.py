"""SQLite as what a sweep measures: a fresh file for each visit."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from perflab.database.database import Database
from perflab.database.pools import Durability
from perflab.lab.sweep.environment import Environment, file_system_of
from perflab.lab.sweep.fresh import FreshDatabase


class SQLiteTarget:
    """Makes a database file for each visit, and removes it afterwards.

    Args:
        durability: "normal" or "full".
        folder: where; None for the temporary folder.
    """

    def __init__(self, durability: Durability, folder: Path | None = None) -> None:
        self._durability = durability
        self._folder = folder

    @contextmanager
    def fresh(self, added_latency: float | None) -> Iterator[FreshDatabase]:
        assert added_latency is None  # the plan has refused it
        with (
            TemporaryDirectory(prefix="perflab-sweep-", dir=self._folder) as folder,
            Database.open(url := f"sqlite:///{Path(folder) / 'sweep.db'}", durability=self._durability) as database,
        ):

            def settle() -> None:
                with database.writing_connection() as connection:
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

            yield FreshDatabase(database, database, None, settle, url)

    def environment(self) -> Environment:
        with self.fresh(None) as fresh, fresh.direct.writing_connection() as connection:
            settings = {
                name: connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("journal_mode", "synchronous", "wal_autocheckpoint", "page_size", "cache_size")
            }
        file_system = {} if self._folder is None else {"file_system": file_system_of(self._folder)}
        return {
            "engine": f"SQLite {sqlite3.sqlite_version}",
            "checkpoint_before_each_visit": "yes",
            **settings,
            **file_system,
        }
