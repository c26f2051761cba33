"""A database with one table of its own, and nothing of perflab's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text

from perflab.database.database import Database
from perflab.lab.network.address import TcpAddress
from perflab.lab.network.postgres_meter import PostgresMeter
from perflab.lab.network.postgres_url import server_address, url_through
from perflab.lab.network.proxy import Proxy


@pytest.fixture
def table() -> Table:
    return Table("item", MetaData(), Column("id", Integer, primary_key=True), Column("name", Text, unique=True))


@pytest.fixture
def plain(database_url: str, table: Table) -> Iterator[Database]:
    with Database.open(database_url) as opened:
        with opened.transaction() as connection:
            table.create(connection)
        yield opened


@pytest.fixture
def meter() -> PostgresMeter:
    """Counts what the server says to whoever connects by `metered_url`."""
    return PostgresMeter()


@pytest.fixture
def metered_url(postgres_url: str, meter: PostgresMeter) -> Iterator[str]:
    """Of a database without tables, through a proxy."""
    with Proxy(server_address(postgres_url), listen=TcpAddress(), meter=meter) as proxy:
        yield url_through(postgres_url, proxy.address)
