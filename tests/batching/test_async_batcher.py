"""The batcher for asyncio: its loop, its one thread, and what becomes of items when either ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from perflab.batching.async_batcher import AsyncRequestBatcher
from perflab.batching.drain_report import DrainReport
from perflab.batching.retry import RetryPolicy
from perflab.database.database import Database
from perflab.errors import InvalidInput, LifecycleError
from perflab.events import Cause, FlushCompleted

Rows = Callable[[], list[int]]
PATIENCE_SECONDS = 60.0


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, PATIENCE_SECONDS))


async def entered(gate: Any) -> None:
    """Wait for the writer's thread without blocking the loop."""
    assert await asyncio.to_thread(gate.entered.wait, PATIENCE_SECONDS)


# -- the loop ----------------------------------------------------------------------------------------------------------


def test_an_old_item_leaves_without_another_call(
    db: Database, append: Any, rows: Rows, flushes: list[FlushCompleted]
) -> None:
    async def main() -> None:
        async with AsyncRequestBatcher(db, 100, 0.005) as batcher:
            assert await batcher.submit(append, 1) == 10
            assert list(await asyncio.gather(batcher.submit(append, 2), batcher.submit(append, 3))) == [20, 30]

    run(main())
    assert [(flush.cause, flush.items) for flush in flushes] == [(Cause.AGE, 1), (Cause.AGE, 2)]
    assert rows() == [1, 2, 3]


def test_the_loop_runs_on_while_a_slow_batch_is_written(db: Database, gate: Any, append: Any) -> None:
    """Elsewhere whoever submits waits while a batch is sent (opentelemetry-python#3886)."""

    async def main() -> None:
        async with AsyncRequestBatcher(db, 1, 3600.0) as batcher:
            slow = batcher.submit(gate, 1)
            await entered(gate)
            turns = 0
            for _ in range(100):
                await asyncio.sleep(0)
                turns += 1
            later = batcher.submit(append, 2)
            assert turns == 100
            assert not slow.done()
            gate.opened.set()
            assert await slow == 10
            assert await later == 20

    run(main())


def test_a_batch_is_one_hop_to_one_thread(db: Database, append: Any) -> None:
    seen: set[str] = set()
    write = append.apply

    def note_the_thread(connection: Any, part: Any) -> Any:
        seen.add(threading.current_thread().name)
        return write(connection, part)

    append.apply = note_the_thread

    async def main() -> None:
        async with AsyncRequestBatcher(db, 10, 3600.0) as batcher:
            await asyncio.gather(*[batcher.submit(append, n) for n in range(20, 60)])

    run(main())
    assert seen == {"perflab-flusher_0"}
    assert append.applied == [list(range(start, start + 10)) for start in (20, 30, 40, 50)]
    assert "perflab-flusher_0" not in {thread.name for thread in threading.enumerate()}, "closing ends it"


@pytest.mark.case("F07")
def test_without_a_loop_it_cannot_be_used(db: Database, append: Any) -> None:
    batcher = AsyncRequestBatcher(db)
    with pytest.raises(LifecycleError, match="needs a running event loop: call it from a coroutine, or use RequestB"):
        batcher.submit(append, 1)
    run(close(batcher))


async def close(batcher: AsyncRequestBatcher) -> None:
    await batcher.close()


@pytest.mark.case("F07")
def test_a_second_loop_is_refused(db: Database, append: Any, rows: Rows) -> None:
    """Elsewhere on a second event loop it breaks (dagster#21618)."""
    batcher = AsyncRequestBatcher(db, 100, 3600.0)

    async def first() -> None:
        batcher.submit(append, 1)
        await batcher.flush()

    async def second() -> None:
        message = r"belongs to another event loop: make one for each asyncio.run\(\)"
        with pytest.raises(LifecycleError, match=message):
            batcher.submit(append, 2)
        for use in (batcher.flush, batcher.close, batcher.wait_for_room, batcher.__aenter__):
            with pytest.raises(LifecycleError, match=message):
                await use()

    run(first())
    run(second())
    assert rows() == [1]
    assert batcher.metrics().pending == 0


def test_a_closed_batcher_gives_its_report_to_any_loop(db: Database, append: Any) -> None:
    batcher = AsyncRequestBatcher(db, 100, 3600.0)

    async def first() -> None:
        batcher.submit(append, 1)
        assert await batcher.close() == DrainReport(1, 0, 0)

    async def second() -> None:
        assert await batcher.close() == DrainReport(1, 0, 0)

    run(first())
    run(second())


