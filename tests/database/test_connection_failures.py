"""Servers that cannot be used: each is one sentence that says what to do, without the password."""

from __future__ import annotations

import re
import socket
import struct
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import URL, make_url

from perflab.database.connection_failures import connection_failure
from perflab.database.database import Database
from perflab.database.embedded import EmbeddedServer
from perflab.errors import DatabaseUnusable, InvalidInput, PerflabError, TooManyConnections, TransientError
from perflab.lab.network.address import TcpAddress
from perflab.lab.network.postgres_url import server_address, url_through
from tests.database.server_places import place_for_a_server

PASSWORD = "Xq7Canary"


def refusal_of(url: str) -> str:
    """What opening it says: one sentence of one line for people, without the password."""
    with pytest.raises(PerflabError) as caught:
        Database.open(url)
    assert type(caught.value) in (DatabaseUnusable, InvalidInput, TooManyConnections)
    said = str(caught.value)
    assert "\n" not in said
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    return said


@pytest.fixture(scope="module")
def tcp_url() -> Iterator[str]:
    """A server that asks for passwords, with roles and databases that are shut in every way."""
    with place_for_a_server() as directory, EmbeddedServer.start(directory, tcp=True) as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            for statement in (
                f"CREATE ROLE me LOGIN PASSWORD '{PASSWORD}'",
                f"CREATE ROLE crowd LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 0",
                f"CREATE ROLE barred NOLOGIN PASSWORD '{PASSWORD}'",
                "CREATE DATABASE private",
                "REVOKE CONNECT ON DATABASE private FROM PUBLIC",
                "CREATE DATABASE shut ALLOW_CONNECTIONS false",
            ):
                connection.execute(statement)
        yield str(make_url(server.database_url("postgres", tcp=True)).set(username="me"))


@pytest.mark.parametrize(
    ("change", "reason", "advice"),
    [
        ({"password": f"{PASSWORD}?"}, 'password authentication failed for user "me"', "correct them in the URL"),
        ({"username": "nobody"}, 'password authentication failed for user "nobody"', "correct them in the URL"),
        ({"password": None}, "no password supplied", "set PGPASSWORD, or give it in ~/.pgpass or in the URL"),
        ({"database": "none"}, 'database "none" does not exist', r"create it \(createdb\), or correct the name"),
        ({"database": "private"}, 'permission denied for database "private"', "ask its owner for GRANT CONNECT"),
        ({"database": "shut"}, "not currently accepting connections", "ALLOW_CONNECTIONS true"),
        (
            {"username": "crowd"},
            'too many connections for role "crowd"',
            "close other connections, open databases with a smaller pool_size, put PgBouncer in between, or raise",
        ),
        ({"username": "barred"}, 'role "barred" is not permitted to log in', "give that role the right"),
        ({"query": {"sslmode": "require"}}, "server does not support SSL", "check that the server speaks TLS"),
    ],
)
def test_what_a_server_refuses(tcp_url: str, change: dict[str, Any], reason: str, advice: str) -> None:
    url = make_url(tcp_url)._replace(**{"password": PASSWORD, **change})  # `set` takes no None
    said = refusal_of(url.render_as_string(hide_password=False))
    assert said.startswith(f"cannot connect to '{url.render_as_string()}': ")
    assert re.search(f"{reason}.*; .*{advice}", said), said


def test_a_role_that_does_not_exist(tcp_url: str, postgres_url: str) -> None:
    said = refusal_of(str(make_url(postgres_url).set(username="ghost")))
    assert 'role "ghost" does not exist; create that role (createuser), or correct the user in the URL' in said


@pytest.mark.parametrize(
    ("address", "reason", "advice"),
    [
        ("127.0.0.1:1", "Connection refused", "nothing listens there: start the server, or correct the host"),
        ("localhost:1", "Connection refused", "nothing listens there: start the server, or correct the host"),
        (
            "nowhere.invalid",
            "failed to resolve host 'nowhere.invalid'",
            "correct the host in the URL, or check your DNS",
        ),
        ("127.0.0.1:99999", 'invalid port number: "99999"', "correct it in the URL"),
    ],
)
def test_a_server_that_is_not_there(address: str, reason: str, advice: str) -> None:
    said = refusal_of(f"postgresql://me:{PASSWORD}@{address}/lab")
    assert said.startswith(f"cannot connect to 'postgresql://me:***@{address}/lab': {reason}")
    assert f"; {advice}" in said


def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    said = refusal_of(f"postgresql://me:{PASSWORD}@/lab?host={tmp_path}")
    assert "No such file or directory; no server has its socket there: start it" in said


