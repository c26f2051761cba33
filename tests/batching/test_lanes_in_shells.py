"""Lanes, deadlines and the line for room in the shells for threads, inline and asyncio; explanations in words."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from perflab.batching.async_batcher import AsyncRequestBatcher
from perflab.batching.batcher import RequestBatcher
from perflab.batching.lanes import DEFAULT_LANES, Lane, longest_wait
from perflab.batching.limits import Limits
from perflab.database.database import Database
from perflab.errors import BufferFull, DeadlineOutOfReach, DeliveryTimeout, InvalidInput
from perflab.events import Cause, FlushCompleted

MakeShell = Callable[..., Any]
Rows = Callable[[], list[int]]
PATIENCE_SECONDS = 60.0


# -- what all shells do ------------------------------------------------------------------------------------------------


def test_an_urgent_item_leaves_at_once_and_takes_along_what_waits(
    make_shell: MakeShell, append: Any, rows: Rows, flushes: list[FlushCompleted]
) -> None:
    shell = make_shell()
    waiting = shell.submit_all(append, [1, 2, 3])
    urgent = shell.submit(append, 4, lane="urgent")
    assert urgent.result() == 40
    assert [handle.result() for handle in waiting] == [10, 20, 30]
    assert rows() == [1, 2, 3, 4]
    assert [(flush.cause, flush.items) for flush in flushes] == [(Cause.URGENCY, 4)]
    assert shell.metrics().causes == {Cause.URGENCY: 1}


class Slow:
    """Takes its time, whatever it writes."""

    name = "slow"
    tables = frozenset({"sample"})

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def prepare(self, item: int) -> int:
        return item

    def size_bytes(self, item: int) -> int:
        return 8

    def apply(self, connection: Any, rows: Sequence[int]) -> list[int]:
        time.sleep(self.seconds)
        return list(rows)


def test_a_deadline_makes_the_batch_leave_in_time(make_shell: MakeShell, flushes: list[FlushCompleted]) -> None:
    accepted: list[float] = []

    def clock() -> float:
        """Runs from when both are accepted to after half time, so that a stall of the machine makes nothing late."""
        return min(time.monotonic() - accepted[0], 0.6) if accepted else 0.0

    shell = make_shell(clock=clock)
    slow = Slow(0.0)
    waiting = shell.submit(slow, 1)
    in_time = shell.submit(slow, 2, deadline=1.0)
    accepted.append(time.monotonic())
    assert in_time.result() == 2, "though the flush interval is an hour"
    assert waiting.result() == 1
    if flushes[0].cause is not Cause.BARRIER:  # inline, asking for the result is what flushes
        assert [flush.cause for flush in flushes] == [Cause.URGENCY]


def test_what_cannot_make_its_deadline_is_refused_with_the_figures(make_shell: MakeShell) -> None:
    shell = make_shell(batch_size=2)
    slow = Slow(0.05)
    for _ in range(3):
        for handle in shell.submit_all(slow, [1, 2]):
            handle.result()
    with pytest.raises(DeadlineOutOfReach, match=r"about \d\S* s, with 0 items pending, .* is in 0\.01 s") as refused:
        shell.submit(slow, 3, deadline=0.01)
    assert refused.value.deadline_seconds == 0.01
    assert refused.value.estimated_seconds >= 0.05
    assert refused.value.pending == 0
    assert shell.metrics().pending == 0, "it was not accepted"
    shell.submit(slow, 4)
    assert shell.submit(slow, 4, deadline=600.0).result() == 4
    with pytest.raises(InvalidInput, match="deadline is -1"):
        shell.submit(slow, 5, deadline=-1)


def test_what_is_not_sent_by_its_deadline_is_not_sent(make_shell: MakeShell, append: Any, rows: Rows) -> None:
    shell = make_shell()
    late = shell.submit(append, 1, deadline=0.0)  # accepted, because nothing is known yet
    assert isinstance(late.error(), DeliveryTimeout)
    assert "was not sent, because its deadline" in str(late.error())
    shell.submit(append, 2)
    shell.flush()
    assert rows() == [2]
    assert shell.metrics().failed == 1


def test_an_unknown_lane_is_refused(make_shell: MakeShell, append: Any) -> None:
    shell = make_shell()
    with pytest.raises(InvalidInput, match="lane is 'fast': this batcher has 'urgent', 'normal', 'background'"):
        shell.submit(append, 1, lane="fast")
    own = make_shell(lanes=(Lane("slow"), Lane("fast", urgent=True)))
    assert own.submit(append, 1, lane="fast").result() == 10


def test_it_says_why_the_last_batches_left(make_shell: MakeShell, append: Any) -> None:
    """Elsewhere nobody can see why a batch left (vector#20284)."""
    shell = make_shell(batch_size=3)
    assert str(shell.batcher.explain()).startswith("Nothing has left yet. fixed: Batches take up to 3 items")
    for handle in shell.submit_all(append, range(6)):
        handle.result()
    shell.submit(append, 7, lane="urgent").result()
    explanation = shell.batcher.explain()
    causes = [departure.cause for departure in explanation.departures]
    assert causes == [Cause.COUNT, Cause.COUNT, Cause.URGENCY]
    words = str(explanation)
    assert "Of the last 3 batches left 2 by count, 1 by urgency." in words
    assert "1 of 3 items" in words
    assert "an urgent item, or one whose deadline was near, does not wait" in words
    assert words.endswith(str(explanation.sizing))


def test_a_jitter_is_a_share(make_shell: MakeShell) -> None:
    with pytest.raises(InvalidInput, match=r"flush_jitter is 1\.5"):
        make_shell(flush_jitter=1.5)
    assert make_shell(flush_jitter=0.5).batcher.explain().departures == ()


# -- room --------------------------------------------------------------------------------------------------------------


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.001)