# -- barriers, closing, cancelling -------------------------------------------------------------------------------------


def test_a_flush_out_of_time_loses_nothing(db: Database, gate: Any, rows: Rows) -> None:
    """Elsewhere `flush(timeout)` does not keep to its timeout (opentelemetry-python#4568)."""

    async def main() -> None:
        async with AsyncRequestBatcher(db, 100, 3600.0) as batcher:
            future = batcher.submit(gate, 1)
            with pytest.raises(TimeoutError, match=r"the flush did not end within 0.01 s: 1 items are pending"):
                await batcher.flush(timeout=0.01)
            gate.opened.set()
            assert await future == 10

    run(main())
    assert rows() == [1]


def test_flushes_of_many_coroutines_are_barriers_for_each(db: Database, append: Any, rows: Rows) -> None:
    async def produce(batcher: AsyncRequestBatcher, start: int) -> None:
        for n in range(start, start + 30, 6):
            futures = [batcher.submit(append, item) for item in range(n, n + 6)]
            await batcher.flush()
            assert all(future.done() for future in futures)

    async def main() -> None:
        async with AsyncRequestBatcher(db, 7, 3600.0, max_pending=10) as batcher:
            await asyncio.gather(*[produce(batcher, start) for start in (100, 200, 300, 400)])

    run(main())
    assert sorted(rows()) == [n for start in (100, 200, 300, 400) for n in range(start, start + 30)]


@pytest.mark.case("F08")
def test_a_cancelled_waiter_of_a_batch_on_its_way_does_not_cut_it(db: Database, gate: Any, rows: Rows) -> None:
    async def main() -> None:
        async with AsyncRequestBatcher(db, 2, 3600.0) as batcher:
            first, second = batcher.submit(gate, 1), batcher.submit(gate, 2)
            await entered(gate)
            assert first.cancel()
            gate.opened.set()
            assert await second == 20

    run(main())
    assert rows() == [1, 2], "it had left, so it was written"


@pytest.mark.case("F08")
def test_a_cancelled_flush_disturbs_nobody(db: Database, gate: Any, rows: Rows) -> None:
    async def main() -> None:
        async with AsyncRequestBatcher(db, 100, 3600.0) as batcher:
            future = batcher.submit(gate, 1)
            flushing = asyncio.create_task(batcher.flush())
            await entered(gate)
            flushing.cancel()
            await asyncio.gather(flushing, return_exceptions=True)
            gate.opened.set()
            await batcher.flush()
            assert future.result() == 10

    run(main())
    assert rows() == [1]


def test_closing_from_several_coroutines(db: Database, append: Any, rows: Rows) -> None:
    async def main() -> None:
        batcher = AsyncRequestBatcher(db, 100, 3600.0)
        for n in range(5):
            batcher.submit(append, n)
        reports = await asyncio.gather(*[batcher.close() for _ in range(3)])
        assert {report.abandoned for report in reports} == {0}
        assert await batcher.close() is await batcher.close()

    run(main())
    assert rows() == list(range(5))


@pytest.mark.case("F08")
def test_a_cancelled_close_can_be_done_again(db: Database, gate: Any, rows: Rows) -> None:
    async def main() -> None:
        batcher = AsyncRequestBatcher(db, 100, 3600.0)
        future = batcher.submit(gate, 1)
        closing = asyncio.create_task(batcher.close())
        await entered(gate)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        with pytest.raises(LifecycleError, match="is closed"):
            batcher.submit(gate, 2)
        gate.opened.set()
        assert (await batcher.close()).abandoned == 0
        assert future.result() == 10

    run(main())
    assert rows() == [1]


def test_what_is_in_flight_when_close_runs_out_of_time_is_counted_and_ends(
    db: Database, gate: Any, append: Any, rows: Rows
) -> None:
    async def main() -> None:
        batcher = AsyncRequestBatcher(db, 2, 3600.0, max_pending=3)
        in_flight = [batcher.submit(gate, 1), batcher.submit(gate, 2)]
        waiting, in_line = batcher.submit(append, 3), batcher.submit(append, 4)
        cancelled = batcher.submit(append, 5)
        cancelled.cancel()
        await entered(gate)
        assert await batcher.close(timeout=0.01) == DrainReport(delivered=0, failed=0, abandoned=4)
        for future in (waiting, in_line):
            assert isinstance(future.exception(), LifecycleError)
        assert not any(future.done() for future in in_flight)
        gate.opened.set()
        assert await asyncio.gather(*in_flight) == [10, 20]

    run(main())
    assert rows() == [1, 2]


