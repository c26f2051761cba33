"""What the cache takes for its bytes, against what Python says."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.cache.lifetimes import CacheLifetimes
from perflab.cache.slots import memory_bytes, slot_of
from perflab.cache.store import EntryStore


@pytest.mark.parametrize("text", [20, 2_000])
def test_the_bound_is_about_the_memory_that_is_used(text: int) -> None:
    entries, lifetimes = 10_000, CacheLifetimes()
    store = EntryStore(1 << 40, time.monotonic)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(entries):
            row = (number + 1_000, "x" * text + str(number), float(number))
            store.put(slot_of(number + 10**6), lifetimes.start(row, time.monotonic(), 0.5))
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.75 < store.used_bytes / used < 1.35


@given(
    values=st.recursive(
        st.none() | st.integers() | st.text() | st.binary() | st.floats(),
        lambda of: st.lists(of) | st.dictionaries(st.text(), of) | st.tuples(of, of),
    )
)
def test_what_holds_more_is_larger(values: Any) -> None:
    assert memory_bytes([values]) > memory_bytes(values)
    assert memory_bytes({"key": values}) > memory_bytes([values]) - 60


def test_the_least_recently_used_go_first() -> None:
    lifetimes, now = CacheLifetimes(), time.monotonic()

    def entry() -> Any:
        return lifetimes.start(("x" * 10_000,), now, 0.0)

    store = EntryStore(55_000, time.monotonic)
    for number in range(5):
        assert store.put((number, int), entry())
    assert store.find((0, int)) is not None
    store.peek((1, int))  # does not count
    store.put((5, int), entry())
    store.put((6, int), entry())
    assert [number for number in range(7) if store.peek((number, int))] == [0, 3, 4, 5, 6]
    assert (store.evicted, len(store)) == (2, 5)
    assert store.used_bytes <= 55_000


def test_what_alone_is_too_large_is_not_kept_and_pushes_nothing_out() -> None:
    lifetimes, now = CacheLifetimes(), time.monotonic()
    store = EntryStore(20_000, time.monotonic)
    store.put((1, int), lifetimes.start(("small",), now, 0.0))
    store.put((2, int), lifetimes.start(("small",), now, 0.0))
    assert not store.put((2, int), lifetimes.start(("x" * 30_000,), now, 0.0))
    assert store.peek((1, int)) is not None
    assert store.peek((2, int)) is None  # the small one was of before
    assert store.drop((2, int)) is False
