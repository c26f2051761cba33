"""A database does not cross a fork: the child gets an error, and the parent goes on as if nothing had happened."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable

import psycopg
import pytest

FORK = """
    import os, sys
    from perflab.database.database import Database
    from perflab.errors import LifecycleError

    database = Database.open(sys.argv[1])
    with database.driver_transaction() as connection:
        connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY)")
    database.fetch("SELECT 1")

    def refused(use):
        try:
            use()
        except LifecycleError as error:
            return "before a fork: open it again in this process" in str(error)

    if (child := os.fork()) == 0:
        uses = [
            lambda: database.fetch("SELECT 1"),
            lambda: database.transaction().__enter__(),
            lambda: database.driver_transaction().__enter__(),
            lambda: database.reading().__enter__(),
            database.create_schema,
        ]
        verdicts = [refused(use) for use in uses]
        database.close()  # harmless
        with Database.open(sys.argv[1]) as own, own.driver_transaction() as connection:
            connection.execute("INSERT INTO item VALUES (1)")
        sys.exit(0 if verdicts == [True] * 5 else 1)  # an orderly end, with everything that it collects

    _, status = os.waitpid(child, 0)
    for number in range(3):
        with database.driver_transaction() as connection:
            connection.execute(f"INSERT INTO item (id) VALUES ({number + 2})")
    print(os.waitstatus_to_exitcode(status), database.fetch("SELECT count(*) FROM item"))
    database.close()
    with Database.open(sys.argv[1]) as reopened:
        print(reopened.fetch("SELECT count(*) FROM item"))
        if reopened.engine_name == "sqlite":
            assert reopened.fetch("PRAGMA integrity_check") == [("ok",)]
"""

RunPython = Callable[..., subprocess.CompletedProcess[str]]
StartPython = Callable[..., "subprocess.Popen[str]"]


@pytest.mark.case("F16")
def test_a_fork_is_refused_in_the_child_and_harmless_in_the_parent(run_python: RunPython, database_url: str) -> None:
    ended = run_python(FORK, database_url)
    assert ended.stdout == "0 [(4,)]\n[(4,)]\n"
    assert ended.stderr == ""


FORK_IN_A_TRANSACTION = """
    import gc, os, sys
    from perflab.database.database import Database

    database = Database.open(sys.argv[1], pool_size=2)
    with database.reading():  # so that another connection lies in the pool
        database.fetch("SELECT 1")

    def child(connection):
        misuses = [
            lambda: connection.execute("DROP TABLE item"),
            lambda: connection.commit(),
            lambda: connection.close(),
            lambda: database.close(),
        ]
        for misuse in misuses:
            try:
                misuse()
            except Exception as error:
                print(type(error).__name__, file=sys.stderr)

    def life(connection):
        if (pid := os.fork()) == 0:
            child(connection)
            raise SystemExit(3)  # leaves the block of the transaction, in the child
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    parent = os.getpid()
    try:
        with database.driver_conversation() as connection:
            before = connection.execute("SELECT pg_backend_pid(), txid_current()").fetchall()
            connection.execute("CREATE TABLE item (id int)")
            code = life(connection)
            assert connection.execute("SELECT pg_backend_pid(), txid_current()").fetchall() == before
        connection = None
        gc.collect()
        print(database.fetch("SELECT count(*) FROM item"), code != 0)
    finally:
        if os.getpid() != parent:
            connection = database = None
            gc.collect()
    database.close()
"""


@pytest.mark.case("F16")
def test_a_child_cannot_touch_a_transaction_of_its_parent(run_python: RunPython, postgres_url: str) -> None:
    ended = run_python(FORK_IN_A_TRANSACTION, postgres_url)
    assert ended.stdout == "[(0,)] True\n"
    assert ended.stderr.startswith("OperationalError\n")  # the child tried


DIE_WITH_A_CHILD = """
    import os, sys, time
    from perflab.database.database import Database

    with Database.open(sys.argv[1]) as database, database.driver_conversation() as connection:
        connection.execute("LOCK TABLE item")
        if (child := os.fork()) == 0:
            time.sleep(600)
        print(child, flush=True)
        time.sleep(600)
"""


@pytest.mark.case("F02")
def test_locks_of_a_killed_parent_go_although_its_child_lives(start_python: StartPython, postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute("CREATE TABLE item (id int)")
        parent = start_python(DIE_WITH_A_CHILD, postgres_url)
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        try:
            with pytest.raises(psycopg.errors.LockNotAvailable):
                other.execute("SET lock_timeout = 1; INSERT INTO item VALUES (1)")
            parent.send_signal(signal.SIGKILL)
            parent.wait()
            other.execute("SET lock_timeout = '60s'; INSERT INTO item VALUES (1)")
        finally:
            subprocess.run(["kill", "-9", str(child)], check=True)