def test_a_host_that_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection, and says nothing
        said = refusal_of(f"postgresql://me:{PASSWORD}@127.0.0.1:{silent.getsockname()[1]}/lab?connect_timeout=2")
        silent.accept()[0].close()  # the fault fired: somebody was there
    assert "timeout expired; check the host in the URL, the network, and the firewalls between" in said


@pytest.mark.case("F43")
def test_a_connection_lost_later_is_transient_and_shows_no_password() -> None:
    lost = psycopg.OperationalError("the server speaks another language")
    failure = connection_failure(lost, make_url(f"postgresql://me:{PASSWORD}@db/lab"))
    assert type(failure) is TransientError
    assert str(failure) == (
        "cannot connect to 'postgresql://me:***@db/lab': the server speaks another language; check that the server is "
        "there, and that you may use the database"
    )


def test_a_reason_that_quotes_a_password_is_redacted() -> None:
    quoting = psycopg.OperationalError(f"a proxy refused password={PASSWORD}")
    said = str(connection_failure(quoting, URL.create("postgresql", database="lab")))
    assert said.startswith("cannot connect to 'postgresql:///lab': a proxy refused password=***; ")


def test_several_hosts_are_told_of_once_each() -> None:
    text = (
        "Multiple connection attempts failed. All failures were:\n"
        "- host: 'a', port: 1, hostaddr: '127.0.0.1': connection failed: connection to server at \"127.0.0.1\", port 1 "
        "failed: Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?\n"
        "- host: 'b', port: 1, hostaddr: '127.0.0.2': connection timeout expired"
    )
    said = str(connection_failure(psycopg.OperationalError(text), URL.create("postgresql", database="lab")))
    assert said.startswith("cannot connect to 'postgresql:///lab': Connection refused, connection timeout expired; ")


def test_a_parameter_that_the_client_does_not_know(postgres_url: str) -> None:
    for parameter in ("colour=blue", "connect_timeout=soon"):
        said = refusal_of(f"{postgres_url}&{parameter}")
        assert "has a parameter that PostgreSQL's client does not know, or not with that value" in said


# -- a server that is too old ------------------------------------------------------------------------------------------


def as_version(version: bytes) -> Callable[[bytes], bytes]:
    """Rewrites the server's word on its version: ParameterStatus, `S`, length, name, NUL, value, NUL."""

    def rewrite(data: bytes) -> bytes:
        name = b"server_version\0"
        start = data.find(b"S", max(0, data.find(name) - 5))
        if name not in data:
            return data
        (length,) = struct.unpack_from("!I", data, start + 1)
        body = name + version + b"\0"
        return data[:start] + b"S" + struct.pack("!I", 4 + len(body)) + body + data[start + 1 + length :]

    return rewrite


@pytest.fixture
def relay(postgres_url: str) -> Iterator[Callable[[Callable[[bytes], bytes]], str]]:
    """The URL of the server behind a relay that rewrites what it says until it is ready for the first query."""
    upstream = server_address(postgres_url)
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def serve(rewrite: Callable[[bytes], bytes]) -> None:
        client, _ = listener.accept()
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(str(upstream.path))  # type: ignore[union-attr]  # the fixture's server has a Unix socket
            server.sendall(client.recv(65_536))  # the start-up message
            greeting = b""
            while not greeting.endswith(b"Z\0\0\0\5I"):
                greeting += server.recv(65_536)
            client.sendall(rewrite(greeting))
            while sent := client.recv(65_536):
                server.sendall(sent)
                if sent[:1] == b"X":
                    return
                client.sendall(server.recv(65_536))

    def start(rewrite: Callable[[bytes], bytes]) -> str:
        threads.append(threading.Thread(target=serve, args=[rewrite], daemon=True))
        threads[-1].start()
        address = TcpAddress(*listener.getsockname())
        return f"{url_through(postgres_url, address)}?sslmode=disable&gssencmode=disable"

    yield start
    listener.close()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_a_server_that_is_too_old_is_refused(relay: Callable[[Callable[[bytes], bytes]], str]) -> None:
    said = refusal_of(relay(as_version(b"13.22")))
    assert said == ("the server is PostgreSQL 13: perflab needs 14 or newer; upgrade it, or use another server")


def test_the_oldest_server_that_will_do_is_taken(relay: Callable[[Callable[[bytes], bytes]], str]) -> None:
    with Database.open(relay(as_version(b"14.0"))) as database:
        assert database.engine_name == "postgresql"
