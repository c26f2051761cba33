"""The look itself: at whichever engine a URL names."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import URL

from perflab.database.database import Database
from perflab.database.doctor.diagnosis import Check, Diagnosis, Verdict
from perflab.database.doctor.machine import duration
from perflab.database.urls import EMBEDDED_SCHEME, parse_url, redact_url
from perflab.errors import DatabaseError


def examine(
    url: str, *, clock: Callable[[], float] = time.perf_counter, now: Callable[[], float] = time.time
) -> Diagnosis:
    """Look at a database, and change nothing: what is not there is not made.

    Args:
        url: as for `Database.open`. An embedded server that does not run is started for the look, and stops after it.
        clock: seconds that only grow.
        now: seconds since 1970.

    Returns:
        All checks; only the one that failed where the database cannot be reached.

    Raises:
        InvalidInput: the URL is wrong.
        MissingExtra: the driver of the engine is not installed.
    """
    parsed = parse_url(url)
    shown = redact_url(url)
    checks: list[Check] = []
    try:
        checks.extend(_look(parsed, url, clock, now))
    except DatabaseError as error:
        what = "reachable" if not checks else "look"
        checks.append(Check(what, Verdict.FAILURE, " ".join(str(error).split())))
    return Diagnosis(shown, tuple(checks))


def _look(parsed: URL, url: str, clock: Callable[[], float], now: Callable[[], float]) -> Iterator[Check]:
    if parsed.get_backend_name() == "sqlite":
        from perflab.database.doctor.sqlite import examine_file  # noqa: PLC0415  # only the engine that is used

        yield from examine_file(parsed, clock=clock)
        return
    from perflab.database.doctor.postgresql import examine_server  # noqa: PLC0415

    with _running(parsed, url) as server_url:
        if server_url is None:
            finding = f"no embedded server was ever started in {str(parsed.database)!r}"
            yield Check("reachable", Verdict.FAILURE, finding, f"run perflab db start {parsed.database}")
            return
        start = clock()
        with Database.open(server_url) as database:
            seconds = clock() - start
            yield Check("reachable", Verdict.OK, f"connected in {duration(seconds)}", values={"seconds": seconds})
            yield from examine_server(database, is_local=_is_local(parse_url(server_url)), clock=clock, now=now)


@contextmanager
def _running(parsed: URL, url: str) -> Iterator[str | None]:
    """The URL of the server, which runs for the block; None where there was never an embedded one."""
    if parsed.drivername != EMBEDDED_SCHEME:
        yield url
        return
    from perflab.database.embedded import USER, EmbeddedServer  # noqa: PLC0415  # needs Linux or macOS
    from perflab.database.embedded_directory import is_server_directory  # noqa: PLC0415

    if not is_server_directory(str(parsed.database)):
        yield None
        return
    with EmbeddedServer.start(str(parsed.database)) as server:
        yield server.database_url(str(parsed.query.get("database", USER)))


def _is_local(url: URL) -> bool:
    """Whether it is reached by a Unix socket, and so shares this machine's file system."""
    host = url.query.get("host", url.host)
    return isinstance(host, str) and host.startswith("/")
