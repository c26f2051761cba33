"""A process is killed right before its first operation, its second, …, in each main path.

Another one finds all or nothing of each call, and finishes the work.
"""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count

import psycopg
import pytest

from perflab.database.database import Database
from perflab.errors import OutcomeUnknown
from tests.faults import nth_operation
from tests.faults.leaks import check_integrity
from tests.faults.main_paths import MAIN_PATHS, MainPath
from tests.faults.nth_operation import NthOperation
from tests.postgres_databases import PostgresDatabases
from tests.processes import wait_for

SESSIONS = b"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def kill_self(_connection: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_in_a_child(url: str, path: MainPath, dying: AbstractContextManager[NthOperation]) -> bool:
    """Run the path in a process of its own; whether it was killed before it came to its end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which this child has no use for
        child = os.fork()
    if child == 0:
        try:
            with dying, Database.open(url) as database:
                path.run(database)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


def each_kill(
    new_url: Callable[[], str], path: type[MainPath], dying: Callable[[int], AbstractContextManager[NthOperation]]
) -> int:
    """How many operations there were to be killed before."""
    for n in count(1):
        url, one = new_url(), path()
        with Database.open(url) as database:
            one.prepare(database)
        was_killed = killed_in_a_child(url, one, dying(n))
        if url.startswith("postgresql"):
            with psycopg.connect(url, autocommit=True) as observer:
                wait_for(lambda: observer.execute(SESSIONS).fetchone() == (0,))
        with Database.open(url) as fresh:
            check_integrity(fresh)
            one.check(fresh, OutcomeUnknown("it was killed, and could not say what it had done"))
            one.finish(fresh)
            check_integrity(fresh)
        if not was_killed:
            return n - 1
    raise AssertionError


@pytest.mark.case("F01", "F02", "F04")
@pytest.mark.parametrize("path", MAIN_PATHS)
def test_on_sqlite(empty_sqlite: Callable[[], str], path: type[MainPath]) -> None:
    assert each_kill(empty_sqlite, path, lambda n: nth_operation.sqlite_at(n, kill_self)) > 10


@pytest.mark.case("F01", "F02", "F04")
@pytest.mark.parametrize("path", MAIN_PATHS)
def test_on_postgresql(postgres_databases: PostgresDatabases, path: type[MainPath]) -> None:
    assert each_kill(postgres_databases.perflab, path, lambda n: nth_operation.postgres_at(n, kill_self)) >= 5
