"""URLs: where the server is, and the way through a proxy."""

from __future__ import annotations

from pathlib import Path

import pytest

from perflab.errors import InvalidInput
from perflab.lab.network.address import Address, TcpAddress, UnixAddress
from perflab.lab.network.postgres_url import server_address, url_through


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("postgresql://me:secret@db.example:5433/lab", TcpAddress("db.example", 5433)),
        ("postgresql+psycopg://me@db.example/lab", TcpAddress("db.example", 5432)),
        ("postgresql:///lab?host=/run/postgresql", UnixAddress(Path("/run/postgresql/.s.PGSQL.5432"))),
        ("postgresql://me@/lab?host=/run/pg&port=5433", UnixAddress(Path("/run/pg/.s.PGSQL.5433"))),
        ("postgresql://me@/lab?host=db.example&port=99", TcpAddress("db.example", 99)),
        ("postgresql://db.example/lab?hostaddr=10.0.0.1", TcpAddress("10.0.0.1", 5432)),
    ],
)
def test_the_server_is_where_libpq_would_look(url: str, address: Address) -> None:
    assert server_address(url) == address


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://me:secret@/lab", "names no host"),
        ("postgresql://me:secret@/lab?host=a,b", "several servers"),
        ("postgresql://me:secret@/lab?host=a&host=b", "several servers"),
        ("postgresql://me:secret@/lab?host=a&port=x", "give a number"),
    ],
)
def test_a_url_without_one_server_is_refused_without_its_password(url: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as caught:
        server_address(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://me:secret@db:no/lab", "not a database URL"),
        ("a database", "not a database URL"),
        ("postgresql+embedded:///folder", "does not name a server"),
        ("sqlite:///lab.db", "does not name a server"),
    ],
)
def test_what_is_no_url_of_a_server_is_refused_without_its_password(url: str, reason: str) -> None:
    for refuse in (server_address, lambda url: url_through(url, TcpAddress(port=1))):
        with pytest.raises(InvalidInput, match=reason) as caught:
            refuse(url)
        assert "secret" not in str(caught.value)


def test_the_way_through_a_proxy_changes_the_address_and_nothing_else() -> None:
    proxy = TcpAddress(port=40_000)
    assert (
        url_through("postgresql://me:se%40cret@db:5433/lab?sslmode=disable&hostaddr=10.0.0.1", proxy)
        == "postgresql://me:se%40cret@127.0.0.1:40000/lab?sslmode=disable"
    )
    assert (
        url_through("postgresql+psycopg://me@/lab?host=/run/pg", proxy) == "postgresql+psycopg://me@127.0.0.1:40000/lab"
    )
    through = url_through("postgresql://me@db:5433/lab", UnixAddress(Path("/tmp/x/.s.PGSQL.77")))
    assert server_address(through) == UnixAddress(Path("/tmp/x/.s.PGSQL.77"))


def test_a_socket_that_libpq_would_not_find_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"let the proxy listen at \.s\.PGSQL\.5432"):
        url_through("postgresql://me@db/lab", UnixAddress(Path("/tmp/x/socket")))
