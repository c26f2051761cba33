"""Which engines can be measured here."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec

from perflab.database.doctor.diagnosis import Check, Verdict
from perflab.database.sqlite import MINIMUM_VERSION
from perflab.errors import MissingExtra
from perflab.lab.notebook import URL_VARIABLE

INSTALL = "pip install 'perflab[postgres]'"


def check_engines(
    *,
    sqlite_version: tuple[int, ...] = sqlite3.sqlite_version_info,
    has_driver: Callable[[], bool] = lambda: find_spec("psycopg") is not None,
    environment: Mapping[str, str] = os.environ,
) -> Iterator[Check]:
    """A check for each engine. No server is started and none is asked: `perflab db doctor URL` does that."""
    shown = ".".join(map(str, sqlite_version))
    if sqlite_version < MINIMUM_VERSION:
        needed = ".".join(map(str, MINIMUM_VERSION))
        advice = "use a newer Python, which brings a newer SQLite"
        yield Check("sqlite", Verdict.FAILURE, f"version {shown}, and {needed} is needed", advice, {"version": shown})
    else:
        yield Check("sqlite", Verdict.OK, f"version {shown}", values={"version": shown})
    if not has_driver():
        finding = "its driver is not installed"
        yield Check("postgresql", Verdict.NOTE, finding, f"to measure it: {INSTALL}", {"driver": False})
        return
    embedded = _embedded()
    values = {"driver": True, "embedded": embedded is None, "url_given": bool(environment.get(URL_VARIABLE))}
    if environment.get(URL_VARIABLE):
        yield Check("postgresql", Verdict.OK, f"the server that {URL_VARIABLE} names will be measured", values=values)
    elif embedded is None:
        yield Check("postgresql", Verdict.OK, "an embedded server can be started", values=values)
    else:
        advice = f"name a server of yours in {URL_VARIABLE}, or {INSTALL}"
        yield Check("postgresql", Verdict.NOTE, embedded, advice, values)


def _embedded() -> str | None:
    """Why no embedded server can be started; None where one can."""
    try:
        from perflab.database.embedded_programs import find_binaries  # noqa: PLC0415  # needs Linux or macOS

        find_binaries()
    except MissingExtra:
        return "there is a driver, and no embedded server to start"
    return None
