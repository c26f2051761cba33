"""Back-pressure: a full buffer refuses or blocks, and never drops."""

from __future__ import annotations

import asyncio
import threading
import tracemalloc
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from perflab.batching.async_batcher import AsyncRequestBatcher
from perflab.batching.batcher import RequestBatcher
from perflab.batching.retry import RetryPolicy
from perflab.database.database import Database
from perflab.errors import BufferFull, InvalidInput, LifecycleError

Rows = Callable[[], list[int]]
PATIENCE_SECONDS = 60.0


def stuck(db: Database, gate: Any, **settings: Any) -> RequestBatcher:
    """A batcher whose flusher is in the middle of a batch of two, with room for one more item."""
    batcher = RequestBatcher(db, 2, 3600.0, max_pending=3, **settings)
    batcher.submit(gate, 1)
    batcher.submit(gate, 2)
    assert gate.entered.wait(PATIENCE_SECONDS)
    return batcher


# -- threads -----------------------------------------------------------------------------------------------------------


@pytest.mark.case("F39")
def test_raise_refuses_what_does_not_fit_and_keeps_the_rest(db: Database, gate: Any, rows: Rows) -> None:
    with stuck(db, gate, overflow="raise") as batcher:
        batcher.submit(gate, 3)
        with pytest.raises(BufferFull, match=r"the buffer is full: 3 items are pending; submit more slowly"):
            batcher.submit(gate, 4)
        assert batcher.metrics().pending == 3
        gate.opened.set()
        batcher.flush(PATIENCE_SECONDS)
        batcher.submit(gate, 5)
    assert rows() == [1, 2, 3, 5]


def test_block_gives_up_after_its_timeout(db: Database, gate: Any, rows: Rows) -> None:
    with stuck(db, gate) as batcher:
        batcher.submit(gate, 3, timeout=0.0)
        with pytest.raises(BufferFull, match="stayed so until the timeout"):
            batcher.submit(gate, 4, timeout=0.02)
        with pytest.raises(BufferFull, match="stayed so until the timeout"):
            batcher.submit(gate, 4, timeout=0.0)
        with pytest.raises(InvalidInput, match="timeout is -1"):
            batcher.submit(gate, 4, timeout=-1)
        gate.opened.set()
    assert rows() == [1, 2, 3]


def test_block_waits_for_room(db: Database, gate: Any, rows: Rows) -> None:
    with stuck(db, gate) as batcher, ThreadPoolExecutor(3) as threads:
        batcher.submit(gate, 3)
        waiting = [threads.submit(batcher.submit, gate, n, timeout=PATIENCE_SECONDS) for n in (4, 5, 6)]
        assert batcher.metrics().pending == 3
        gate.opened.set()
        futures = [future.result(PATIENCE_SECONDS) for future in waiting]
        batcher.flush(PATIENCE_SECONDS)
        assert [future.result() for future in futures] == [40, 50, 60]
    assert sorted(rows()) == [1, 2, 3, 4, 5, 6]


def test_a_blocked_submit_ends_with_the_batcher(db: Database, gate: Any, rows: Rows) -> None:
    batcher = stuck(db, gate)
    batcher.submit(gate, 3)
    with ThreadPoolExecutor(2) as threads:
        blocked = threads.submit(batcher.submit, gate, 4)
        closing = threads.submit(batcher.close, PATIENCE_SECONDS)
        with pytest.raises(LifecycleError, match="is closed"):
            blocked.result(PATIENCE_SECONDS)
        gate.opened.set()
        assert closing.result(PATIENCE_SECONDS).delivered == 3
    assert rows() == [1, 2, 3]


@pytest.mark.case("F39")
def test_many_producers_never_exceed_the_bound(db: Database, append: Any, rows: Rows) -> None:
    """Elsewhere producers are faster, and memory grows (ClickHouse#47623)."""
    seen: list[int] = []
    with RequestBatcher(db, 5, 3600.0, max_pending=8) as batcher, ThreadPoolExecutor(4) as threads:

        def produce(start: int) -> None:
            for n in range(start, start + 100):
                batcher.submit(append, n)
                seen.append(batcher.metrics().pending)

        list(threads.map(produce, (100, 200, 300, 400)))
    assert max(seen) <= 8
    assert sorted(rows()) == list(range(100, 500))


