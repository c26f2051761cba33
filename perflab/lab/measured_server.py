"""Which PostgreSQL server a measurement loads: a fresh one of its own, that of a directory, or the user's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from perflab.database.database import Database
from perflab.database.urls import EMBEDDED_SCHEME, POSTGRESQL_SCHEMES, parse_url, redact_url
from perflab.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class MeasuredServer:
    """A server that runs."""

    url: str
    """`postgresql://…`, as the driver itself takes it; with the password."""
    is_embedded: bool
    """Whether it was started from the wheel, on this machine."""


@contextmanager
def measured_server(url: str | None) -> Iterator[MeasuredServer]:
    """The server, for the length of the block.

    Args:
        url: `postgresql://…` of a server; `postgresql+embedded:///dir` starts or joins the one of a directory; None
            starts one with PostgreSQL's own settings, and removes it again.

    Raises:
        InvalidInput: the URL is wrong, or names no PostgreSQL server.
        DatabaseUnusable: the server does not start, or cannot be reached.
        MissingExtra: the embedded server is not installed.
    """
    if url is None:
        from perflab.lab.temporary_server import temporary_server  # noqa: PLC0415  # needs Linux or macOS

        with temporary_server() as server:
            yield MeasuredServer(server.url, is_embedded=True)
        return
    parsed = parse_url(url)
    if parsed.drivername not in {*POSTGRESQL_SCHEMES, EMBEDDED_SCHEME}:
        raise InvalidInput(
            f"the server to measure is {redact_url(url)!r}: give a URL that begins with postgresql:// or "
            "postgresql+embedded:///"
        )
    with Database.open(url):  # says what is wrong with it; an embedded one runs as long as this is open
        if parsed.drivername == EMBEDDED_SCHEME:
            from perflab.database.embedded import USER, EmbeddedServer  # noqa: PLC0415  # the same

            with EmbeddedServer.start(str(parsed.database)) as server:
                yield MeasuredServer(server.database_url(str(parsed.query.get("database", USER))), is_embedded=True)
        else:
            shown = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
            yield MeasuredServer(shown, is_embedded=False)
