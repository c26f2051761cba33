"""What a program has open: nothing of it may be left when it has closed its database."""

from __future__ import annotations

import gc
import threading
from dataclasses import dataclass
from pathlib import Path

from perflab.database.database import Database
from tests.processes import wait_for

DESCRIPTORS = Path("/proc/self/fd")


@dataclass(frozen=True, slots=True)
class Open:
    """Threads and files of this process."""

    threads: frozenset[threading.Thread]
    files: int

    @classmethod
    def now(cls) -> Open:
        files = len(list(DESCRIPTORS.iterdir())) if DESCRIPTORS.exists() else 0
        return cls(frozenset(threading.enumerate()), files)

    def check_nothing_more(self) -> None:
        """Fail if something was opened since, and stays. What is about to end may take its time."""
        if not self._holds():
            gc.collect()  # nobody else lets go of what is in a circle
            wait_for(self._holds)

    def _holds(self) -> bool:
        now = Open.now()
        return now.threads <= self.threads and now.files <= self.files


def check_integrity(database: Database) -> None:
    """No connection is lent, and the file of SQLite is sound."""
    assert database.pool_use.in_use == 0
    if database.engine_name == "sqlite":
        assert database.fetch("PRAGMA integrity_check") == [("ok",)]
        assert database.fetch("PRAGMA foreign_key_check") == []