def test_a_full_buffer_in_a_callback_is_refused_because_nobody_could_empty_it(
    db: Database, gate: Any, rows: Rows
) -> None:
    raised: list[BaseException] = []
    called = threading.Event()
    with RequestBatcher(db, 2, 3600.0, max_pending=2) as batcher:

        def submit_more(_done: Any) -> None:
            try:
                batcher.submit(gate, 9)
            except BufferFull as error:
                raised.append(error)
            called.set()

        batcher.submit(gate, 1).add_done_callback(submit_more)
        batcher.submit(gate, 2)
        gate.opened.set()
        assert called.wait(PATIENCE_SECONDS)
    assert len(raised) == 1
    assert rows() == [1, 2]


class Nothing:
    """Writes nothing, so that only what the batcher holds takes memory."""

    name = "nothing"
    tables = frozenset({"nothing"})

    def prepare(self, item: str) -> str:
        return item

    def size_bytes(self, item: str) -> int:
        return len(item)

    def apply(self, connection: Any, rows: Sequence[str]) -> list[None]:
        return [None] * len(rows)


ITEMS, ITEM_BYTES, MAX_PENDING = 8_000, 1_000, 500
BOUND_BYTES = MAX_PENDING * 5 * ITEM_BYTES
"""Far above what 500 items and their futures take, and far below 8,000 items."""


@pytest.mark.case("F39")
@pytest.mark.parametrize("kind", ["threads", "asyncio"])
def test_memory_stays_flat_with_a_producer_that_is_faster_than_the_database(db: Database, kind: str) -> None:
    settings: Any = {"batch_size": 50, "max_pending": MAX_PENDING}
    operation = Nothing()

    def produce() -> None:
        with RequestBatcher(db, **settings) as batcher:
            for n in range(ITEMS):
                batcher.submit(operation, f"{n:{ITEM_BYTES}}")

    async def produce_in_loop() -> None:
        async with AsyncRequestBatcher(db, **settings) as batcher:
            for n in range(ITEMS):
                await batcher.wait_for_room()
                batcher.submit(operation, f"{n:{ITEM_BYTES}}")

    tracemalloc.start()
    try:
        if kind == "threads":
            produce()
        else:
            asyncio.run(produce_in_loop())
        assert tracemalloc.get_traced_memory()[1] < BOUND_BYTES
    finally:
        tracemalloc.stop()


# -- inline ------------------------------------------------------------------------------------------------------------


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self, on_sleep: Callable[[], None] = lambda: None) -> None:
        self.now = 0.0
        self.on_sleep = on_sleep

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.on_sleep()
        self.now += max(seconds, 0.001)


RETRY = RetryPolicy(base_seconds=1.0, cap_seconds=1.0, delivery_timeout=100.0)


def inline(db: Database, clock: Clock, **settings: Any) -> RequestBatcher:
    return RequestBatcher(
        db, 2, 3600.0, mode="inline", max_pending=3, retry=RETRY, clock=clock, sleep=clock.sleep, **settings
    )


def test_inline_raise_refuses_during_a_back_off(db: Database, append: Any, lock: Any, rows: Rows) -> None:
    clock = Clock(lock.release)
    lock.hold()
    with inline(db, clock, overflow="raise") as batcher:
        for n in (1, 2, 3):
            batcher.submit(append, n)
        assert batcher.metrics().retries == 1, "the fault fired"
        with pytest.raises(BufferFull, match="3 items are pending"):
            batcher.submit(append, 4)
    assert rows() == [1, 2, 3]


def test_inline_block_waits_the_back_off_out(db: Database, append: Any, lock: Any, rows: Rows) -> None:
    clock = Clock(lock.release)
    lock.hold()
    with inline(db, clock) as batcher:
        for n in (1, 2, 3, 4):
            batcher.submit(append, n)
        assert batcher.metrics().retries == 1, "the fault fired"
        assert clock.now <= RETRY.cap_seconds + 0.01, "it slept for the back-off and not for the age of what is left"
    assert rows() == [1, 2, 3, 4]


