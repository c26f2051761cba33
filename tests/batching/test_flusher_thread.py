"""The batcher with a thread: age, barriers under load, callbacks, and a thread that cannot start or will not die."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest

from perflab.batching.batcher import RequestBatcher
from perflab.batching.drain_report import DrainReport
from perflab.batching.inline_future import InlineFuture
from perflab.batching.retry import RetryPolicy
from perflab.database.database import Database
from perflab.errors import InvalidInput, LifecycleError
from perflab.events import Cause, FlushCompleted

Rows = Callable[[], list[int]]
PATIENCE_SECONDS = 60.0


def test_an_old_item_leaves_without_another_call(
    db: Database, append: Any, rows: Rows, flushes: list[FlushCompleted]
) -> None:
    with RequestBatcher(db, 100, 0.005) as batcher:
        future = batcher.submit(append, 1)
        assert future.result(PATIENCE_SECONDS) == 10
        batcher.submit(append, 2).result(PATIENCE_SECONDS)
    assert [(flush.cause, flush.items) for flush in flushes] == [(Cause.AGE, 1), (Cause.AGE, 1)]
    assert all(flush.waited >= 0.005 for flush in flushes)
    assert rows() == [1, 2]


def test_the_flusher_starts_with_the_first_item_and_ends_with_close(db: Database, append: Any) -> None:
    def flushers() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "perflab-flusher"]

    with RequestBatcher(db, 1) as batcher:
        assert flushers() == []
        batcher.submit(append, 1).result(PATIENCE_SECONDS)
        assert len(flushers()) == 1
        assert flushers()[0].daemon
    assert flushers() == []


@pytest.mark.parametrize("mode", ["threads", "inline"])
def test_a_flush_is_a_barrier_for_each_of_many_submitters(db: Database, append: Any, rows: Rows, mode: Any) -> None:
    """Elsewhere `flush()` does nothing (influxdb-client-python#697)."""
    with RequestBatcher(db, 7, 3600.0, mode=mode) as batcher, ThreadPoolExecutor(4) as threads:

        def produce(start: int) -> int:
            barriers = 0
            for n in range(start, start + 60, 6):
                futures = [batcher.submit(append, item) for item in range(n, n + 6)]
                batcher.flush(PATIENCE_SECONDS)
                assert all(future.done() for future in futures), "the barrier let an item through"
                barriers += 1
            return barriers

        assert sum(threads.map(produce, (100, 200, 300, 400))) == 40
    written = rows()
    assert sorted(written) == [n for start in (100, 200, 300, 400) for n in range(start, start + 60)]
    for start in (100, 200, 300, 400):
        own = [n for n in written if start <= n < start + 100]
        assert own == sorted(own), "what one thread submits is written in its order"


def test_a_flush_does_not_wait_for_what_comes_after_it(db: Database, append: Any, gate: Any) -> None:
    with RequestBatcher(db, 100, 3600.0) as batcher:
        batcher.submit(append, 1)
        batcher.flush(PATIENCE_SECONDS)
        later = batcher.submit(gate, 2)
        with pytest.raises(TimeoutError, match=r"the flush did not end within 0.02 s: 1 items are pending"):
            batcher.flush(timeout=0.02)
        assert not later.done()
        gate.opened.set()
        assert later.result(PATIENCE_SECONDS) == 20


def test_those_who_wait_for_many_futures_hear_of_each(db: Database, append: Any) -> None:
    with RequestBatcher(db, 100, 3600.0) as batcher:
        futures = [batcher.submit(append, n) for n in (1, 13, 2)]
        assert futures[2].cancel()
        batcher.flush(PATIENCE_SECONDS)
        assert wait(futures, PATIENCE_SECONDS).not_done == set()


def test_those_who_wait_for_a_cancelled_item_hear_of_a_close_out_of_time(db: Database, gate: Any, append: Any) -> None:
    batcher = RequestBatcher(db, 1, 3600.0)
    batcher.submit(gate, 1)
    assert gate.entered.wait(PATIENCE_SECONDS)
    cancelled = batcher.submit(append, 2)
    assert cancelled.cancel()
    assert batcher.close(timeout=0.0) == DrainReport(delivered=0, failed=0, abandoned=1)
    assert wait([cancelled], PATIENCE_SECONDS).not_done == set()


# -- callbacks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["threads", "inline"])
def test_waiting_in_a_callback_for_the_thread_that_runs_it_is_refused(db: Database, append: Any, mode: Any) -> None:
    raised: list[str] = []
    with RequestBatcher(db, 100, 3600.0, mode=mode) as batcher:

        def wait_for_all(_done: Any) -> None:
            for call in (batcher.flush, batcher.close):
                try:
                    call()
                except LifecycleError as error:
                    raised.append(str(error))

        batcher.submit(append, 1).add_done_callback(wait_for_all)
        batcher.flush(PATIENCE_SECONDS)
        assert [message.partition(":")[0] for message in raised] == [
            "flush() was called from a callback of a future",
            "close() was called from a callback of a future",
        ]
        batcher.submit(append, 2)
    assert len(raised) == 2


def test_inline_asking_in_a_callback_for_a_neighbour_is_refused(db: Database, append: Any) -> None:
    raised: list[BaseException] = []
    with RequestBatcher(db, 100, 3600.0, mode="inline") as batcher:
        first, second = batcher.submit(append, 1), batcher.submit(append, 2)

        def ask(_done: Any) -> None:
            try:
                second.result()
            except LifecycleError as error:
                raised.append(error)

        first.add_done_callback(ask)
        assert second.result() == 20
    assert len(raised) == 1


@pytest.mark.parametrize("mode", ["threads", "inline"])
def test_a_callback_may_submit_more(db: Database, append: Any, rows: Rows, mode: Any) -> None:
    with RequestBatcher(db, 100, 3600.0, mode=mode) as batcher:
        batcher.submit(append, 1).add_done_callback(lambda _done: batcher.submit(append, 2))
        batcher.flush(PATIENCE_SECONDS)
    assert rows() == [1, 2]


@pytest.mark.parametrize("mode", ["threads", "inline"])
@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_a_callback_that_fails_reaches_nobody_else(
    db: Database, append: Any, mode: Any, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_done: Any) -> None:
        raise error

    with RequestBatcher(db, 100, 3600.0, mode=mode) as batcher:
        batcher.submit(append, 1).add_done_callback(broken)
        after = batcher.submit(append, 2)
        batcher.flush(PATIENCE_SECONDS)
        assert after.result() == 20
    assert "callback" in caplog.text


@pytest.mark.parametrize("mode", ["threads", "inline"])
def test_a_future_that_somebody_else_completed_strands_nobody(db: Database, append: Any, rows: Rows, mode: Any) -> None:
    """Elsewhere a cancelled future breaks its neighbours (aiodataloader#55)."""
    with RequestBatcher(db, 100, 3600.0, mode=mode) as batcher:
        meddled = batcher.submit(append, 1)
        after = batcher.submit(append, 2)
        meddled.set_running_or_notify_cancel()
        meddled.set_result("somebody else's")
        batcher.flush(PATIENCE_SECONDS)
        assert meddled.result() == "somebody else's"
        assert after.result(0) == 20
    assert rows() == [2], "it was answered, so it was not wanted any more"


# -- threads that cannot start, or meet what they should not -----------------------------------------------------------


def test_without_a_thread_the_submitters_write(
    db: Database, append: Any, rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def cannot_start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", cannot_start)
    with RequestBatcher(db, 3, 3600.0) as batcher:
        futures = [batcher.submit(append, n) for n in range(4)]
        assert all(isinstance(future, InlineFuture) for future in futures)
        assert [future.done() for future in futures] == [True, True, True, False]
        assert futures[3].result() == 30, "asking writes it"
        batcher.submit(append, 4)
    assert rows() == [0, 1, 2, 3, 4]
    assert caplog.text.count("no thread perflab-flusher (can't start new thread)") == 1


class Exits:
    name = "exits"
    tables = frozenset({"elsewhere"})

    def prepare(self, item: int) -> int:
        return item

    def size_bytes(self, item: int) -> int:
        return 8

    def apply(self, connection: Any, rows: Sequence[int]) -> Sequence[int]:
        raise SystemExit


def test_the_flusher_outlives_an_operation_that_exits(
    db: Database, append: Any, rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    with RequestBatcher(db, 100, 3600.0) as batcher:
        futures = [batcher.submit(append, 1), batcher.submit(Exits(), 2), batcher.submit(append, 3)]
        batcher.flush(PATIENCE_SECONDS)
        for future in futures:
            with pytest.raises(LifecycleError, match="SystemExit broke off the batch with this item, which may have"):
                future.result(0)
        assert rows() == []
        after = batcher.submit(append, 4)
        batcher.flush(PATIENCE_SECONDS)
        assert after.result(0) == 40
        assert batcher.metrics().failed == 3
    assert "a batch was broken off; the flusher goes on" in caplog.text


def test_inline_an_operation_that_exits_is_heard_and_strands_nobody(db: Database, append: Any, rows: Rows) -> None:
    batcher = RequestBatcher(db, 100, 3600.0, mode="inline")
    futures = [batcher.submit(append, 1), batcher.submit(Exits(), 2)]
    with pytest.raises(SystemExit):
        batcher.flush()
    assert all(isinstance(future.exception(), LifecycleError) for future in futures)
    batcher.submit(append, 3)
    assert batcher.close() == DrainReport(delivered=1, failed=0, abandoned=0)
    assert rows() == [3]


# -- closing -----------------------------------------------------------------------------------------------------------


def test_what_is_in_flight_when_close_runs_out_of_time_is_counted_and_ends(
    db: Database, gate: Any, append: Any, rows: Rows
) -> None:
    batcher = RequestBatcher(db, 2, 3600.0)
    in_flight = [batcher.submit(gate, 1), batcher.submit(gate, 2)]
    assert gate.entered.wait(PATIENCE_SECONDS)
    waiting = batcher.submit(append, 3)
    assert batcher.close(timeout=0.02) == DrainReport(delivered=0, failed=0, abandoned=3)
    with pytest.raises(LifecycleError, match="closed before this item could be delivered"):
        waiting.result(0)
    assert not any(future.done() for future in in_flight)
    gate.opened.set()
    assert [future.result(PATIENCE_SECONDS) for future in in_flight] == [10, 20]
    assert rows() == [1, 2]


def test_what_comes_back_after_close_gave_up_is_not_tried_again(
    db: Database, gate: Any, rows: Rows, lock: Any, flushes: list[FlushCompleted]
) -> None:
    class Busy(type(gate)):  # type: ignore[misc]
        """Runs into a lock of its own making, once the gate is opened."""

        def apply(self, connection: Any, rows: Any) -> Any:
            self.entered.set()
            assert self.opened.wait(PATIENCE_SECONDS)
            lock.hold_against(connection)

    busy = Busy()
    batcher = RequestBatcher(db, 1, 3600.0, retry=RetryPolicy(delivery_timeout=1000.0))
    future = batcher.submit(busy, 1)
    assert busy.entered.wait(PATIENCE_SECONDS)
    assert batcher.close(timeout=0.0) == DrainReport(0, 0, 1)
    busy.opened.set()
    with pytest.raises(LifecycleError, match="closed before this item could be delivered"):
        future.result(PATIENCE_SECONDS)
    assert len(flushes) == 1, "the fault fired, once"
    assert batcher.metrics().pending == 0


def test_closing_from_several_threads_gives_one_report(db: Database, append: Any, rows: Rows) -> None:
    batcher = RequestBatcher(db, 100, 3600.0)
    for n in range(5):
        batcher.submit(append, n)
    with ThreadPoolExecutor(4) as threads:
        reports = list(threads.map(lambda _: batcher.close(PATIENCE_SECONDS), range(4)))
    assert {report.abandoned for report in reports} == {0}
    assert len({id(report) for report in reports}) == 1
    assert rows() == list(range(5))


def test_leaving_a_with_block_by_an_exception_still_writes(db: Database, append: Any, rows: Rows) -> None:
    def fail() -> None:
        with RequestBatcher(db, 100, 3600.0) as batcher:
            batcher.submit(append, 1)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert rows() == [1]


@pytest.mark.parametrize("mode", ["thread", "", None])
def test_an_unknown_mode_is_refused(db: Database, mode: Any) -> None:
    with pytest.raises(InvalidInput, match=r"mode is .*: use one of 'threads', 'inline'"):
        RequestBatcher(db, mode=mode)


def test_nothing_is_said_in_the_log_of_a_good_day(db: Database, append: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="perflab"), RequestBatcher(db, 10, 0.001) as batcher:
        for n in range(50, 90):
            batcher.submit(append, n)
    assert [record for record in caplog.records if record.name.startswith("perflab")] == []
