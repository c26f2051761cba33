"""Rows in the last part of their life, and rows whose database fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from perflab.cache.lifetimes import CacheLifetimes
from perflab.cache.row_cache import RowCache
from perflab.database.database import Database
from perflab.errors import DatabaseUnusable, TransientError
from perflab.events import CacheAsked, Event
from tests.cache.conftest import PATIENCE, Gate

MakeCache = Callable[..., RowCache]
GateOf = Callable[[RowCache], Gate]
SetPrice = Callable[[int, int], None]

AHEAD = CacheLifetimes(ttl=100.0, jitter=0.0, refresh_ahead=0.2)
STALE = CacheLifetimes(ttl=100.0, jitter=0.0, refresh_ahead=0.0, stale_for=1_000.0)


def until_landed(cache: RowCache) -> None:
    """Wait for what is read in the background."""
    pause = threading.Event()
    for _ in range(int(PATIENCE * 1_000)):
        with cache._lock:
            if not cache._core._flights:
                return
        pause.wait(0.001)
    raise AssertionError


def test_a_row_near_its_end_is_served_and_read_again_once(
    make_cache: MakeCache, gate_of: GateOf, clock: SimpleNamespace, set_price: SetPrice
) -> None:
    cache = make_cache(AHEAD)
    gate = gate_of(cache)
    cache.get(1)
    set_price(1, 11)
    clock.now += 79.9
    assert cache.get(1) == (10,)
    assert len(gate.reads) == 1

    clock.now += 0.1
    gate.shut()
    assert [cache.get(1) for _ in range(5)] == [(10,)] * 5  # nobody waits
    assert asyncio.run(cache.get_async(1)) == (10,)
    gate.wait_for_reads(2)
    gate.open()
    until_landed(cache)

    assert cache.get(1) == (11,)
    assert gate.reads == [[1], [1]]
    metrics = cache.metrics()
    assert (metrics.refreshed, metrics.hits, metrics.misses) == (1, 8, 1)
    assert metrics.outdated_at_most == 8  # with the first one, who had it read
    clock.now += 79.0
    assert cache.get(1) == (11,)  # it has a whole new life
    assert len(gate.reads) == 2


def test_a_row_that_could_not_be_read_again_lives_on_and_the_database_is_left_alone_for_a_while(
    make_cache: MakeCache, gate_of: GateOf, clock: SimpleNamespace
) -> None:
    cache = make_cache(AHEAD)
    gate = gate_of(cache)
    cache.get(1)
    gate.error = DatabaseUnusable("gone")
    clock.now += 90.0
    for _ in range(5):
        assert cache.get(1) == (10,)
        until_landed(cache)
    assert len(gate.reads) == 2
    clock.now += 0.1
    assert cache.get(1) == (10,)
    until_landed(cache)
    assert len(gate.reads) == 3
    gate.error = None
    clock.now += 0.2
    cache.get(1)
    until_landed(cache)
    clock.now += 50.0
    assert cache.get(1) == (10,)


def test_stale_rows_are_served_while_the_database_fails_and_no_longer(
    fares: Database, make_cache: MakeCache, gate_of: GateOf, clock: SimpleNamespace, set_price: SetPrice
) -> None:
    cache = make_cache(STALE)
    gate = gate_of(cache)
    cache.get_many([1, 2])
    clock.now += 100.0
    gate.error = DatabaseUnusable("gone")
    heard = list[Event]()
    with fares.events.listening(heard.append):
        assert cache.get(1) == (10,)
        assert cache.get(1) == (10,)
    assert heard == [CacheAsked("fares", hits=0, stale=1, waited=0, misses=0, failed=0)] * 2
    assert len(gate.reads) == 2  # the second one did not try
    with pytest.raises(DatabaseUnusable):
        cache.get(3)  # which was never read
    assert cache.metrics().stale == 2

    set_price(1, 11)
    gate.error = None
    clock.now += 5.0
    assert cache.get(1) == (10,)  # it is read again, but nobody waits for a database that failed
    until_landed(cache)
    assert cache.get(1) == (11,)

    gate.error = DatabaseUnusable("gone")
    clock.now += 994.9
    assert cache.get(2) == (20,)
    clock.now += 0.1
    with pytest.raises(DatabaseUnusable):
        cache.get(2)


def test_without_leave_nothing_stale_is_served(make_cache: MakeCache, gate_of: GateOf, clock: SimpleNamespace) -> None:
    cache = make_cache(AHEAD)
    gate = gate_of(cache)
    cache.get(1)
    gate.error = DatabaseUnusable("gone")
    clock.now += 100.0
    with pytest.raises(DatabaseUnusable):
        cache.get(1)


def test_a_failure_that_passes_is_waited_out_while_there_is_time(
    make_cache: MakeCache, gate_of: GateOf, clock: SimpleNamespace
) -> None:
    pauses = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        clock.now += seconds
        if len(pauses) == 3:
            gate.error = None

    cache = make_cache(sleep=sleep, timeout=5.0)
    gate = gate_of(cache)
    gate.error = TransientError("busy")
    assert cache.get_many([1, 2]) == [(10,), (20,)]
    assert len(gate.reads) == 4

    def sleep_on(seconds: float) -> None:
        clock.now += seconds

    cache = make_cache(sleep=sleep_on, timeout=5.0)
    gate = gate_of(cache)
    gate.error = TransientError("busy")
    before = clock.now
    with pytest.raises(TransientError, match="busy"):
        cache.get(1)
    assert 4.5 < clock.now - before <= 5.0
