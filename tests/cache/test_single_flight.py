"""However many ask at once, a key is read once; and nobody waits for what somebody else gave up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest
from sqlalchemy import update

from perflab.cache.row_cache import RowCache
from perflab.database.database import Database
from perflab.database.load import load
from perflab.errors import DeliveryTimeout, RejectedRow
from tests.cache.conftest import FARES, PATIENCE, Gate, until_asked

MakeCache = Callable[..., RowCache]
GateOf = Callable[[RowCache], Gate]
FOREVER = 3_600.0
"""A timeout beyond the patience of the tests: who is not told that the rows are there would wait too long."""


def test_threads_that_ask_for_one_key_share_a_read(make_cache: MakeCache, gate_of: GateOf) -> None:
    cache = make_cache(timeout=FOREVER)
    gate = gate_of(cache)
    gate.shut()
    with ThreadPoolExecutor(16) as pool:
        asking = [pool.submit(cache.get, 3) for _ in range(16)]
        until_asked(cache, 16)
        gate.open()
        assert [one.result(PATIENCE) for one in asking] == [(30,)] * 16
    assert gate.reads == [[3]]
    metrics = cache.metrics()
    assert (metrics.misses, metrics.waited, metrics.hits) == (1, 15, 0)
    assert metrics.round_trips_saved == 15


def test_tasks_that_ask_for_one_key_share_a_read_and_different_keys_a_batch(
    make_cache: MakeCache, gate_of: GateOf
) -> None:
    cache = make_cache(timeout=FOREVER)
    gate = gate_of(cache)

    async def ask() -> list[Any]:
        gate.shut()
        first = asyncio.create_task(cache.get_async(50))
        await asyncio.to_thread(gate.wait_for_reads, 1)
        others = [asyncio.create_task(cache.get_async(n % 10)) for n in range(100)]
        await asyncio.sleep(0)  # they have asked
        gate.open()
        return await asyncio.gather(first, *others)

    assert asyncio.run(ask()) == [(500,), *([(10 * n,) for n in range(10)] * 10)]
    assert [len(read) for read in gate.reads] == [1, 10]
    assert cache.metrics().waited == 90


def test_threads_and_tasks_share_a_read(make_cache: MakeCache, gate_of: GateOf) -> None:
    cache = make_cache()
    gate = gate_of(cache)

    async def ask() -> list[Any]:
        gate.shut()
        thread = asyncio.create_task(asyncio.to_thread(cache.get, 3))
        await asyncio.to_thread(gate.wait_for_reads, 1)
        task = asyncio.create_task(cache.get_async(3))
        await asyncio.sleep(0)
        gate.open()
        return [await thread, await task]

    assert asyncio.run(ask()) == [(30,), (30,)]
    assert gate.reads == [[3]]


@pytest.mark.case("F08")
def test_a_cancelled_task_takes_nothing_from_the_others(make_cache: MakeCache, gate_of: GateOf) -> None:
    cache = make_cache()
    gate = gate_of(cache)

    async def ask() -> Any:
        gate.shut()
        first = asyncio.create_task(cache.get_async(3))
        await asyncio.to_thread(gate.wait_for_reads, 1)
        second = asyncio.create_task(cache.get_async(3))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        gate.open()
        return await second

    assert asyncio.run(ask()) == (30,)
    assert gate.reads == [[3]]


def test_what_was_changed_while_it_was_read_is_not_kept(
    make_cache: MakeCache, gate_of: GateOf, set_price: Callable[[int, int], None]
) -> None:
    cache = make_cache()
    gate = gate_of(cache)
    operation: Any = cache._source._operation
    through_the_gate = operation.apply
    has_read, may_return = threading.Event(), threading.Event()

    def read_and_dawdle(connection: Any, rows: Any) -> Any:
        found = through_the_gate(connection, rows)
        has_read.set()
        assert may_return.wait(PATIENCE)
        return found

    operation.apply = read_and_dawdle
    with ThreadPoolExecutor(2) as pool:
        early = pool.submit(cache.get, 3)
        assert has_read.wait(PATIENCE)
        set_price(3, 31)
        cache.invalidate([3])
        operation.apply = through_the_gate
        assert cache.get(3) == (31,)  # it did not wait for the read of before the change
        may_return.set()
        assert early.result(PATIENCE) == (30,)
    assert cache.get(3) == (31,)
    assert gate.reads == [[3], [3]]


def test_an_error_is_everybodys_and_is_not_kept(make_cache: MakeCache, gate_of: GateOf) -> None:
    cache = make_cache()
    gate = gate_of(cache)
    gate.error = RejectedRow("refused")
    gate.shut()
    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(cache.get, 3) for _ in range(4)]
        until_asked(cache, 4)
        gate.open()
        assert [type(one.exception(PATIENCE)) for one in asking] == [RejectedRow] * 4
    assert cache.metrics().failed == 4
    gate.error = None
    assert cache.get(3) == (30,)


def test_who_waits_too_long_is_told_so(fares: Database, gate_of: GateOf) -> None:
    with RowCache(fares, load(FARES, columns=["price"]), timeout=0.05) as cache:
        gate = gate_of(cache)
        gate.shut()
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(cache.get, 3)
            gate.wait_for_reads(1)
            with pytest.raises(DeliveryTimeout, match="fares 3 was not read within"):
                cache.get(3)
            with pytest.raises(DeliveryTimeout):
                asyncio.run(cache.get_async(3))
            gate.open()
            assert first.result(PATIENCE) == (30,)


def test_a_reader_that_is_interrupted_leaves_nobody_waiting(make_cache: MakeCache, gate_of: GateOf) -> None:
    cache = make_cache(page_size=1, timeout=FOREVER)
    gate = gate_of(cache)
    gate.error = KeyboardInterrupt()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        cache.get_many([3, 4, 5])
    assert not cache._core._flights  # of the pages that it did not come to either
    gate.error = None
    assert cache.get_many([3, 4, 5]) == [(30,), (40,), (50,)]


def test_a_key_that_is_invalidated_while_it_waits_to_be_read_is_read_for_both(
    make_cache: MakeCache, gate_of: GateOf
) -> None:
    cache = make_cache(timeout=FOREVER)
    gate = gate_of(cache)

    async def ask() -> list[Any]:
        gate.shut()
        first = asyncio.create_task(cache.get_async(50))
        await asyncio.to_thread(gate.wait_for_reads, 1)
        early = asyncio.create_task(cache.get_async(3))
        await asyncio.sleep(0)
        cache.invalidate([3])
        late = asyncio.create_task(cache.get_async(3))
        await asyncio.sleep(0)
        gate.open()
        return list(await asyncio.wait_for(asyncio.gather(first, early, late), PATIENCE))

    assert asyncio.run(ask()) == [(500,), (30,), (30,)]
    assert gate.reads == [[50], [3], [3]]


def test_threads_tasks_and_changes_at_once_never_see_what_was_replaced(fares: Database, make_cache: MakeCache) -> None:
    """A price only grows, and a reader that was told of a change never sees an older one."""
    cache = make_cache(max_bytes=50_000, page_size=7)  # half of the fares find room
    told = dict.fromkeys(range(20), 0)
    stop = threading.Event()

    def change() -> None:
        random = Random(1)
        for price in range(1_000, 1_300):
            fare = random.randrange(20)
            with fares.transaction() as connection:
                connection.execute(update(FARES).where(FARES.c.id == fare).values(price=price))
            cache.invalidate([fare])
            told[fare] = price
        stop.set()

    def read(seed: int) -> int:
        random, reads = Random(seed), 0
        while not stop.is_set():
            keys = [random.randrange(100) for _ in range(random.randrange(1, 5))]
            at_least = [told.get(key, 0) for key in keys]
            rows = cache.get_many(keys)
            assert all(row.price >= price for row, price in zip(rows, at_least, strict=True))
            reads += len(rows)
            if random.random() < 0.1:
                cache.warm(range(random.randrange(100)))
        return reads

    async def read_in_a_loop() -> int:
        async def one(seed: int) -> int:
            random, reads = Random(seed), 0
            while not stop.is_set():
                key = random.randrange(100)
                at_least = told.get(key, 0)
                assert (await cache.get_async(key)).price >= at_least
                reads += 1
                await asyncio.sleep(0)
            return reads

        return sum(await asyncio.gather(*map(one, range(5))))

    with ThreadPoolExecutor(5) as pool:
        changing = pool.submit(change)
        readers = [*(pool.submit(read, seed) for seed in range(3)), pool.submit(asyncio.run, read_in_a_loop())]
        changing.result(PATIENCE)
        reads = sum(reader.result(PATIENCE) for reader in readers)
    metrics = cache.metrics()
    assert metrics.asked == reads
    assert metrics.bytes <= 50_000
    assert not cache._core._flights
