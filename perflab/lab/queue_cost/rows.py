"""Rows that the database makes itself, because a million of them is not what is measured, and what it says of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from perflab.database.database import Database
from perflab.database.statements import load_statements
from perflab.database.values import to_microseconds
from perflab.errors import WrongAnswer
from perflab.lab.queue_cost.plan import PRIORITIES, QUEUE

_PACKAGE = "perflab.lab.queue_cost"
BEFORE_ALL = -1
"""The priority of jobs for later."""


def fill(database: Database, *, ready: int = 0, scheduled: int = 0, priorities: int = PRIORITIES) -> None:
    """Put jobs into the queue.

    Args:
        database: with perflab's tables.
        ready: jobs numbered from 0 in their payloads, whose priorities take turns, each later than the one before.
        scheduled: jobs for tomorrow, which would be before all others.
        priorities: of the ready ones.
    """
    now = datetime.now(UTC)
    for state, jobs, run_at, priority, levels in (
        ("ready", ready, now - timedelta(hours=1), 0, priorities),
        ("scheduled", scheduled, now + timedelta(days=1), BEFORE_ALL, 1),
    ):
        if not jobs:
            continue
        values = {
            "queue": QUEUE,
            "priority": priority,
            "priorities": levels,
            "run_at": to_microseconds(run_at, "run_at"),
            "state": state,
            "now": to_microseconds(now, "now"),
            "jobs": jobs,
        }
        with database.driver_transaction() as connection:
            connection.execute(_statement(database, "fill"), values)


def tidy(database: Database) -> None:
    """Do what autovacuum would have come to do by now. SQLite has nothing of the kind."""
    if database.engine_name == "postgresql":
        with database.writing_connection() as connection:
            connection.execute(_statement(database, "report_statistics")).fetchall()
            connection.execute(_statement(database, "tidy"))


def bytes_on_disk(database: Database) -> int:
    """Of the jobs and their indexes; on SQLite of the file and its log."""
    ((size,),) = database.fetch(_statement(database, "bytes"))
    if database.engine_name == "sqlite":
        ((file,),) = database.fetch(_statement(database, "file"))
        size += Path(f"{file}-wal").stat().st_size
    return int(size)


def dead_rows(database: Database) -> int | None:
    """Versions of rows that the last `tidy` had to leave in the table; None on SQLite, which has none."""
    if database.engine_name == "sqlite":
        return None
    ((rows,),) = database.fetch(_statement(database, "dead_rows"))
    return int(rows)


@contextmanager
def held_snapshot(url: str) -> Iterator[None]:
    """Look at the database as it is now until the block ends, on a connection of its own, as a long report does."""
    with Database.open(url) as database, database.reading_connection() as connection:
        isolation = "ISOLATION LEVEL REPEATABLE READ" if database.engine_name == "postgresql" else ""
        connection.execute(f"BEGIN {isolation}")
        connection.execute(_statement(database, "hold")).fetchall()
        try:
            yield
        finally:
            connection.execute("ROLLBACK")


def check_empty(database: Database, what: str) -> None:
    """Raises WrongAnswer where jobs are left that should be done."""
    ((left,),) = database.fetch("SELECT count(*) FROM perflab_jobs")
    if left:
        raise WrongAnswer(f"{what}: {left:,} jobs are left, and none should be. This visit has no time.")


def _statement(database: Database, name: str) -> str:
    return load_statements(_PACKAGE, database.engine_name)[name]
