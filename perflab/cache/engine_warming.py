"""Warming the engine itself: what the first reads after a start would wait for the disk for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Table

from perflab.database.database import Database
from perflab.database.failures import TypedErrors
from perflab.database.operation import DriverConnection
from perflab.database.statements import load_statements
from perflab.database.values import check_integer, shown
from perflab.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class EngineWarmReport:
    """What warming an engine came to."""

    bytes: int
    """Read into its memory; on SQLite at the most, for a file does not tell how large a table of it is."""
    left_out: tuple[str, ...]
    """Tables that were not read, or not wholly."""
    reason: str
    """Why; empty if nothing was left out."""
    round_trips: int
    seconds: float


def warm_engine(
    db: Database,
    tables: Iterable[Table | str],
    *,
    max_bytes: int = 1 << 30,
    stopwatch: Callable[[], float] = time.perf_counter,
) -> EngineWarmReport:
    """Have the engine read tables and their indexes in order, before anybody asks for single rows at random places.

    It is for the time after a start of the machine or of the server, when the first read of each page waits for the
    disk. It does nothing for pages that are in memory already. On PostgreSQL it is `pg_prewarm`, where the extension is
    installed (`CREATE EXTENSION pg_prewarm`), up to the size of shared_buffers. On SQLite the tables and indexes are
    scanned once, which brings them into the memory of the operating system; SQLite's own is small, one for each
    connection, and was measured not to matter beside that.

    Args:
        db: where.
        tables: of SQLAlchemy, or names; those that matter most first.
        max_bytes: to read at the most; on SQLite, a file that is larger is left alone.
        stopwatch: seconds, for the report.

    Raises:
        InvalidInput: there is no such table, or an argument is refused.
        DatabaseError: the database failed.
    """
    check_integer(max_bytes, "max_bytes", low=1)
    named = {_name(table): table for table in tables}
    started = stopwatch()
    warm = _warm_postgresql if db.engine_name == "postgresql" else _warm_sqlite
    with db.reading_connection() as connection, TypedErrors("warming the engine"):
        before = connection.round_trips
        read, left_out, reason = warm(connection, named, max_bytes)
        return EngineWarmReport(read, tuple(left_out), reason, connection.round_trips - before, stopwatch() - started)


_Warmed = tuple[int, Sequence[str], str]
_Named = Mapping[str, Table | str]


def _warm_postgresql(connection: DriverConnection, named: _Named, max_bytes: int) -> _Warmed:
    sql = load_statements("perflab.cache", "postgresql")
    name_of = {_reference(table): name for name, table in named.items()}
    relations: list[tuple[str, int, int]] = connection.execute(sql["relations"], {"names": list(name_of)}).fetchall()
    _refuse_unknown(named, {name_of[reference] for reference, _, _ in relations})
    schema = connection.execute(sql["prewarm_schema"]).fetchone()
    if schema is None:
        return 0, list(named), "pg_prewarm is not installed in this database: CREATE EXTENSION pg_prewarm"
    (buffers,) = connection.execute(sql["buffer_bytes"]).fetchone()
    room = min(max_bytes, buffers)
    oids, left_out, read = list[int](), dict[str, None](), 0
    for reference, oid, size in relations:
        if read + size > room:
            left_out[name_of[reference]] = None
        else:
            oids.append(oid)
            read += size
    connection.execute(sql["prewarm"].replace("perflab_prewarm", schema[0]), {"oids": oids}).fetchall()
    why = "max_bytes" if room == max_bytes else "shared_buffers"
    return read, list(left_out), f"{why} has no room for more than {room:,} bytes" if left_out else ""


def _warm_sqlite(connection: DriverConnection, named: _Named, max_bytes: int) -> _Warmed:
    sql = load_statements("perflab.cache", "sqlite")
    columns = {name: connection.execute(sql["columns"], (name,)).fetchall() for name in named}
    _refuse_unknown(named, {name for name, found in columns.items() if found})
    (size,) = connection.execute(sql["file_bytes"]).fetchone()
    if size > max_bytes:
        return 0, list(named), f"the file has {size:,} bytes, and max_bytes is {max_bytes:,}"
    for name in named:
        # the last character of a value, because it is on the last page of a large one
        ends = ", ".join(f"count(substr({_quoted(column)}, -1))" for (column,) in columns[name])
        connection.execute(f"SELECT {ends} FROM {_quoted(name)} NOT INDEXED").fetchall()  # noqa: S608  # quoted
        for index, column in connection.execute(sql["indexes"], (name,)).fetchall():
            by = f"{_quoted(name)} INDEXED BY {_quoted(index)}"
            connection.execute(f"SELECT count(substr({_quoted(column)}, -1)) FROM {by}").fetchall()  # noqa: S608  # too
    return size, (), ""


def _name(table: Table | str) -> str:
    if isinstance(table, Table):
        return table.fullname
    if not isinstance(table, str):
        raise InvalidInput(f"{shown(table, 80)} is no table: give a Table of SQLAlchemy, or a name")
    return table


def _reference(table: Table | str) -> str:
    """As PostgreSQL reads it: a name that is given as text may be one with a schema, or in quotes."""
    if isinstance(table, str):
        return table
    return ".".join(_quoted(part) for part in (table.schema, table.name) if part)


def _refuse_unknown(names: Iterable[str], known: set[str]) -> None:
    if unknown := [name for name in names if name not in known]:
        raise InvalidInput(f"there is no table {', '.join(map(repr, unknown))} in this database")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
