"""Databases to be broken again and again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url


@pytest.fixture
def empty_sqlite(sqlite_template: Path, sqlite_url: str) -> Callable[[], str]:
    """Makes the file anew, with perflab's tables and nothing in them, and returns its URL: always the same one."""
    file = str(make_url(sqlite_url).database)

    def empty() -> str:
        for suffix in ("-wal", "-shm"):
            Path(file + suffix).unlink(missing_ok=True)
        shutil.copy(sqlite_template, file)
        return sqlite_url

    return empty