def test_what_comes_back_after_close_gave_up_is_not_tried_again(
    db: Database, gate: Any, lock: Any, flushes: list[FlushCompleted]
) -> None:
    class Busy(type(gate)):  # type: ignore[misc]
        def apply(self, connection: Any, rows: Any) -> Any:
            self.entered.set()
            assert self.opened.wait(PATIENCE_SECONDS)
            lock.hold_against(connection)

    async def main() -> None:
        busy = Busy()
        batcher = AsyncRequestBatcher(db, 1, 3600.0, retry=RetryPolicy(delivery_timeout=1000.0))
        future = batcher.submit(busy, 1)
        await entered(busy)
        assert await batcher.close(timeout=0.0) == DrainReport(0, 0, 1)
        busy.opened.set()
        with pytest.raises(LifecycleError, match="closed before this item could be delivered"):
            await future
        assert len(flushes) == 1, "the fault fired, once"
        assert batcher.metrics().pending == 0

    run(main())


# -- no thread, or one that meets what it should not -------------------------------------------------------------------


def test_without_a_thread_the_loop_writes(
    db: Database, append: Any, rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def cannot_start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        monkeypatch.setattr(threading.Thread, "start", cannot_start)
        async with AsyncRequestBatcher(db, 3, 3600.0) as batcher:
            futures = [batcher.submit(append, n) for n in (1, 2, 13, 3, 4, 5)]
            results = await asyncio.gather(*futures, return_exceptions=True)
            assert [result for result in results if isinstance(result, int)] == [10, 20, 30, 40, 50]
            last = batcher.submit(append, 6)
            await batcher.flush()
            assert last.result() == 60
        monkeypatch.undo()  # a thread that could start now must find no batch that was written already

    run(main())
    assert rows() == [1, 2, 3, 4, 5, 6]
    assert caplog.text.count("no flusher thread (can't start new thread): batches are written in the loop's") == 1


class Exits:
    name = "exits"
    tables = frozenset({"elsewhere"})

    def prepare(self, item: int) -> int:
        return item

    def size_bytes(self, item: int) -> int:
        return 8

    def apply(self, connection: Any, rows: Any) -> Any:
        raise SystemExit


def test_the_batcher_outlives_an_operation_that_exits(
    db: Database, append: Any, rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with AsyncRequestBatcher(db, 100, 3600.0) as batcher:
            futures = [batcher.submit(append, 1), batcher.submit(Exits(), 2)]
            await batcher.flush()
            assert all(isinstance(future.exception(), LifecycleError) for future in futures)
            after = batcher.submit(append, 3)
            await batcher.flush()
            assert after.result() == 30

    run(main())
    assert rows() == [3]
    assert "a batch was broken off; the batcher goes on" in caplog.text


def test_what_cannot_be_batched_fails_its_own_future_and_is_counted(db: Database, append: Any, rows: Rows) -> None:
    async def main() -> None:
        async with AsyncRequestBatcher(db, 100, 3600.0) as batcher:
            statement: Any = "DELETE FROM sample"
            bad, good = batcher.submit(statement, {}), batcher.submit(append, 1)
            await batcher.flush()
            with pytest.raises(InvalidInput, match="cannot batch str"):
                await bad
            assert good.result() == 10
            assert batcher.metrics().failed == 1

    run(main())
    assert rows() == [1]


def test_a_size_that_cannot_be_told_fails_its_own_future(db: Database, append: Any, rows: Rows) -> None:
    class Sizeless(Exits):
        def size_bytes(self, item: int) -> int:
            raise ZeroDivisionError

    async def main() -> None:
        async with AsyncRequestBatcher(db, 100, 3600.0, batch_bytes=1000) as batcher:
            bad, good = batcher.submit(Sizeless(), 1), batcher.submit(append, 1)
            await batcher.flush()
            assert isinstance(bad.exception(), ZeroDivisionError)
            assert good.result() == 10

    run(main())
    assert rows() == [1]
