"""PostgreSQL URLs and the addresses behind them: which server to forward to, and how to connect through a proxy."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from perflab.database.urls import redact_url
from perflab.errors import InvalidInput
from perflab.lab.network.address import Address, TcpAddress, UnixAddress

DEFAULT_PORT = 5432
SOCKET_NAME = ".s.PGSQL."  # and the port: how libpq names the socket in a directory

_WHERE = ("host", "hostaddr", "port")


def server_address(url: str) -> Address:
    """Where the server of a `postgresql://` URL listens; a host that begins with a slash is the folder of its socket.

    Raises:
        InvalidInput: not such a URL, or it does not name exactly one host. The message never holds a password.
    """
    parsed = _parse(url)
    host = _one(parsed, "hostaddr", url) or _one(parsed, "host", url) or parsed.host
    port = _one(parsed, "port", url) or parsed.port or DEFAULT_PORT
    if not host:
        raise InvalidInput(f"{redact_url(url)!r} names no host: write '…@localhost/…', or '…?host=/folder/of/socket'")
    try:
        number = int(port)
    except ValueError:
        raise InvalidInput(f"the port in {redact_url(url)!r} is {port!r}: give a number") from None
    if host.startswith("/"):
        return UnixAddress(Path(host) / f"{SOCKET_NAME}{number}")
    return TcpAddress(host, number)


def url_through(url: str, address: Address) -> str:
    """The same database by another way: `url` with the address of a proxy in place of its server's.

    A Unix socket has to be called `.s.PGSQL.` and a number, as libpq looks for it. A password in `url` stays there.

    Raises:
        InvalidInput: not a `postgresql://` URL, or a Unix socket of another name.
    """
    parsed = _parse(url)
    query = {name: value for name, value in parsed.query.items() if name not in _WHERE}
    if isinstance(address, UnixAddress):
        prefix, _, port = address.path.name.rpartition(".")
        if f"{prefix}." != SOCKET_NAME or not port.isdecimal():
            raise InvalidInput(
                f"libpq does not find a socket called {address.path.name!r}: let the proxy listen at "
                f"{SOCKET_NAME}{DEFAULT_PORT} in its folder"
            )
        query |= {"host": str(address.path.parent), "port": port}
        parts = URL.create(parsed.drivername, parsed.username, parsed.password, None, None, parsed.database, query)
    else:
        parts = parsed.set(host=address.host, port=address.port, query=query)
    return parts.render_as_string(hide_password=False)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise InvalidInput(f"{redact_url(url)!r} is not a database URL: write 'postgresql://user@host/name'") from None
    if parsed.drivername not in ("postgresql", "postgresql+psycopg"):
        raise InvalidInput(f"{redact_url(url)!r} does not name a server: give a URL that begins with postgresql://")
    return parsed


def _one(url: URL, name: str, shown: str) -> str | None:
    """A parameter of the query that stands there at most once, and for one host."""
    value = url.query.get(name)
    if isinstance(value, tuple) or (value and "," in value):
        raise InvalidInput(f"{redact_url(shown)!r} names several servers: a proxy leads to one; give one {name}")
    return value
