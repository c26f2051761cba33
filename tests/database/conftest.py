"""A database with one table of its own, and nothing of perflab's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text

from perflab.database.database import Database


@pytest.fixture
def table() -> Table:
    return Table("item", MetaData(), Column("id", Integer, primary_key=True), Column("name", Text, unique=True))


@pytest.fixture
def plain(database_url: str, table: Table) -> Iterator[Database]:
    with Database.open(database_url) as opened:
        with opened.transaction() as connection:
            table.create(connection)
        yield opened
