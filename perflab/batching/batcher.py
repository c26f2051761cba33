"""The batcher for threads, which degrades to flushing inline where no thread can start."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from math import inf
from random import Random
from typing import Any, Self, TypeVar, Unpack, get_args, overload

from perflab.batching import at_exit
from perflab.batching.accumulator import Accumulator
from perflab.batching.admission import BlockedLine, BlockingSubmitOptions
from perflab.batching.dead_letters import DeadLetters
from perflab.batching.delivery import Delivery
from perflab.batching.departures import BatcherExplanation
from perflab.batching.drain_report import DrainReport
from perflab.batching.gate import FlushGate
from perflab.batching.inline_future import InlineFuture
from perflab.batching.lanes import DEFAULT_LANES, Lane, Lanes
from perflab.batching.limits import Mode, Overflow, check_choice, make_limits
from perflab.batching.metrics import BatchingMetrics, FlushTally
from perflab.batching.outcomes import abandon
from perflab.batching.part import Submission
from perflab.batching.retry import RetryPolicy
from perflab.batching.sizing.choice import SizingChoice, start_sizing
from perflab.batching.thread_futures import ThreadFutures, start_future
from perflab.batching.thread_writer import ThreadWriter
from perflab.batching.threads import start_thread
from perflab.batching.unit import SubmitsUnits
from perflab.database.bulk.compilation import CoreStatement
from perflab.database.core_write import CoreWrites, Row
from perflab.database.database import Database
from perflab.database.load import Load
from perflab.database.operation import Operation, Result
from perflab.database.values import check_number
from perflab.errors import LifecycleError

logger = logging.getLogger(__name__)

Item = TypeVar("Item")


class RequestBatcher(SubmitsUnits):
    """Coalesces single writes of many threads into batches; each caller gets a future for its own item.

    A batch leaves when it holds `batch_size` items or `batch_bytes` bytes, when its oldest item is `flush_interval`
    old, for an urgent item or a deadline, when the buffer is full, on `flush()` and on `close()`. While one batch is
    being written the next one fills. `explain()` says why the last ones left.

    `submit` checks the operation; the batch checks its items as it leaves, so that the caller's thread does not pay for
    it. An item that is refused, or that the database rejects, fails alone, with its own error in its own future.
    A cancelled future takes its item back unless the batch has left. Do not change an item after submitting it.

    A batch whose connection is lost is tried again, and its items are written once: where COMMIT was not answered, the
    ledger is asked (on PostgreSQL, with perflab's schema). Where nobody can be asked, the futures get `OutcomeUnknown`
    and nothing is tried again; an item that is written, but whose result went with the connection, gets `ResultLost`.

    What a batcher holds is in memory, and lost with the process: leave its `with` block, or close it. SIGTERM ends a
    Python process without either, unless `exit_on_sigterm` is around.

    Args:
        database: where to write.
        batch_size: items at which a batch leaves.
        flush_interval: seconds, the greatest age of an item before it leaves.
        batch_bytes: bytes at which a batch leaves; measured only if stated.
        max_pending: items that may be accepted and undecided; None: 20 batches, at least 10,000.
        max_pending_bytes: the same in bytes; measured only if stated.
        flush_jitter: the share, 0 … 1, by which the interval of each batch is shortened at random.
        lanes: which share the batches when more waits than fits; the order of items is kept within a lane.
        overflow: what `submit` does when the buffer is full: "block" until there is room, first come first served, or
            "raise" `BufferFull`.
        retry: back-off and overall deadline after passing failures.
        dead_letters: receives the items that failed for good, such as a `DeadLetterTable`; their futures fail as well.
        sizing: "fixed": batches are as large and wait as long as stated. "adaptive", or a `Sizing` such as
            `CostModelSizing(latency_target=0.050)`: both follow the load and what flushes cost, within these bounds.
        gate: what each transaction passes first, such as a `FleetMember`; None: nothing.
        mode: "threads", or "inline": no thread, batches are written by the threads that submit, flush, close, or ask a
            future for its result. (`concurrent.futures.wait` does not ask, and would wait for the others.)
        clock: monotonic seconds.
        sleep: between attempts in inline mode.
        random: the jitter of interval and back-off.

    Raises:
        InvalidInput: a bound is out of its range.
    """

    def __init__(
        self,
        database: Database,
        batch_size: int = 500,
        flush_interval: float = 0.010,
        *,
        batch_bytes: int | None = None,
        max_pending: int | None = None,
        max_pending_bytes: int | None = None,
        flush_jitter: float = 0.0,
        lanes: Sequence[Lane] = DEFAULT_LANES,
        overflow: Overflow = "block",
        retry: RetryPolicy | None = None,
        dead_letters: DeadLetters | None = None,
        sizing: SizingChoice = "fixed",
        gate: FlushGate | None = None,
        mode: Mode = "threads",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        random: Random | None = None,
    ) -> None:
        limits = make_limits(
            batch_size, flush_interval, batch_bytes, max_pending, max_pending_bytes, flush_jitter=flush_jitter
        )
        check_choice(overflow, "overflow", get_args(Overflow))
        check_choice(mode, "mode", get_args(Mode))
        self._overflow = overflow
        self._clock = clock
        self._sleep = sleep
        self._core_writes = CoreWrites(database.dialect)
        random = random or Random()
        self._futures = futures = ThreadFutures()
        delivery = Delivery(database, retry, dead_letters, gate, start=futures.start, clock=clock, random=random)
        policy = start_sizing(sizing, limits, random.random, writes_while_filling=mode == "threads")
        self._accumulator: Accumulator[Submission] = Accumulator(limits, policy, Lanes(lanes), random.random)
        self._tally = FlushTally()
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)  # the flusher waits here
        self._progress = threading.Condition(self._lock)  # flush and close wait here
        self._blocked = BlockedLine(self._accumulator, self._lock)  # producers
        self._writer = ThreadWriter(
            delivery,
            futures,
            accumulator=self._accumulator,
            blocked=self._blocked,
            tally=self._tally,
            progress=self._progress,
            clock=clock,
        )
        self._inline = mode == "inline"
        self._flusher: threading.Thread | None = None
        self._new_future: Callable[[], Future[Any]] = self._first_future
        self._report: DrainReport | None = None
        self._process_id = os.getpid()
        self._at_exit = at_exit.register(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    # -- items come ----------------------------------------------------------------------------------------------------

    @overload
    def submit(self, operation: CoreStatement, item: Row, **options: Unpack[BlockingSubmitOptions]) -> Future[Any]: ...

    @overload
    def submit(self, operation: Load, item: Any, **options: Unpack[BlockingSubmitOptions]) -> Future[Any]: ...

    @overload
    def submit(
        self, operation: Operation[Item, Result], item: Item, **options: Unpack[BlockingSubmitOptions]
    ) -> Future[Result]: ...

    def submit(
        self,
        operation: Any,
        item: Any,
        *,
        lane: str | None = None,
        deadline: float | None = None,
        timeout: float | None = None,
    ) -> Future[Any]:
        """Hand over one item; the future has its own result or error.

        Args:
            operation: an `Operation`, an insert(), update() or delete() of SQLAlchemy Core, or a `load()`.
            item: what the operation takes; for a Core statement a dictionary, for a load a key.
            lane: the name of its lane, such as "urgent"; None: the first that is not urgent.
            deadline: seconds from now by which it must be decided. What cannot make it, as far as is known, is refused
                now; its batch leaves in time; and what is not sent by then is not sent, but fails.
            timeout: seconds to wait for room with `overflow="block"`; None waits until there is some.

        Raises:
            InvalidInput: the operation cannot be batched.
            BufferFull: the buffer is full, and stayed so for `timeout`.
            DeadlineOutOfReach: the item would be decided too late, by the figures in the message.
            LifecycleError: the batcher is closed, or was made before a fork.
        """
        if os.getpid() != self._process_id:
            raise self._forked()
        if not hasattr(operation, "apply"):
            operation = self._core_writes.operation(operation)
        future = self._new_future()
        submission = Submission(operation, item, future)
        if lane is None and deadline is None and timeout is None:
            with self._lock:
                if self._accumulator.quiet_adds:  # the flusher sleeps on
                    self._accumulator.add_quietly(submission, self._clock())
                    return future
        self._submit_with_care(submission, lane, deadline, timeout)
        if self._inline:
            self._writer.write_due()
        return future

    def _first_future(self) -> Future[Any]:
        """Start the flusher with the first item; where that cannot be done, go on without it."""
        with self._lock:
            if self._flusher is None and not self._inline and not self._accumulator.closing:
                without = "whoever submits writes"
                self._flusher = start_thread(self._flush_in_background, "perflab-flusher", without=without)
                self._inline = self._flusher is None
            self._new_future = partial(InlineFuture, self.flush) if self._inline else self._futures.new
        return self._new_future()

    def _submit_with_care(
        self, submission: Submission, lane: str | None, deadline: float | None, timeout: float | None
    ) -> None:
        """What has a lane, a deadline or a timeout, must wait for room, or may make a batch due."""
        measures_bytes = self._accumulator.limits.measures_bytes
        size = submission.operation.size_bytes(submission.item) if measures_bytes else 0
        number = self._accumulator.lanes.index(lane)
        wait_at_most = inf if timeout is None else check_number(timeout, "timeout")
        may_wait = self._overflow == "block" and not self._writer.is_this_thread
        with self._lock:
            now = self._clock()
            blocked = self._blocked.enter(submission, size, number, deadline, now, may_wait=may_wait)
            if not self._inline:  # there, each submit looks
                self._accumulator.allow_quiet_adds()
                self._work.notify()
        if blocked is None:
            return
        until = None if blocked.deadline == wait_at_most == inf else min(blocked.deadline, now + wait_at_most)
        try:
            self._wait_until(lambda: blocked.admitted or self._accumulator.closing, until, blocked.changed)
        finally:
            with self._lock:
                error = self._blocked.leave(blocked)
        if error is not None:
            raise error

    def flush(self, timeout: float | None = None) -> None:
        """Return when everything submitted before is decided: written, or failed for good.

        Raises:
            TimeoutError: it is not within `timeout` seconds; nothing is lost, the items stay with the batcher.
            LifecycleError: called from a callback of a future, which runs in the thread that would have to write, or
                after a fork.
        """
        deadline = None if timeout is None else self._clock() + check_number(timeout, "timeout")
        self._refuse_in_callback("flush")
        with self._lock:
            ticket = self._accumulator.flush()
            self._work.notify()
        if not self._wait_until(lambda: self._accumulator.reached(ticket), deadline):
            raise TimeoutError(
                f"the flush did not end within {timeout:g} s: {self._accumulator.pending} items are pending"
            )

    def close(self, timeout: float | None = None) -> DrainReport:
        """Accept nothing more, write what waits, and say how it ended. Calling it again returns the same report.

        Args:
            timeout: seconds to wait; None waits until all is decided, at the longest the delivery timeout of an item.

        Raises:
            LifecycleError: called from a callback of a future.
        """
        deadline = None if timeout is None else self._clock() + check_number(timeout, "timeout")
        if os.getpid() != self._process_id:  # the items are the parent's
            return DrainReport(0, 0, 0)
        self._refuse_in_callback("close")
        with self._lock:
            if self._report is not None:
                return self._report
            before = self._tally.metrics(0)
            self._accumulator.close()
            self._work.notify()
            self._progress.notify_all()
            self._blocked.wake()
        drained = self._wait_until(lambda: not self._accumulator.pending, deadline)
        with self._lock:
            waiting = self._accumulator.abandon()
            still_in_flight = self._accumulator.pending
            self._writer.gave_up = True
            self._work.notify()
        abandoned = abandon(entry for entry in waiting if entry.attempts or start_future(entry.future))
        if drained and self._flusher is not None:
            self._flusher.join()
        with self._lock:
            self._tally.add(None, failed=abandoned)
            after = self._tally.metrics(0)
            if self._report is None:
                self._report = DrainReport.between(before, after, abandoned=abandoned, in_flight=still_in_flight)
        atexit.unregister(self._at_exit)
        return self._report

    def drain_at_exit(self, timeout: float) -> int:
        report = self.close(timeout)
        return report.failed + report.abandoned

    def metrics(self) -> BatchingMetrics:
        """What the batcher did so far."""
        with self._lock:
            tally, pending = self._tally.copy(), self._accumulator.pending
        return tally.metrics(pending)

    def explain(self) -> BatcherExplanation:
        """Why the last batches left, and why batches have the size and the wait that they have now."""
        with self._lock:
            return self._accumulator.explain()

    def retarget(self) -> None:
        """What the sizing goes by has changed from outside: let it choose anew, for the batch that is filling too."""
        with self._lock:
            self._accumulator.retarget(self._clock())
            self._work.notify()

    def _flush_in_background(self) -> None:
        """The flusher thread: one batch after the other until the batcher is closed and empty."""
        while True:
            with self._lock:
                while (batch := self._accumulator.take(self._clock())) is None:
                    if self._accumulator.closing and not self._accumulator.waiting:
                        return
                    due = self._accumulator.next_due()
                    self._work.wait(None if due is None else max(0.0, due - self._clock()))
            try:
                self._writer.write(batch)
            except BaseException:
                logger.exception("a batch was broken off; the flusher goes on")

    def _wait_until(
        self, done: Callable[[], bool], deadline: float | None, changed: threading.Condition | None = None
    ) -> bool:
        """Wait for what is true under the lock; inline mode writes meanwhile. False if it is not at the deadline."""
        changed = changed or self._progress
        while True:
            if self._inline:
                self._writer.write_due()
            with self._lock:
                if done():
                    return True
                now = self._clock()
                left = None if deadline is None else deadline - now
                if left is not None and left <= 0:
                    return False
                due = self._accumulator.next_due()
                if not self._inline or self._accumulator.in_flight or due is None:
                    changed.wait(left)  # for the flusher, or for another thread that writes
                    continue
            pause = due - now  # nobody writes: a back-off is waited out
            self._sleep(max(0.0, pause if left is None else min(pause, left)))

    def _refuse_in_callback(self, what: str) -> None:
        if os.getpid() != self._process_id:
            raise self._forked()
        if self._writer.is_this_thread:
            raise LifecycleError(
                f"{what}() was called from a callback of a future: it would wait for the thread that it runs in; call "
                "it from another thread"
            )

    def _forked(self) -> LifecycleError:
        return LifecycleError(
            f"this RequestBatcher was made by process {self._process_id}, before a fork: make one in this process"
        )
