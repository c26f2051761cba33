"""Scratch copies on SQLite: the whole database, through the backup API, which blocks no writer."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from perflab.database.database import Database
from perflab.database.failures import TypedErrors
from perflab.database.operation import DriverConnection
from perflab.database.sqlite import is_memory
from perflab.database.statements import load_statements
from perflab.database.urls import parse_url
from perflab.lab.advice.advice import Finding, Proposal
from perflab.lab.advice.plan import Plan, read_sqlite_plan
from perflab.lab.advice.scratch import CannotMeasure, Scratch, ScratchLimits
from perflab.lab.advice.statement import Parameters, Statement
from perflab.lab.advice.table_facts import quoted
from perflab.lab.scratch.directory import scratch_directory


class SQLiteCopy:
    """A copy in a file of its own, on one connection."""

    row_key = "rowid"

    def __init__(self, connection: DriverConnection) -> None:
        self._connection = connection
        # Rows are deleted and put back: what refers to them must not notice.
        connection.execute("PRAGMA foreign_keys = OFF")

    def table(self, name: str) -> str:
        return quoted(name)

    def execute(self, sql: str, parameters: Parameters | None = None) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._connection.execute(sql, () if parameters is None else parameters).fetchall()
        return rows

    @contextmanager
    def transaction(self, *, commit: bool) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with suppress(sqlite3.Error):  # the first error is the one that counts
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT" if commit else "ROLLBACK")

    def explain(self, statement: Statement) -> Plan:
        return read_sqlite_plan(self.execute(f"EXPLAIN QUERY PLAN {statement.sql}", statement.parameters))

    def settle(self, _tables: Sequence[str]) -> None:
        """What was rolled back has left nothing; the log of what was committed goes into the file."""
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def sqlite_scratch(
    database: Database, finding: Finding, proposal: Proposal, limits: ScratchLimits
) -> Iterator[Scratch]:
    """See `open_scratch`."""
    with ExitStack() as stack:
        directory = stack.enter_context(scratch_directory())
        _check_room(database, limits, directory)
        stack.enter_context(TypedErrors("measuring in a scratch copy"))
        copies: list[SQLiteCopy] = []
        for name in ("before", "after"):
            opened = stack.enter_context(
                Database.open(f"sqlite:///{directory / name}.db", durability=database.durability)
            )
            connection = stack.enter_context(opened.writing_connection())
            with _original(database) as original:
                original.backup(cast("sqlite3.Connection", connection))
            copies.append(SQLiteCopy(connection))
        before, after = copies
        for sql in proposal.change.sql_in_scratch(after.table(finding.table.name)):
            after.execute(sql)
        yield Scratch(before, after)


@contextmanager
def _original(database: Database) -> Iterator[sqlite3.Connection]:
    """A connection to copy from, outside of any writing transaction: the backup would wait for its end."""
    if is_memory(parse_url(database.url)):
        with database.writing_connection() as connection:
            yield cast("sqlite3.Connection", connection)
    else:
        with database.reading() as reader:
            yield cast("sqlite3.Connection", reader.connection.dbapi_connection)


def _check_room(database: Database, limits: ScratchLimits, directory: Path) -> None:
    ((size,),) = database.fetch(load_statements("perflab.lab.advice", "sqlite")["size"])
    if size > limits.bytes:
        raise CannotMeasure(
            f"a copy of the database has {size / 1024**2:,.0f} MiB, and the limit is {limits.bytes / 1024**2:,.0f} MiB"
        )
    free = shutil.disk_usage(directory).free
    if free < 3 * size:  # both copies, and the log of one
        raise CannotMeasure(
            f"two copies and a log need {3 * size / 1024**2:,.0f} MiB in {tempfile.gettempdir()!r}, which has "
            f"{free / 1024**2:,.0f} MiB: name another directory in TMPDIR"
        )
