"""A table of fares on each engine, a cache over it, a clock that stands still, and a gate that holds reads up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import JSON, Column, Integer, MetaData, Table, Text, insert, update

from perflab.cache.lifetimes import CacheLifetimes
from perflab.cache.row_cache import RowCache
from perflab.database.database import Database
from perflab.database.load import load

PATIENCE = 60.0
"""Seconds after which a test gives up; no test takes as long."""

FARES = Table(
    "fares",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("price", Integer),
    Column("route", Text),
    Column("rules", JSON),
)


@pytest.fixture
def fares(database: Database) -> Database:
    """A database in which the fares 0 … 99 cost ten times their number."""
    with database.transaction() as connection:
        FARES.create(connection)
        connection.execute(
            insert(FARES),
            [{"id": n, "price": 10 * n, "route": f"route {n % 7}", "rules": {"stops": [n]}} for n in range(100)],
        )
    return database


@pytest.fixture
def clock() -> SimpleNamespace:
    """`clock.now` is the time of the cache, in seconds."""
    return SimpleNamespace(now=1_000.0)


@pytest.fixture
def make_cache(fares: Database, clock: SimpleNamespace) -> Iterator[Callable[..., RowCache]]:
    """A cache of prices on that clock, whose lives have no jitter unless a test says so."""
    made: list[RowCache] = []

    def make(lifetimes: CacheLifetimes | None = None, **options: Any) -> RowCache:
        options = {"clock": lambda: clock.now, "stated": load(FARES, columns=["price"]), **options}
        cache = RowCache(fares, options.pop("stated"), lifetimes or CacheLifetimes(jitter=0.0), **options)
        made.append(cache)
        return cache

    yield make
    for cache in made:
        cache.close()


@pytest.fixture
def set_price(fares: Database) -> Callable[[int, int], None]:
    """Change the price of a fare as somebody else would."""

    def set_price(fare: int, price: int) -> None:
        with fares.transaction() as connection:
            connection.execute(update(FARES).where(FARES.c.id == fare).values(price=price))

    return set_price


class Gate:
    """Holds the reads of a cache up until it is opened, and counts them.

    Attributes:
        reads: The keys of each read that got as far as the gate.
        error: What reads fail with instead, if it is set.
    """

    def __init__(self, cache: RowCache) -> None:
        self.reads: list[list[Any]] = []
        self.error: Exception | None = None
        self._came = threading.Condition()
        self._open = threading.Event()
        self._open.set()
        operation: Any = cache._source._operation
        self._apply = operation.apply
        operation.apply = self._pass

    def _pass(self, connection: Any, rows: Sequence[Any]) -> list[Any]:
        with self._came:
            self.reads.append([key for (key,) in rows])
            self._came.notify_all()
        assert self._open.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        found: list[Any] = self._apply(connection, rows)
        return found

    def shut(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def wait_for_reads(self, count: int) -> None:
        """Return when so many reads have come to the gate since it was made."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.reads) >= count, PATIENCE)


@pytest.fixture
def gate_of() -> Iterator[Callable[[RowCache], Gate]]:
    gates: list[Gate] = []

    def make(cache: RowCache) -> Gate:
        gates.append(Gate(cache))
        return gates[-1]

    yield make
    for gate in gates:
        gate.open()


def until_asked(cache: RowCache, count: int) -> None:
    """Wait until so many have asked, whether or not they have an answer."""
    history = cache._core.history
    pause = threading.Event()
    for _ in range(int(PATIENCE * 1_000)):
        with cache._lock:
            if sum(history._scores.values()) >= count - 0.5:
                return
        pause.wait(0.001)
    raise AssertionError
