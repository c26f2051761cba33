"""How durable a commit is, asked of the database."""

from __future__ import annotations

import sqlite3
from typing import Any

_SYNCHRONOUS = {1: "normal", 2: "full", 3: "full"}


def sqlite_durability(connection: sqlite3.Connection) -> str:
    """By PRAGMA synchronous (https://sqlite.org/pragma.html#pragma_synchronous), in WAL mode."""
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
    if mode != "wal":
        return f"journal_mode={mode}, synchronous={synchronous}"
    return _SYNCHRONOUS.get(synchronous, f"synchronous={synchronous}")


def postgresql_durability(url: str, jobs: str) -> str:
    """By the settings of a session, and by whether the table of jobs is logged."""
    import psycopg  # noqa: PLC0415  # of an extra

    with psycopg.connect(url) as connection:
        settings = {name: _one(connection, f"SHOW {name}") for name in ("fsync", "synchronous_commit")}
        is_logged = _one(connection, "SELECT relpersistence = 'p' FROM pg_class WHERE oid = %s::regclass", jobs)
    if settings == {"fsync": "on", "synchronous_commit": "on"} and is_logged:
        return "full"
    return ", ".join([*(f"{name}={value}" for name, value in settings.items()), f"{jobs} logged: {is_logged}"])


def count_rows(url: str, query: str) -> int:
    """The one number that a query of PostgreSQL answers."""
    import psycopg  # noqa: PLC0415  # the same

    with psycopg.connect(url) as connection:
        return int(_one(connection, query))


def _one(connection: Any, query: str, *parameters: Any) -> Any:
    return connection.execute(query, parameters or None).fetchone()[0]
