"""Whichever operation fails, in whichever main path: nothing is lost or there twice, and nothing stays open."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count

import pytest

from perflab.database.database import Database
from perflab.errors import PerflabError
from perflab.lab.network.faults import Mode
from perflab.lab.network.postgres_url import url_through
from perflab.lab.network.proxy import Proxy
from perflab.lab.network.triggers import AfterMessages
from tests.faults.leaks import Open, check_integrity
from tests.faults.main_paths import MAIN_PATHS, MainPath
from tests.faults.nth_operation import NthOperation, postgres_ends, sqlite_fails
from tests.postgres_databases import PostgresDatabases

MOST = 1_000
"""A run that has more operations would be no unit any more."""

Fails = Callable[[int], AbstractContextManager[NthOperation]]


def tried(url: str, way: str, path: MainPath, fails: AbstractContextManager[NthOperation]) -> NthOperation:
    """Prepare the path, run it with the fault, and look at what it has left behind, in memory and in the database.

    `way` is another URL of the same database, on which the fault is.
    """
    with Database.open(url) as database:
        path.prepare(database)
    before = Open.now()
    error: PerflabError | None = None
    with fails as operation:
        try:
            with Database.open(way, busy_timeout=1.0, pool_size=2) as database:
                path.run(database)
        except PerflabError as raised:
            error = raised
    if error is not None:
        _let_go(error)
    before.check_nothing_more()
    with Database.open(url) as fresh:
        check_integrity(fresh)
        path.check(fresh, error)
        path.finish(fresh)
        check_integrity(fresh)
    return operation


def _let_go(error: BaseException | None) -> None:
    """Of the frames of an error, which would keep what they have open."""
    while error is not None:
        error.__traceback__, error = None, error.__cause__ or error.__context__


def each_n(
    new_url: Callable[[], str], path: type[MainPath], fails: Fails, by: Callable[[str], str] = lambda url: url
) -> int:
    """Fail the first operation, the second, … until one that the run does not get to; returns how many there are."""
    for n in count(1):
        assert n < MOST
        url = new_url()
        operation = tried(url, by(url), path(), fails(n))
        if operation.failed is None:
            return n - 1
    raise AssertionError


@pytest.mark.case("F20", "F02")
@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR], ids=["passes", "lasts"])
@pytest.mark.parametrize("path", MAIN_PATHS)
def test_on_sqlite(empty_sqlite: Callable[[], str], path: type[MainPath], code: int) -> None:
    assert each_n(empty_sqlite, path, lambda n: sqlite_fails(n, code)) > 10, (
        "the set-up of the connection alone is as much"
    )


@pytest.mark.case("F09")
@pytest.mark.parametrize("path", MAIN_PATHS)
def test_on_postgresql(postgres_databases: PostgresDatabases, path: type[MainPath]) -> None:
    assert each_n(postgres_databases.perflab, path, postgres_ends) >= 5


@contextmanager
def loses_answer(n: int, proxy: Proxy) -> Iterator[NthOperation]:
    """The server gets the n-th Sync of a connection, and what it answers is lost."""
    before = len(proxy.fired)
    proxy.arm(Mode.LOSE_REPLY, when=AfterMessages(n, "S"))
    operation = NthOperation(n, lambda _connection: None)
    yield operation
    if len(proxy.fired) > before:
        operation.failed = "the answer"
    proxy.switch(Mode.PASS)


@pytest.mark.case("F12")
@pytest.mark.parametrize("path", MAIN_PATHS)
def test_every_answer_of_postgresql_may_be_lost(
    postgres_databases: PostgresDatabases, proxy_to: Callable[[str], Proxy], path: type[MainPath]
) -> None:
    proxy = proxy_to(postgres_databases.perflab())
    each_n(
        postgres_databases.perflab,
        path,
        lambda n: loses_answer(n, proxy),
        by=lambda url: url_through(url, proxy.address),
    )
