"""A process that is killed between the statements of a unit leaves nothing of it."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing

import psycopg
import pytest
from sqlalchemy.engine import make_url

from perflab.database.database import Database
from tests.batching.conftest import PATIENCE_SECONDS

StartPython = Callable[..., "subprocess.Popen[str]"]

PROCESS = """
    import sys
    from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, insert
    from perflab.batching.batcher import RequestBatcher
    from perflab.database.database import Database

    metadata = MetaData()
    hour = Table("weather_hour", metadata, Column("id", Integer, primary_key=True))
    flight = Table("flight", metadata, Column("id", Integer), Column("hour", ForeignKey("weather_hour.id")))

    class Pause:
        name = "pause"
        tables = frozenset({"weather_hour", "flight"})
        def prepare(self, item):
            return item
        def size_bytes(self, item):
            return 0
        def apply(self, connection, rows):
            print("between", flush=True)
            sys.stdin.read()
            return rows

    with Database.open(sys.argv[1]) as database:
        with database.transaction() as connection:
            metadata.create_all(connection)
        with RequestBatcher(database, 100, 0.001) as batcher:
            for number in (1, 2):
                with batcher.atomic() as unit:
                    future = unit.submit(insert(hour), {"id": number})
                    if number == 2:
                        unit.submit(Pause(), None)
                    unit.submit(insert(flight), {"id": 10 * number, "hour": number})
                future.result()
"""

WRITES_HOURS = """
SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE relation = 'weather_hour'::regclass AND mode = 'RowExclusiveLock' AND granted AND application_name = 'victim'
"""
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'victim'"


def eventually(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.005)


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == -signal.SIGKILL


def kill_on_sqlite(process: subprocess.Popen[str], path: str) -> None:
    """Once the transaction of the unit holds the write lock."""
    with (
        closing(sqlite3.connect(path, timeout=0.0, isolation_level=None)) as observer,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        observer.execute("BEGIN IMMEDIATE")
    kill(process)


def kill_on_postgresql(process: subprocess.Popen[str], url: str) -> None:
    """Once the server has begun to write the hour, and before the flight is sent; then wait for the session to end."""
    with psycopg.connect(url, autocommit=True) as observer:

        def count(sql: str) -> int:
            ((number,),) = observer.execute(sql.encode()).fetchall()
            return int(number)

        eventually(lambda: count(WRITES_HOURS))
        kill(process)
        eventually(lambda: not count(SESSIONS))


@pytest.mark.case("F02")
def test_a_kill_between_the_statements_of_a_unit_leaves_nothing_of_it(
    database_url: str, start_python: StartPython
) -> None:
    on_sqlite = database_url.startswith("sqlite")
    url = make_url(database_url)
    own = database_url if on_sqlite else url.update_query_dict({"application_name": "victim"}).render_as_string(False)
    process = start_python(PROCESS, own)
    assert process.stdout is not None
    assert process.stdout.readline() == "between\n"
    if on_sqlite:
        kill_on_sqlite(process, str(url.database))
    else:
        kill_on_postgresql(process, database_url)
    with Database.open(database_url) as reopened:
        assert reopened.fetch("SELECT id FROM weather_hour") == [(1,)], "the first unit was acknowledged"
        assert reopened.fetch("SELECT id FROM flight") == [(10,)]
        if on_sqlite:
            assert reopened.fetch("PRAGMA integrity_check") == [("ok",)]
