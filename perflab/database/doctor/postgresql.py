"""Checks of a PostgreSQL server, over one connection of a `Database`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perflab.database.database import Database
from perflab.database.doctor.diagnosis import Check, Verdict
from perflab.database.doctor.machine import check_disk, check_revision, check_round_trip, size
from perflab.database.failures import TypedErrors, driver_error
from perflab.database.schema import VERSION_TABLE, current_revision
from perflab.database.statements import load_statements
from perflab.errors import StatementError

DEAD_ROWS = 10_000
"""Fewer are not worth a word: a queue makes them all the time, and autovacuum takes them away."""
DEAD_SHARE = 0.5
"""Dead rows per row of any kind; autovacuum comes at 0.2 of the live ones by default."""
CHANGED_ROWS = 10_000
LONG_TRANSACTION_SECONDS = 300.0
CLOCK_SKEW_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class TableState:
    """What the server's statistics say of one of perflab's tables. They are estimates, of a moment ago."""

    name: str
    may_write: bool
    live_rows: int
    dead_rows: int
    changed_rows: int
    """Since the last ANALYZE."""
    was_analyzed: bool
    total_bytes: int
    autovacuum_off: bool


def examine_server(
    database: Database,
    *,
    is_local: bool,
    clock: Callable[[], float] = time.perf_counter,
    now: Callable[[], float] = time.time,
) -> Iterator[Check]:
    """Look at the server of an open database. Nothing is written, and no statement runs longer than a moment.

    Args:
        database: on PostgreSQL.
        is_local: the server shares this machine's file system.
        clock: seconds that only grow.
        now: seconds since 1970.
    """
    sql = load_statements(__package__, "postgresql")
    asked = now()
    [server] = database.fetch(sql["server"])
    answered = now()
    version, name, user, in_recovery, read_only, may_create, database_bytes, server_time = server
    settings: dict[str, str] = dict(database.fetch(sql["settings"]))
    tables = [TableState(*row) for row in database.fetch(sql["tables"])]
    yield Check(
        "engine", Verdict.OK, f"PostgreSQL {version}, database {name!r}, user {user!r}", values={"version": version}
    )
    yield _writable(tables, in_recovery=in_recovery, read_only=read_only, may_create=may_create)
    yield _schema(database)
    yield _durability(settings)
    with database.writing_connection() as driver:
        yield check_round_trip(lambda: driver.execute("SELECT 1").fetchall(), clock)
    yield _clock(server_time - (asked + answered) / 2, answered - asked)
    [(connected,)] = database.fetch(sql["connections"])
    yield _connections(settings, connected - 1, database.most_connections)
    [extension] = database.fetch(sql["statements_extension"])
    yield _statements_extension(*extension)
    yield _tables(tables, settings)
    yield _oldest_transaction(database.fetch(sql["oldest_transaction"]))
    yield _disk(settings.get("data_directory"), database_bytes, is_local=is_local)


def _schema(database: Database) -> Check:
    try:
        with database.reading() as connection, TypedErrors("reading the revision of perflab's tables"):
            return check_revision(current_revision(connection))
    except StatementError as error:
        finding = f"its revision cannot be read: {driver_error(error.__cause__ or error)}"
        return Check("schema", Verdict.FAILURE, finding, f"GRANT SELECT on {VERSION_TABLE}")


def _writable(tables: list[TableState], *, in_recovery: bool, read_only: bool, may_create: bool) -> Check:
    values = {"in_recovery": in_recovery, "read_only": read_only, "may_create": may_create}
    if in_recovery:
        advice = "give the URL of the primary, or add target_session_attrs=read-write"
        return Check("writable", Verdict.FAILURE, "the server is a read-only standby", advice, values)
    if read_only:
        advice = "set it off for this user, or use another database"
        return Check("writable", Verdict.FAILURE, "default_transaction_read_only is on", advice, values)
    if barred := [table.name for table in tables if not table.may_write]:
        finding = f"this user may not read and change {', '.join(barred)}"
        return Check("writable", Verdict.FAILURE, finding, "GRANT SELECT, INSERT, UPDATE, DELETE on them", values)
    if not tables and not may_create:
        advice = "GRANT CREATE on its schema, or let its owner run perflab db upgrade"
        return Check("writable", Verdict.FAILURE, "this user may not create perflab's tables", advice, values)
    what = "change perflab's tables" if tables else "create perflab's tables"
    return Check("writable", Verdict.OK, f"this user may {what}", values=values)


def _durability(settings: dict[str, str]) -> Check:
    values = {name: settings.get(name) for name in ("fsync", "full_page_writes", "synchronous_commit")}
    shown = ", ".join(f"{name} {value}" for name, value in values.items())
    if off := [name for name in ("fsync", "full_page_writes") if settings.get(name) == "off"]:
        advice = f"set {' and '.join(off)} on: a crash of the machine can destroy the whole database"
        return Check("durability", Verdict.FAILURE, shown, advice, values)
    if settings.get("synchronous_commit") == "off":
        advice = "open with durability='full', or set it on: a crash of the server can take the last commits back"
        return Check("durability", Verdict.WARNING, shown, advice, values)
    return Check("durability", Verdict.OK, shown, values=values)


def _clock(skew_seconds: float, uncertainty_seconds: float) -> Check:
    """Leases and due times are those of the machine that runs perflab: what matters is that all of them agree."""
    values = {"skew_seconds": skew_seconds, "uncertainty_seconds": uncertainty_seconds}
    finding = f"the server's clock is {abs(skew_seconds):.3f} s {'ahead' if skew_seconds > 0 else 'behind'}"
    if abs(skew_seconds) > CLOCK_SKEW_SECONDS + uncertainty_seconds:
        advice = "set both by NTP: leases and due times are those of the machine that runs perflab"
        return Check("clock", Verdict.WARNING, finding, advice, values)
    return Check("clock", Verdict.OK, finding, values=values)


def _connections(settings: dict[str, str], others: int, pool: int) -> Check:
    limit = int(settings.get("max_connections", 0))
    reserved = sum(int(settings.get(name, 0)) for name in ("superuser_reserved_connections", "reserved_connections"))
    free = limit - reserved - others
    values = {"pool": pool, "max_connections": limit, "reserved": reserved, "others": others, "free": free}
    finding = (
        f"a process here opens up to {pool}; of max_connections {limit} others hold {others}, {reserved} are reserved: "
        f"{max(free, 0)} free"
    )
    advice = "raise max_connections, run fewer processes, or put PgBouncer in between"
    if free < pool:
        return Check("connections", Verdict.FAILURE, finding, advice, values)
    if free < 2 * pool:
        return Check("connections", Verdict.WARNING, f"{finding}, enough for one process", advice, values)
    return Check("connections", Verdict.OK, f"{finding}, enough for {free // pool} processes", values=values)


def _statements_extension(version: str | None, is_available: bool, is_loaded: bool) -> Check:
    values = {"version": version, "available": is_available, "loaded": is_loaded}
    if version is not None and is_loaded:
        return Check("extensions", Verdict.OK, f"pg_stat_statements {version} is there", values=values)
    advice = "to see slow statements of all clients, "
    if not is_available:
        advice += "install the package of PostgreSQL's contrib modules"
    elif not is_loaded:
        advice += "add it to shared_preload_libraries, restart, and CREATE EXTENSION pg_stat_statements"
    else:
        advice += "CREATE EXTENSION pg_stat_statements"
    return Check("extensions", Verdict.NOTE, "pg_stat_statements is not in use", advice, values)


def _tables(tables: list[TableState], settings: dict[str, str]) -> Check:
    """Dead rows, which every scan steps over, and statistics by which the planner goes astray."""
    values: dict[str, Any] = {
        table.name: {
            "live_rows": table.live_rows,
            "dead_rows": table.dead_rows,
            "changed_rows": table.changed_rows,
            "total_bytes": table.total_bytes,
        }
        for table in tables
    }
    if off := [name for name in ("autovacuum", "track_counts") if settings.get(name) == "off"]:
        finding = f"{' and '.join(off)} {'is' if len(off) == 1 else 'are'} off: nothing cleans up behind a queue"
        return Check("tables", Verdict.FAILURE, finding, f"set {' and '.join(off)} on", values)
    if without := [table.name for table in tables if table.autovacuum_off]:
        advice = f"ALTER TABLE {without[0]} RESET (autovacuum_enabled)"
        return Check("tables", Verdict.FAILURE, f"autovacuum is off for {', '.join(without)}", advice, values)
    dead = [
        table
        for table in tables
        if table.dead_rows >= DEAD_ROWS and table.dead_rows > DEAD_SHARE * (table.dead_rows + table.live_rows)
    ]
    stale = [
        table
        for table in tables
        if table.changed_rows >= CHANGED_ROWS and (table.changed_rows > table.live_rows or not table.was_analyzed)
    ]
    if dead or stale:
        findings = [
            f"{table.name} has {table.dead_rows:,} dead rows beside {table.live_rows:,} live ones" for table in dead
        ]
        findings += [f"{table.name} changed in {table.changed_rows:,} rows since its last ANALYZE" for table in stale]
        names = ", ".join(sorted({table.name for table in (*dead, *stale)}))
        return Check("tables", Verdict.WARNING, ", ".join(findings), f"VACUUM (ANALYZE) {names}", values)
    if not tables:
        return Check("tables", Verdict.OK, "none of perflab's are there")
    total = sum(table.total_bytes for table in tables)
    finding = f"{len(tables)} tables of perflab, {size(total)}, {sum(table.dead_rows for table in tables):,} dead rows"
    return Check("tables", Verdict.OK, finding, values=values)


def _oldest_transaction(rows: list[tuple[Any, ...]]) -> Check:
    if not rows:
        return Check("transactions", Verdict.OK, "none but this one is open")
    pid, application, state, age_seconds = rows[0]
    values = {"pid": pid, "application": application, "state": state, "age_seconds": age_seconds}
    finding = f"the oldest is open for {age_seconds:,.0f} s (process {pid}, {application or 'unnamed'}, {state})"
    if age_seconds > LONG_TRANSACTION_SECONDS:
        advice = f"end it (SELECT pg_terminate_backend({pid})): no row that died since can be cleaned up"
        return Check("transactions", Verdict.WARNING, finding, advice, values)
    return Check("transactions", Verdict.OK, finding, values=values)


def _disk(data_directory: str | None, database_bytes: int, *, is_local: bool) -> Check:
    if is_local and data_directory is not None:
        folder = Path(data_directory)
        # Its data is closed to others, so look at the nearest folder that is not.
        while folder != folder.parent:
            try:
                return check_disk(folder, database_bytes)
            except OSError:
                folder = folder.parent
    finding = f"the database has {size(database_bytes)}; a server does not say how much of its disk is free"
    return Check("disk", Verdict.NOTE, finding, "watch it on its machine", {"database_bytes": database_bytes})
