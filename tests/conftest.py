"""Fixtures that every part uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from perflab.database.database import Database


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An opened database with perflab's schema, closed at the end."""
    with Database.open(database_url) as opened:
        opened.create_schema()
        yield opened
