"""What is asked for twice is read once, on both engines."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from perflab.cache.lifetimes import CacheLifetimes
from perflab.cache.row_cache import RowCache
from perflab.database.database import Database
from perflab.database.load import load, load_all
from perflab.errors import InvalidInput, LifecycleError, PerflabError
from perflab.events import CacheAsked, Event
from tests.cache.conftest import FARES

MakeCache = Callable[..., RowCache]


def test_a_row_is_read_once_and_then_served(fares: Database, make_cache: MakeCache) -> None:
    cache = make_cache()
    with fares.counting() as count:
        assert cache.get(7).price == 70
        assert cache.get(7).price == 70
        assert cache.get_many([7, 8, 7]) == [(70,), (80,), (70,)]
    assert count.round_trips == 2
    metrics = cache.metrics()
    assert (metrics.asked, metrics.misses, metrics.hits, metrics.round_trips) == (5, 2, 3, 2)
    assert (metrics.hit_rate, metrics.round_trips_saved) == (0.6, 3)


def test_keys_asked_for_together_are_read_together(fares: Database, make_cache: MakeCache) -> None:
    cache = make_cache(page_size=40)
    with fares.counting() as count:
        assert cache.get_many(range(100)) == [(10 * n,) for n in range(100)]
    assert count.round_trips == 3
    assert cache.metrics().round_trips == 3


def test_what_is_not_there_is_remembered_for_a_shorter_time(
    fares: Database, make_cache: MakeCache, clock: SimpleNamespace
) -> None:
    cache = make_cache(CacheLifetimes(ttl=60.0, negative_ttl=5.0, jitter=0.0, refresh_ahead=0.0))
    assert cache.get_many([1, 1_000]) == [(10,), None]
    clock.now += 4.9
    with fares.counting() as count:
        assert cache.get(1_000) is None
    assert count.round_trips == 0
    assert cache.metrics().negative_hits == 1
    clock.now += 0.1
    with fares.counting() as count:
        assert cache.get_many([1, 1_000]) == [(10,), None]
    assert count.round_trips == 1


def test_a_row_lives_as_long_as_it_says(
    make_cache: MakeCache, clock: SimpleNamespace, set_price: Callable[[int, int], None]
) -> None:
    cache = make_cache(CacheLifetimes(ttl=60.0, jitter=0.0, refresh_ahead=0.0))
    cache.get(1)
    set_price(1, 11)
    clock.now += 59.9
    assert cache.get(1) == (10,)
    clock.now += 0.1
    assert cache.get(1) == (11,)


def test_lives_that_began_together_do_not_end_together(make_cache: MakeCache, clock: SimpleNamespace) -> None:
    cache = make_cache(CacheLifetimes(ttl=100.0, jitter=0.5, refresh_ahead=0.0), random=Random(1))
    cache.get_many(range(100))
    left = []
    for age in (49.0, 60.0, 70.0, 80.0, 90.0, 100.0):
        clock.now = 1_000.0 + age
        left.append(cache.metrics().entries)
    assert left[0] == 100
    assert left[-1] == 0
    assert all(5 <= before - after <= 40 for before, after in pairwise(left)), left


def test_a_change_that_is_told_is_seen_at_once(make_cache: MakeCache, set_price: Callable[[int, int], None]) -> None:
    cache = make_cache()
    cache.get_many([1, 2, 3])
    set_price(1, 11)
    assert cache.get(1) == (10,)
    assert cache.invalidate([1, 1_000]) == 1
    assert cache.get(1) == (11,)
    assert cache.invalidate() == 3
    assert cache.metrics().entries == 0


def test_keys_that_are_equal_to_python_only_are_kept_apart(make_cache: MakeCache) -> None:
    cache = make_cache()
    assert cache.get_many([1, 1.0]) == [(10,), (10,)]
    assert cache.metrics().misses == 2


def test_several_rows_of_a_key_and_keys_of_several_columns(fares: Database, make_cache: MakeCache) -> None:
    by_route = make_cache(stated=load_all(FARES, "route", columns=["id"]))
    assert sorted(by_route.get("route 3"))[:3] == [(3,), (10,), (17,)]
    assert by_route.get("route 9") == ()
    assert by_route.get("route 9") == ()
    assert by_route.metrics().negative_hits == 1
    by_both = make_cache(stated=load_all(FARES, "route", "id", columns=["price"]))
    assert by_both.get(("route 3", 10)) == by_both.get(["route 3", 10]) == ((100,),)
    assert by_both.metrics().hits == 1


def test_what_can_be_changed_is_each_callers_own(make_cache: MakeCache) -> None:
    cache = make_cache(stated=load(FARES, columns=["rules"]))
    for _ in range(3):
        row = cache.get(5)
        assert row.rules == {"stops": [5]}
        row.rules["stops"].append("changed")


@pytest.mark.parametrize("key", [None, "a\x00b", object(), (1, 2), [1], {}])
def test_a_key_that_the_table_cannot_have_fails_alone(make_cache: MakeCache, key: Any) -> None:
    cache = make_cache()
    with pytest.raises(PerflabError):
        cache.get_many([1, key, 2])
    if key != {}:  # which is no key of anything
        assert cache.metrics().failed == 1
        assert cache.get_many([1, 2]) == [(10,), (20,)]
        assert cache.metrics().hits == 2


def test_listeners_hear_how_keys_were_answered(fares: Database, make_cache: MakeCache) -> None:
    cache, heard = make_cache(), list[Event]()
    with fares.events.listening(heard.append):
        cache.get_many([1, 2, 1])
        cache.get(2)
    assert heard == [
        CacheAsked("fares", hits=0, stale=0, waited=1, misses=2, failed=0),
        CacheAsked("fares", hits=1, stale=0, waited=0, misses=0, failed=0),
    ]


def test_a_closed_cache_serves_what_it_has(make_cache: MakeCache) -> None:
    cache = make_cache()
    cache.get(1)
    cache.close()
    cache.close()
    assert cache.get(1) == (10,)
    with pytest.raises(LifecycleError, match="closed"):
        cache.get(2)


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_bytes": 0},
        {"page_size": 0},
        {"page_size": 100_001},
        {"timeout": 0.0},
        {"timeout": float("inf")},
        {"stated": FARES},
    ],
)
def test_a_bad_argument_is_refused(make_cache: MakeCache, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        make_cache(**arguments)


@pytest.mark.parametrize(
    "arguments", [{"ttl": 0.0}, {"negative_ttl": -1.0}, {"jitter": 1.0}, {"refresh_ahead": 0.91}, {"stale_for": -1.0}]
)
def test_a_bad_life_is_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(InvalidInput):
        CacheLifetimes(**arguments)