def in_line(batcher: RequestBatcher, threads: int) -> bool:
    return batcher._blocked.waiting == threads


def test_blocked_threads_are_served_in_the_order_in_which_they_came(db: Database, gate: Any, rows: Rows) -> None:
    with RequestBatcher(db, 1, 3_600.0, max_pending=1) as batcher, ThreadPoolExecutor(9) as threads:
        batcher.submit(gate, 20)
        line = []
        for n in range(21, 29):
            line.append(threads.submit(batcher.submit, gate, n))
            wait_until(partial(in_line, batcher, n - 20))
        gate.opened.set()
        for submitted in line:
            submitted.result(PATIENCE_SECONDS)
    assert rows() == list(range(20, 29))


def test_who_gives_up_leaves_the_line_and_nothing_of_it_is_written(db: Database, gate: Any, rows: Rows) -> None:
    with RequestBatcher(db, 1, 3_600.0, max_pending=1) as batcher, ThreadPoolExecutor(2) as threads:
        batcher.submit(gate, 1)
        blocked = threads.submit(batcher.submit, gate, 2)
        wait_until(partial(in_line, batcher, 1))
        with pytest.raises(BufferFull, match="stayed so until the timeout"):
            batcher.submit(gate, 3, timeout=0.01)
        with pytest.raises(BufferFull, match="stayed so until the timeout"):
            batcher.submit(gate, 4, deadline=0.01)
        gate.opened.set()
        blocked.result(PATIENCE_SECONDS)
    assert rows() == [1, 2]


def test_an_urgent_thread_is_not_locked_out_by_a_full_buffer(db: Database, gate: Any, rows: Rows) -> None:
    with RequestBatcher(db, 1, 3_600.0, max_pending=2, overflow="raise") as batcher:
        batcher.submit(gate, 1)
        assert gate.entered.wait(PATIENCE_SECONDS)
        batcher.submit(gate, 2)
        with pytest.raises(BufferFull):
            batcher.submit(gate, 3)
        batcher.submit(gate, 4, lane="urgent")
        with pytest.raises(BufferFull):
            batcher.submit(gate, 5, lane="urgent")
        gate.opened.set()
    assert rows() == [1, 4, 2]


def test_asyncio_an_urgent_item_is_not_locked_out_by_a_line(db: Database, gate: Any, rows: Rows) -> None:
    async def main() -> None:
        async with AsyncRequestBatcher(db, 1, 3_600.0, max_pending=2) as batcher:
            futures = [batcher.submit(gate, n) for n in range(20, 26)]
            await asyncio.sleep(0)
            urgent = batcher.submit(gate, 1, lane="urgent")
            flushing = asyncio.create_task(batcher.flush())
            await asyncio.sleep(0)
            gate.opened.set()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await flushing
            assert all(future.done() for future in [*futures, urgent])

    asyncio.run(main())
    assert rows() == [20, 1, *range(21, 26)]


def test_asyncio_producers_get_room_in_the_order_in_which_they_came(db: Database, gate: Any, rows: Rows) -> None:
    async def main() -> None:
        async with AsyncRequestBatcher(db, 1, 3_600.0, max_pending=1) as batcher:
            batcher.submit(gate, 20)

            async def produce(n: int) -> None:
                await batcher.wait_for_room(PATIENCE_SECONDS)
                batcher.submit(gate, n)
                assert batcher.metrics().pending <= 1, "nobody was woken for room that another had taken"

            producers = [asyncio.create_task(produce(n)) for n in range(21, 29)]
            await asyncio.sleep(0)
            with pytest.raises(BufferFull, match="stayed so until the timeout"):
                await batcher.wait_for_room(0.01)
            gate.opened.set()
            await asyncio.gather(*producers)

    asyncio.run(main())
    assert rows() == list(range(20, 29))


# -- overload ----------------------------------------------------------------------------------------------------------


@pytest.mark.case("F40")
def test_nothing_starves_under_a_real_overload(db: Database, append: Any, flushes: list[FlushCompleted]) -> None:
    """Four threads keep the buffer full of urgent and normal items; background items leave within the stated time.

    Each flush takes one second on the clock of the batcher, however long it takes, so that the bound is exact.
    """
    lanes = tuple(Lane(lane.name, lane.weight, lane.urgent, patience=10.0) for lane in DEFAULT_LANES)
    limits = Limits(8, 1.0, max_pending=64)
    over = threading.Event()

    def clock() -> float:
        return float(len(append.applied))

    with (
        RequestBatcher(db, 8, 1.0, max_pending=64, lanes=lanes, clock=clock) as batcher,
        ThreadPoolExecutor(4) as threads,
    ):

        def produce(worker: int) -> None:
            n = 1_000_000 * (worker + 1)
            while not over.is_set():
                n += 1
                batcher.submit(append, n, lane=("urgent", "normal")[n % 2])

        producers = [threads.submit(produce, worker) for worker in range(4)]
        try:
            wait_until(lambda: batcher.metrics().pending >= 64)
            for n in range(20, 40):
                assert batcher.submit(append, n, lane="background").result(PATIENCE_SECONDS) == 10 * n
        finally:
            over.set()
        for producer in producers:
            producer.result(PATIENCE_SECONDS)
    assert {flush.seconds for flush in flushes} == {1.0}
    assert max(flush.waited for flush in flushes) <= longest_wait(lanes[2], limits, 1.0)
    assert batcher.metrics().causes[Cause.COUNT] >= 20, "there was an overload"