def test_inline_block_gives_up_after_its_timeout(db: Database, append: Any, lock: Any, rows: Rows) -> None:
    clock = Clock()
    lock.hold()
    with inline(db, clock) as batcher:
        for n in (1, 2, 3):
            batcher.submit(append, n)
        with pytest.raises(BufferFull, match="stayed so until the timeout"):
            batcher.submit(append, 4, timeout=5.0)
        assert 5.0 <= clock.now <= 5.1
        assert batcher.metrics().retries > 1
        lock.release()
    assert rows() == [1, 2, 3]


# -- asyncio -----------------------------------------------------------------------------------------------------------


def test_asyncio_raise_refuses_what_does_not_fit(db: Database, gate: Any, rows: Rows) -> None:
    async def main() -> None:
        async with AsyncRequestBatcher(db, 2, 3600.0, max_pending=3, overflow="raise") as batcher:
            futures = [batcher.submit(gate, n) for n in (1, 2, 3)]
            with pytest.raises(BufferFull, match="the buffer is full: 3 items are pending"):
                batcher.submit(gate, 4)
            gate.opened.set()
            await batcher.flush()
            assert [future.result() for future in futures] == [10, 20, 30]
            batcher.submit(gate, 5)

    asyncio.run(main())
    assert rows() == [1, 2, 3, 5]


def test_asyncio_raise_looks_at_bytes_with_every_item(db: Database, gate: Any) -> None:
    async def main() -> None:
        settings: Any = {"max_pending_bytes": 100, "overflow": "raise"}
        async with AsyncRequestBatcher(db, 100, 3600.0, **settings) as batcher:
            for n in (1, 2, 3):  # of forty bytes each; a buffer under its bound takes one more
                batcher.submit(gate, n)
            with pytest.raises(BufferFull):
                batcher.submit(gate, 4)
            gate.opened.set()

    asyncio.run(main())


def test_asyncio_block_stands_in_line_in_order(db: Database, gate: Any, rows: Rows) -> None:
    async def main() -> None:
        async with AsyncRequestBatcher(db, 2, 3600.0, max_pending=3) as batcher:
            futures = [batcher.submit(gate, n) for n in range(20, 30)]
            await asyncio.sleep(0)
            assert batcher.metrics().pending == 10
            assert not any(future.done() for future in futures)
            futures[9].cancel()
            gate.opened.set()
            await batcher.flush()
            assert [future.result() for future in futures[:9]] == [10 * n for n in range(20, 29)]

    asyncio.run(main())
    assert rows() == list(range(20, 29))


def test_asyncio_a_producer_can_wait_for_room(db: Database, gate: Any, rows: Rows) -> None:
    async def main() -> None:
        async with AsyncRequestBatcher(db, 2, 3600.0, max_pending=3) as batcher:
            batcher.submit(gate, 1)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await batcher.wait_for_room()  # at once, though no batch will be written for an hour
            for n in (2, 3, 4):
                batcher.submit(gate, n)
            waiting = asyncio.create_task(batcher.wait_for_room())
            for _ in range(20):
                await asyncio.sleep(0)
            assert not waiting.done()
            gate.opened.set()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await waiting
            batcher.submit(gate, 5)

    asyncio.run(main())
    assert rows() == [1, 2, 3, 4, 5]


def test_asyncio_a_barrier_covers_those_in_line(db: Database, gate: Any, rows: Rows) -> None:
    async def main() -> None:
        async with AsyncRequestBatcher(db, 4, 3600.0, max_pending=5) as batcher:
            futures = [batcher.submit(gate, n) for n in range(20, 31)]
            flushing = asyncio.create_task(batcher.flush())
            await asyncio.sleep(0)
            gate.opened.set()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await flushing
            assert all(future.done() for future in futures), "also the last three, which fill no batch"

    asyncio.run(main())
    assert rows() == list(range(20, 31))
