"""Checks of a SQLite file, on a connection that changes nothing: not even the journal mode, which opening it would."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import URL
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from perflab.database.doctor.diagnosis import Check, Verdict
from perflab.database.doctor.machine import check_disk, check_revision, check_round_trip, duration, size
from perflab.database.schema import VERSION_TABLE
from perflab.database.sqlite import BEGIN, READING_CONNECTIONS, check_path, is_busy, is_memory
from perflab.errors import InvalidInput

LARGEST_QUICK_CHECK_BYTES = 256 << 20
"""About a second from memory; the check reads the whole file."""
LARGE_LOG_BYTES = 256 << 20
"""The log is written back every 1,000 pages, some 4 MiB, unless a reader holds it."""
FREE_BYTES = 64 << 20
FREE_SHARE = 0.5


def examine_file(url: URL, *, clock: Callable[[], float] = time.perf_counter) -> Iterator[Check]:
    """Look at a SQLite file.

    Args:
        url: of a file, checked by `parse_url`.
        clock: seconds that only grow.

    Raises:
        InvalidInput: it is a database in memory, or cannot be a path.
        DatabaseUnusable: the library is too old, or the file is out of reach or read-only.
    """
    if is_memory(url):
        raise InvalidInput(f"{url.render_as_string()!r} is in memory and empty: give the URL of a file")
    check_path(url)
    path, is_uri = _existing_only(url)
    start = clock()
    try:
        connection = sqlite3.connect(path, uri=is_uri, timeout=0.0, isolation_level=None)
    except sqlite3.Error as error:
        yield _unreachable(url, error)
        return
    with closing(connection):
        try:
            connection.execute("PRAGMA schema_version").fetchone()
        except sqlite3.Error as error:
            yield _unreachable(url, error)
            return
        seconds = clock() - start
        yield Check("reachable", Verdict.OK, f"opened in {duration(seconds)}", values={"seconds": seconds})
        version = sqlite3.sqlite_version
        yield Check("engine", Verdict.OK, f"SQLite {version}", values={"version": version})
        yield _writable(connection)
        yield check_revision(_revision(connection))
        yield _durability(connection)
        yield check_round_trip(lambda: connection.execute("SELECT 1").fetchone(), clock)
        readers = f"a process here opens 1 connection that writes, and up to {READING_CONNECTIONS} that read"
        yield Check("connections", Verdict.OK, readers, values={"pool": 1 + READING_CONNECTIONS})
        yield from _file(connection)


def _existing_only(url: URL) -> tuple[str, bool]:
    """What `sqlite3.connect` takes to open the file, and never to make it."""
    (name, *_), _options = SQLiteDialect_pysqlite().create_connect_args(url)
    if not str(url.database).startswith("file:"):
        return f"{Path(name).absolute().as_uri()}?mode=rw", True
    return (name if "mode" in url.query else f"{name}{'&' if '?' in name else '?'}mode=rw"), True


def _unreachable(url: URL, error: sqlite3.Error) -> Check:
    finding = f"{str(url.database)!r} cannot be opened: {error}"
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_CANTOPEN:
        advice = "correct the path, or make it with perflab db upgrade"
    else:
        advice = "keep the file and its -wal as they are, and restore a copy"
    return Check("reachable", Verdict.FAILURE, finding, advice)


def _writable(connection: sqlite3.Connection) -> Check:
    """Begin a write and take it back: BEGIN alone is allowed where writing is not."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    try:
        connection.execute(BEGIN)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if is_busy(error):
            return Check("writable", Verdict.OK, "another writer is at work right now")
        advice = "allow writing to the file and to its folder"
        return Check("writable", Verdict.FAILURE, f"writing is refused: {error}", advice)
    return Check("writable", Verdict.OK, "a write could begin, and was taken back")


def _revision(connection: sqlite3.Connection) -> str | None:
    there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [VERSION_TABLE]).fetchone()
    row = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone() if there else None  # noqa: S608
    return None if row is None else str(row[0])


def _durability(connection: sqlite3.Connection) -> Check:
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    values = {"journal_mode": mode}
    if mode == "wal":
        finding = "journal mode wal; a power loss can take back the last commits unless opened with durability='full'"
        return Check("durability", Verdict.OK, finding, values=values)
    finding = f"journal mode {mode}; perflab changes it to wal when it opens the file"
    return Check("durability", Verdict.NOTE, finding, values=values)


def _file(connection: sqlite3.Connection) -> Iterator[Check]:
    pages, free, page_bytes = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    path = Path(connection.execute("PRAGMA database_list").fetchone()[2])
    yield _integrity(connection, pages * page_bytes)
    log = path.with_name(f"{path.name}-wal")
    yield _space(pages * page_bytes, free * page_bytes, log.stat().st_size if log.exists() else 0)
    yield _statistics(connection)
    yield check_disk(path.parent, pages * page_bytes)


def _integrity(connection: sqlite3.Connection, file_bytes: int) -> Check:
    if file_bytes > LARGEST_QUICK_CHECK_BYTES:
        finding = f"not looked at: reading {size(file_bytes)} takes a while"
        return Check("integrity", Verdict.NOTE, finding, "run PRAGMA quick_check when there is time")
    try:
        (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        answer = str(error)
    if answer != "ok":
        advice = "keep the file and its -wal as they are, and restore a copy"
        return Check("integrity", Verdict.FAILURE, f"the file is damaged: {' '.join(answer.split())}", advice)
    return Check("integrity", Verdict.OK, "PRAGMA quick_check finds nothing")


def _space(file_bytes: int, free_bytes: int, log_bytes: int) -> Check:
    values = {"file_bytes": file_bytes, "free_bytes": free_bytes, "log_bytes": log_bytes}
    finding = f"the file has {size(file_bytes)}, of which {size(free_bytes)} unused; its log has {size(log_bytes)}"
    if log_bytes > LARGE_LOG_BYTES:
        advice = "end the reader that stays open: it keeps the log from being written back"
        return Check("tables", Verdict.WARNING, finding, advice, values)
    if free_bytes > FREE_BYTES and free_bytes > FREE_SHARE * file_bytes:
        return Check("tables", Verdict.WARNING, finding, "VACUUM gives it back to the disk", values)
    return Check("tables", Verdict.OK, finding, values=values)


def _statistics(connection: sqlite3.Connection) -> Check:
    """What ANALYZE left. perflab's own statements do without: partial indexes in their order leave no choice."""
    analyzed: list[Any] = []
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'").fetchone():
        analyzed = connection.execute(
            "SELECT tbl, max(CAST(stat AS INTEGER)) FROM sqlite_stat1 WHERE substr(tbl, 1, 8) = 'perflab_' GROUP BY tbl"
        ).fetchall()
    if not analyzed:
        return Check("statistics", Verdict.OK, "perflab's tables have none, and need none")
    finding = ", ".join(f"{table} had {rows:,} rows" for table, rows in analyzed)
    advice = "run ANALYZE again if they have grown much since"
    return Check("statistics", Verdict.NOTE, f"ANALYZE was run when {finding}", advice, dict(analyzed))
