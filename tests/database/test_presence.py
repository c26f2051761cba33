"""A database that is not there is not made by looking for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from perflab.database.database import Database
from perflab.database.presence import check_is_there
from perflab.errors import DatabaseUnusable, InvalidInput


@pytest.mark.parametrize(
    ("scheme", "message"),
    [
        ("sqlite", "there is no database file .*lbo.*: name another one, or make it with perflab db upgrade"),
        ("postgresql+embedded", "no embedded server was ever started in .*lbo"),
    ],
)
def test_what_is_missing_is_refused_and_not_made(tmp_path: Path, scheme: str, message: str) -> None:
    with pytest.raises(DatabaseUnusable, match=message):
        check_is_there(f"{scheme}:///{tmp_path / 'lbo'}")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_taken(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'lab.db'}"
    Database.open(url).close()
    check_is_there(url)
    check_is_there("sqlite://")
    check_is_there("postgresql://me@nowhere.invalid/lab")  # nobody is asked


def test_a_bad_url_is_refused() -> None:
    with pytest.raises(InvalidInput, match="unknown URL scheme"):
        check_is_there("mysql://me@db/lab")
