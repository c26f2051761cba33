"""The batcher without a thread, on a clock that moves only where somebody sleeps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest

from perflab.batching.batcher import RequestBatcher
from perflab.batching.drain_report import DrainReport
from perflab.batching.retry import RetryPolicy
from perflab.database.database import Database
from perflab.errors import DeliveryTimeout
from perflab.events import Cause, FlushCompleted, Outcome

Rows = Callable[[], list[int]]
PATIENCE_SECONDS = 60.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []
        self.before_waking: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self.before_waking()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def inline(db: Database, clock: Clock, **settings: Any) -> RequestBatcher:
    settings = {"batch_size": 10, "flush_interval": 5.0, "random": Random(1), **settings}
    return RequestBatcher(db, mode="inline", clock=clock, sleep=clock.sleep, **settings)


def test_an_old_item_leaves_with_the_next_call(
    db: Database, clock: Clock, append: Any, flushes: list[FlushCompleted]
) -> None:
    with inline(db, clock) as batcher:
        futures = [batcher.submit(append, 1)]
        clock.now += 4.0
        futures.append(batcher.submit(append, 2))
        assert not any(future.done() for future in futures)
        clock.now += 1.0
        futures.append(batcher.submit(append, 3))
        assert all(future.done() for future in futures)
    assert [(flush.cause, flush.items, flush.waited) for flush in flushes] == [(Cause.AGE, 3, 5.0)]


def test_the_interval_is_an_age_and_not_a_rate(
    db: Database, clock: Clock, append: Any, flushes: list[FlushCompleted]
) -> None:
    with inline(db, clock, batch_size=2) as batcher:
        batcher.submit(append, 1)
        batcher.submit(append, 2)
        clock.now += 4.9
        batcher.submit(append, 3)
        clock.now += 4.9
        assert [flush.cause for flush in flushes] == [Cause.COUNT], "4.9 s old, and 9.8 s after the last batch"
        batcher.submit(append, 4)
        clock.now += 100.0
        lonely = batcher.submit(append, 5)
        assert not lonely.done(), "a long silence does not make an item old"
    assert [flush.cause for flush in flushes] == [Cause.COUNT, Cause.COUNT, Cause.CLOSE]


@pytest.mark.parametrize("ask", ["result", "exception"])
def test_asking_a_future_writes_its_batch(db: Database, clock: Clock, append: Any, rows: Rows, ask: str) -> None:
    with inline(db, clock) as batcher:
        future, neighbour = batcher.submit(append, 1), batcher.submit(append, 2)
        assert getattr(future, ask)() == (10 if ask == "result" else None)
        assert neighbour.done()
        assert neighbour.result(timeout=0) == 20, "one that is decided costs nothing"
        assert rows() == [1, 2]
        assert clock.slept == []


def test_asking_with_a_timeout_gives_up(db: Database, clock: Clock, append: Any, lock: Any, rows: Rows) -> None:
    lock.hold()
    with inline(db, clock, retry=RetryPolicy(base_seconds=1.0, cap_seconds=1.0)) as batcher:
        future = batcher.submit(append, 1)
        with pytest.raises(TimeoutError, match="did not end within 3 s"):
            future.result(timeout=3.0)
        assert clock.now == pytest.approx(1_003.0)
        assert batcher.metrics().retries >= 3, "the fault fired"
        lock.release()
        assert future.result() == 10
    assert rows() == [1]


def test_a_back_off_is_slept_out_and_the_delays_are_those_of_the_policy(
    db: Database, clock: Clock, append: Any, lock: Any, flushes: list[FlushCompleted]
) -> None:
    policy = RetryPolicy(base_seconds=1.0, cap_seconds=8.0)
    random = Random(1)
    expected = [policy.delay(attempt, random) for attempt in (1, 2, 3)]
    lock.hold()
    clock.before_waking = lambda: lock.release() if len(clock.slept) == 3 else None
    with inline(db, clock, retry=policy) as batcher:
        batcher.submit(append, 1)
        batcher.flush()
    assert clock.slept == pytest.approx(expected)
    assert [flush.attempt for flush in flushes] == [1, 2, 3, 4]
    assert [flush.outcome for flush in flushes] == [Outcome.RETRIED] * 3 + [Outcome.COMMITTED]


def test_each_item_has_a_deadline_of_its_own(db: Database, clock: Clock, append: Any, lock: Any, rows: Rows) -> None:
    policy = RetryPolicy(base_seconds=1.0, cap_seconds=1.0, delivery_timeout=20.0)
    lock.hold()
    clock.before_waking = lambda: lock.release() if clock.now > 1_024.0 else None
    with inline(db, clock, retry=policy, flush_interval=1_000.0) as batcher:
        old = batcher.submit(append, 1)
        clock.now += 10.0
        young = batcher.submit(append, 2)
        batcher.flush()
        with pytest.raises(DeliveryTimeout, match=r"append was not delivered within 20 s, after \d+ attempts"):
            old.result()
        assert young.result() == 20
    assert rows() == [2]


def test_a_deadline_of_zero_tries_once(
    db: Database, clock: Clock, append: Any, lock: Any, flushes: list[FlushCompleted]
) -> None:
    lock.hold()
    with inline(db, clock, retry=RetryPolicy(delivery_timeout=0.0)) as batcher:
        future = batcher.submit(append, 1)
        with pytest.raises(DeliveryTimeout, match="after 1 attempts"):
            future.result()
    assert [flush.outcome for flush in flushes] == [Outcome.FAILED]
    assert clock.slept == []


def test_a_poison_row_and_a_passing_failure_in_one_batch(
    db: Database, clock: Clock, append: Any, rows: Rows, lock: Any
) -> None:
    """The file becomes busy while the poison is being looked for: the rest is tried again, in order."""
    write = append.apply
    attempts = 0

    def become_busy(connection: Any, part: Any) -> Any:
        nonlocal attempts
        attempts += 1
        if attempts == 3:  # after the whole and its first half
            lock.hold_against(connection)
        return write(connection, part)

    append.apply = become_busy
    clock.before_waking = lock.release
    with inline(db, clock, retry=RetryPolicy(base_seconds=1.0, cap_seconds=1.0)) as batcher:
        futures = [batcher.submit(append, n) for n in (1, 2, 3, 13, 5)]
        batcher.flush()
        assert batcher.metrics().retries == 1, "the fault fired"
        assert [future.result() for future in futures if future is not futures[3]] == [10, 20, 30, 50]
        assert "check constraint" in str(futures[3].exception()).lower()
    assert rows() == [1, 2, 3, 5]


def test_while_one_thread_writes_another_submits_and_its_flush_waits(
    db: Database, append: Any, gate: Any, rows: Rows
) -> None:
    with RequestBatcher(db, 2, 3600.0, mode="inline") as batcher, ThreadPoolExecutor(2) as threads:
        batcher.submit(gate, 1)
        writer = threads.submit(batcher.submit, gate, 2)
        assert gate.entered.wait(PATIENCE_SECONDS)
        mine = batcher.submit(append, 3)
        started = threading.Event()

        def flush() -> None:
            started.set()
            batcher.flush(PATIENCE_SECONDS)

        flushing = threads.submit(flush)
        assert started.wait(PATIENCE_SECONDS)
        assert not mine.done()
        gate.opened.set()
        flushing.result(PATIENCE_SECONDS)
        assert mine.result(0) == 30
        assert writer.result(PATIENCE_SECONDS).result(0) == 20
    assert rows() == [1, 2, 3]


def test_closing_writes_all_that_waits(db: Database, clock: Clock, append: Any, rows: Rows) -> None:
    batcher = inline(db, clock, batch_size=3, max_pending=100)
    for n in range(8):
        batcher.submit(append, n)
    assert rows() == [0, 1, 2, 3, 4, 5]
    assert batcher.close() == DrainReport(delivered=2, failed=0, abandoned=0)
    assert rows() == list(range(8))


def test_no_thread_is_started(db: Database, clock: Clock, append: Any) -> None:
    before = threading.active_count()
    with inline(db, clock) as batcher:
        batcher.submit(append, 1)
        batcher.flush()
        assert threading.active_count() == before
