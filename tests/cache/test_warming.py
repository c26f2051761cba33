"""Keys that are read before anybody asks for them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.cache.lifetimes import CacheLifetimes
from perflab.cache.row_cache import RowCache
from perflab.cache.warm_report import WarmReport
from perflab.database.database import Database
from perflab.database.load import load
from perflab.errors import DatabaseUnusable, InvalidInput, StatementError, TransientError
from perflab.events import CacheWarmed, Event
from tests.cache.conftest import FARES, PATIENCE, Gate, until_asked

MakeCache = Callable[..., RowCache]
GateOf = Callable[[RowCache], Gate]


def counts(report: WarmReport) -> tuple[int, ...]:
    parts = (report.fresh, report.loaded, report.absent, report.refused, report.left_out)
    assert sum(parts) == report.keys
    return parts


def test_pages_of_bounded_size_are_read_ahead(fares: Database, make_cache: MakeCache, gate_of: GateOf) -> None:
    cache = make_cache(page_size=40)
    gate = gate_of(cache)
    cache.get(5)
    heard = list[Event]()
    with fares.events.listening(heard.append), fares.counting() as count:
        report = cache.warm([*range(110), *range(50)])
    assert counts(report) == (1, 99, 10, 0, 0)
    assert report.round_trips == count.round_trips == 3
    assert [len(read) for read in gate.reads] == [1, 40, 40, 29]
    assert heard == [CacheWarmed("fares", 110, 109, 3, report.seconds)]
    with fares.counting() as count:
        assert cache.get_many(range(110)) == [*((10 * n,) for n in range(100)), *[None] * 10]
    assert count.round_trips == 0
    metrics = cache.metrics()
    assert (metrics.warmed, metrics.warmed_used, metrics.precision) == (109, 109, 1.0)
    assert metrics.round_trips_saved == 111 - 4


def test_what_nobody_asks_for_lowers_the_precision(make_cache: MakeCache) -> None:
    cache = make_cache()
    assert cache.metrics().precision == cache.metrics().hit_rate == 0.0
    cache.warm(range(10))
    for _ in range(3):
        cache.get(3)
    metrics = cache.metrics()
    assert (metrics.warmed, metrics.warmed_used, metrics.precision) == (10, 1, 0.1)


def test_what_ends_too_soon_is_read_again_and_what_is_absent_is_not(
    make_cache: MakeCache, gate_of: GateOf, clock: SimpleNamespace
) -> None:
    cache = make_cache(CacheLifetimes(ttl=60.0, negative_ttl=5.0, jitter=0.0))
    gate = gate_of(cache)
    cache.warm([1, 2, 1_000])
    clock.now += 1.0
    assert counts(cache.warm([1, 2, 1_000], fresh_for=58.9)) == (3, 0, 0, 0, 0)
    assert counts(cache.warm([1, 2, 1_000], fresh_for=59.0)) == (1, 2, 0, 0, 0)
    clock.now += 4.0
    assert counts(cache.warm([1, 2, 1_000])) == (2, 0, 1, 0, 0)
    assert [len(read) for read in gate.reads] == [3, 2, 1]


def test_it_stops_when_the_cache_is_full_of_what_it_has_read(make_cache: MakeCache) -> None:
    cache = make_cache(page_size=10, max_bytes=40_000)
    report = cache.warm(range(100))
    _, loaded, _, _, left_out = counts(report)
    assert loaded == 100 - left_out > 0
    assert left_out > 0
    metrics = cache.metrics()
    assert (metrics.entries, metrics.evicted) == (loaded, 0)
    assert metrics.bytes > 30_000


def test_a_bad_key_is_refused_alone(make_cache: MakeCache) -> None:
    cache = make_cache()
    assert counts(cache.warm([1, None, 2, object(), 1_000])) == (0, 2, 1, 2, 0)
    assert cache.get_many([1, 2, 1_000]) == [(10,), (20,), None]
    assert cache.metrics().misses == 0
    with pytest.raises(InvalidInput, match="hashed"):
        cache.warm([3, {}])


def test_who_asks_meanwhile_waits_for_the_page_and_reads_what_it_did_not_bring(
    make_cache: MakeCache, gate_of: GateOf
) -> None:
    cache = make_cache()
    gate = gate_of(cache)
    gate.shut()
    with ThreadPoolExecutor(3) as pool:
        warming = pool.submit(cache.warm, range(10))
        gate.wait_for_reads(1)
        asking = pool.submit(cache.get, 3)
        changed = pool.submit(cache.get_many, [4, 5])
        cache.invalidate([7])
        gate.open()
        assert asking.result(PATIENCE) == (30,)
        assert changed.result(PATIENCE) == [(40,), (50,)]
        assert warming.result(PATIENCE).loaded == 10
    assert len(gate.reads) == 1
    assert cache.metrics().entries == 9  # without the one that was changed


def test_a_page_that_fails_is_the_warmers_error_and_nobody_elses(make_cache: MakeCache, gate_of: GateOf) -> None:
    cache = make_cache(page_size=5)
    gate = gate_of(cache)
    cache.warm(range(5))
    gate.error = TransientError("busy")
    gate.shut()
    with ThreadPoolExecutor(2) as pool:
        warming = pool.submit(cache.warm, range(20))
        gate.wait_for_reads(2)
        asking = pool.submit(cache.get, 7)
        until_asked(cache, 1)
        gate.open()
        assert isinstance(warming.exception(PATIENCE), TransientError)
        gate.error = None
        assert asking.result(PATIENCE) == (70,)
    assert len(gate.reads) >= 3  # one page, and then no more of them
    assert cache.metrics().entries == 6


def test_a_database_that_is_gone_is_not_called_a_bad_key(
    fares: Database, make_cache: MakeCache, gate_of: GateOf
) -> None:
    cache = make_cache()
    gate = gate_of(cache)
    gate.error = DatabaseUnusable("gone")
    with pytest.raises(DatabaseUnusable):
        cache.warm(range(10))
    gate.error = None
    with fares.transaction() as connection:
        FARES.drop(connection)
    with pytest.raises(StatementError):
        cache.warm(range(10))


def test_hot_keys_outlive_a_restart(make_cache: MakeCache) -> None:
    cache = make_cache()
    for key in (1, 2, 2, 3, 3, 3):
        cache.get(key)
    stored = cache.hottest(2)
    assert stored == [(3, 3.0), (2, 2.0)]

    restarted = make_cache()
    restarted.remember(stored)
    restarted.get(2)
    assert restarted.hottest(10) == [(3, 3.0), (2, 3.0)]
    with pytest.raises(InvalidInput):
        restarted.remember([(5, 1.0), (6, float("nan"))])
    assert len(restarted.hottest(10)) == 2


STEPS = st.tuples(
    st.sampled_from(["get", "warm", "invalidate", "wait", "change"]), st.lists(st.integers(0, 120), max_size=8)
)


@given(steps=st.lists(STEPS, max_size=12))
def test_counts_add_up_and_nothing_is_older_than_its_life(
    module_database: Database, steps: list[tuple[str, list[int]]]
) -> None:
    """Whatever is done in whatever order; the table is a dictionary here, and its past is known."""
    clock = SimpleNamespace(now=0.0)
    past: dict[int, list[tuple[int, float]]] = {key: [(0, inf)] for key in range(100)}
    """Of each fare its prices, each with the time until which it may be seen."""

    def look_up(_connection: Any, rows: list[tuple[int]]) -> list[Any]:
        return [past[key][-1][:1] if key in past else None for (key,) in rows]

    lifetimes = CacheLifetimes(ttl=10.0, jitter=0.3, refresh_ahead=0.0)
    stated = load(FARES, columns=["price"])
    with RowCache(module_database, stated, lifetimes, max_bytes=20_000, page_size=3, clock=lambda: clock.now) as cache:
        operation: Any = cache._source._operation
        operation.apply = look_up
        for step, keys in steps:
            known = [key for key in keys if key in past]
            if step == "get":
                for key, row in zip(keys, cache.get_many(keys), strict=True):
                    if key in past:
                        assert row[0] in [price for price, end in past[key] if clock.now < end]
                    else:
                        assert row is None
            elif step == "warm":
                counts(cache.warm(keys))
            elif step == "invalidate":
                cache.invalidate(keys)
                past.update({key: past[key][-1:] for key in known})
            elif step == "wait":
                clock.now += sum(keys) / 20
            else:
                for key in known:
                    price, _ = past[key].pop()
                    past[key] += [(price, clock.now + 10.0), (price + 1, inf)]
            metrics = cache.metrics()
            assert metrics.bytes <= 20_000
            assert metrics.warmed_used <= metrics.warmed
            assert metrics.failed == metrics.stale == 0
