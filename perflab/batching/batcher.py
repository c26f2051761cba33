"""The batcher for threads, which degrades to flushing inline where no thread can start."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, Self, TypeVar, get_args, overload

from perflab.batching import at_exit
from perflab.batching.accumulator import Accumulator
from perflab.batching.delivery import Delivery, Written, abandon, interrupted, resolve
from perflab.batching.inline_future import InlineFuture
from perflab.batching.interrupts import interrupts_deferred
from perflab.batching.limits import make_limits
from perflab.batching.metrics import BatchingMetrics, FlushTally
from perflab.batching.part import Submission, SubmissionBatch
from perflab.batching.retry import RetryPolicy
from perflab.batching.sizing.choice import SizingChoice, start_sizing
from perflab.batching.sizing.policy import Explanation
from perflab.database.bulk.compilation import CoreStatement
from perflab.database.core_write import CoreWrites, Row
from perflab.database.database import Database
from perflab.database.load import Load
from perflab.database.operation import Operation
from perflab.database.values import check_number
from perflab.errors import BufferFull, InvalidInput, LifecycleError

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")
Overflow = Literal["block", "raise"]
Mode = Literal["threads", "inline"]


@dataclass(frozen=True, slots=True)
class DrainReport:
    """How the items ended that were pending when `close` was called."""

    delivered: int
    failed: int
    abandoned: int
    """Not decided within the timeout of `close`. Their futures raise; those in flight may still have been written."""


class RequestBatcher:
    """Coalesces single writes of many threads into batches; each caller gets a future for its own item.

    A batch leaves when it holds `batch_size` items or `batch_bytes` bytes, when its oldest item is `flush_interval`
    old, when the buffer is full, on `flush()` and on `close()`. While one batch is being written the next one fills.

    `submit` checks the operation; the batch checks its items as it leaves, so that the caller's thread does not pay for
    it. An item that is refused, or that the database rejects, fails alone, with its own error in its own future.
    A cancelled future takes its item back unless the batch has left. Do not change an item after submitting it.

    A batch whose connection is lost is tried again, and its items are written once: where COMMIT was not answered, the
    ledger is asked (on PostgreSQL, with perflab's schema). Where nobody can be asked, the futures get `OutcomeUnknown`
    and nothing is tried again; an item that is written, but whose result went with the connection, gets `ResultLost`.

    Args:
        database: where to write.
        batch_size: items at which a batch leaves.
        flush_interval: seconds, the greatest age of an item before it leaves.
        batch_bytes: bytes at which a batch leaves; measured only if stated.
        max_pending: items that may be accepted and undecided; None: 20 batches, at least 10,000.
        max_pending_bytes: the same in bytes; measured only if stated.
        overflow: what `submit` does when the buffer is full: "block" until there is room, or "raise" `BufferFull`.
        retry: back-off and overall deadline after passing failures.
        sizing: "fixed": batches are as large and wait as long as stated. "adaptive", or a `Sizing` such as
            `CostModelSizing(latency_target=0.050)`: both follow the load and what flushes cost, within these bounds.
        mode: "threads", or "inline": no thread, batches are written by the threads that submit, flush, close, or ask a
            future for its result. (`concurrent.futures.wait` does not ask, and would wait for the others.)
        clock: monotonic seconds.
        sleep: used in inline mode, between attempts.
        random: for the jitter of the back-off.

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
        overflow: Overflow = "block",
        retry: RetryPolicy | None = None,
        sizing: SizingChoice = "fixed",
        mode: Mode = "threads",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        random: Random | None = None,
    ) -> None:
        limits = make_limits(batch_size, flush_interval, batch_bytes, max_pending, max_pending_bytes)
        for name, value, choices in (("overflow", overflow, get_args(Overflow)), ("mode", mode, get_args(Mode))):
            if value not in choices:
                raise InvalidInput(f"{name} is {value!r}: use one of {', '.join(map(repr, choices))}")
        self._limits = limits
        self._overflow = overflow
        self._clock = clock
        self._sleep = sleep
        self._core_writes = CoreWrites(database.dialect)
        random = random or Random()
        self._delivery = Delivery(database, retry or RetryPolicy(), start=_start, clock=clock, random=random)
        policy = start_sizing(sizing, limits, random.random, writes_while_filling=mode == "threads")
        self._accumulator: Accumulator[Submission] = Accumulator(limits, policy)
        self._tally = FlushTally()
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)  # the flusher waits here
        self._progress = threading.Condition(self._lock)  # producers, flush and close wait here
        self._inline = mode == "inline"
        self._writing = threading.Lock()  # inline: one thread writes at a time, so that batches keep their order
        self._writing_thread: int | None = None
        self._flusher: threading.Thread | None = None
        self._gave_up = False  # close() ran out of time: what comes back undecided is not tried again
        self._report: DrainReport | None = None
        self._process_id = os.getpid()
        self._at_exit = at_exit.register(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    # -- items come ----------------------------------------------------------------------------------------------------

    @overload
    def submit(self, operation: CoreStatement, item: Row, *, timeout: float | None = None) -> Future[Any]: ...

    @overload
    def submit(self, operation: Load, item: Any, *, timeout: float | None = None) -> Future[Any]: ...

    @overload
    def submit(
        self, operation: Operation[Item, Result], item: Item, *, timeout: float | None = None
    ) -> Future[Result]: ...

    def submit(self, operation: Any, item: Any, *, timeout: float | None = None) -> Future[Any]:
        """Hand over one item.

        Args:
            operation: an `Operation`, an insert(), update() or delete() of SQLAlchemy Core, or a `load()`.
            item: what the operation takes; for a Core statement a dictionary, for a load a key.
            timeout: seconds to wait for room with `overflow="block"`; None waits until there is some.

        Returns:
            A future with the item's own result or error.

        Raises:
            InvalidInput: the operation cannot be batched.
            BufferFull: the buffer is full, and stayed so for `timeout`.
            LifecycleError: the batcher is closed, or was made before a fork.
        """
        if os.getpid() != self._process_id:
            raise self._forked()
        if not hasattr(operation, "apply"):
            operation = self._core_writes.operation(operation)
        if self._flusher is None and not self._inline:
            self._start_flusher()
        future: Future[Any] = InlineFuture(self.flush) if self._inline else Future()
        size = operation.size_bytes(item) if self._limits.measures_bytes else 0
        deadline = None if timeout is None else self._clock() + check_number(timeout, "timeout")
        accumulator = self._accumulator
        while True:
            with self._lock:
                if accumulator.room > 0 or accumulator.closing:
                    accumulator.add(Submission(operation, item, future), self._clock(), size)
                    if accumulator.added_what_matters:  # otherwise the flusher sleeps on
                        self._work.notify()
                    break
            self._wait_for_room(deadline)
        if self._inline:
            self._write_due()
        return future

    # -- barriers ------------------------------------------------------------------------------------------------------

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
        drained = self._wait_until(lambda: not self._accumulator.pending, deadline)
        with self._lock:
            waiting = self._accumulator.abandon()
            still_in_flight = self._accumulator.pending
            self._gave_up = True
            self._work.notify()
        abandoned = abandon(entry for entry in waiting if entry.attempts or _start(entry.item.future))
        if drained and self._flusher is not None:
            self._flusher.join()
        with self._lock:
            self._tally.add(None, failed=abandoned)
            after = self._tally.metrics(0)
            if self._report is None:
                self._report = DrainReport(
                    delivered=after.items - before.items,
                    failed=after.failed - before.failed - abandoned,
                    abandoned=abandoned + still_in_flight,
                )
        atexit.unregister(self._at_exit)
        return self._report

    def drain_at_exit(self, timeout: float) -> int:
        report = self.close(timeout)
        return report.failed + report.abandoned

    def metrics(self) -> BatchingMetrics:
        """What the batcher did so far."""
        with self._lock:
            return self._tally.metrics(self._accumulator.pending)

    def explain(self) -> Explanation:
        """Why batches have the size and the wait that they have now."""
        with self._lock:
            return self._accumulator.explain()

    # -- batches leave -------------------------------------------------------------------------------------------------

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
                self._write(batch)
            except BaseException:
                logger.exception("a batch was broken off; the flusher goes on")

    def _write(self, batch: SubmissionBatch) -> None:
        """Write a batch and settle it, whatever happens: nobody waits for an item for ever."""
        self._writing_thread = threading.get_ident()
        written = Written()
        try:
            try:
                written = self._delivery.write(batch)
            except BaseException as error:
                written = interrupted(batch, error)
                raise
            finally:
                resolve(written)
                self._delivery.emit(written)
        finally:
            self._writing_thread = None
            self._settle(batch, written)

    def _settle(self, batch: SubmissionBatch, written: Written) -> None:
        with self._lock:
            given_up = written.undecided if self._gave_up else []
            self._accumulator.settle(batch, () if given_up else written.undecided, written.resume_at)
            self._accumulator.learn(batch, written.flush, self._clock())
            self._tally.add(written.flush, failed=len(written.failed) + len(given_up))
            self._progress.notify_all()
        abandon(given_up)

    def _write_due(self) -> None:
        """Inline mode: write what is due, unless another thread is at it."""
        while True:
            with self._lock:
                if self._accumulator.due(self._clock()) is None:
                    return
            # A batch that was taken must be settled, so that interrupts wait from before to after.
            with interrupts_deferred():
                if not self._writing.acquire(blocking=False):
                    return
                try:
                    with self._lock:
                        batch = self._accumulator.take(self._clock())
                    if batch is not None:
                        self._write(batch)
                finally:
                    self._writing.release()

    # -- waiting -------------------------------------------------------------------------------------------------------

    def _start_flusher(self) -> None:
        """Start the flusher with the first item; where that cannot be done, go on without it."""
        with self._lock:
            if self._flusher is not None or self._inline or self._accumulator.closing:
                return
            flusher = threading.Thread(target=self._flush_in_background, name="perflab-flusher", daemon=True)
            try:
                flusher.start()
            except RuntimeError as error:
                logger.warning("no flusher thread (%s): batches are written by the threads that submit", error)
                self._inline = True
            else:
                self._flusher = flusher

    def _wait_for_room(self, deadline: float | None) -> None:
        """Return when the buffer has room or the batcher is closing; another thread may then be quicker."""
        pending = self._accumulator.pending
        if self._overflow == "raise" or self._is_writing():
            raise BufferFull(
                f"the buffer is full: {pending:,} items are pending; submit more slowly, raise max_pending, or use "
                "overflow='block'"
            )
        with self._lock:
            self._work.notify()
        if not self._wait_until(lambda: self._accumulator.room > 0 or self._accumulator.closing, deadline):
            raise BufferFull(
                f"the buffer is full: {pending:,} items are pending, and it stayed so until the timeout; submit more "
                "slowly or raise max_pending"
            )

    def _wait_until(self, done: Callable[[], bool], deadline: float | None) -> bool:
        """Wait for what is true under the lock; inline mode writes meanwhile. False if it is not at the deadline."""
        while True:
            if self._inline:
                self._write_due()
            with self._lock:
                if done():
                    return True
                now = self._clock()
                left = None if deadline is None else deadline - now
                if left is not None and left <= 0:
                    return False
                due = self._accumulator.next_due()
                if not self._inline or self._accumulator.in_flight or due is None:
                    self._progress.wait(left)  # for the flusher, or for another thread that writes
                    continue
            pause = due - now  # nobody writes: a back-off is waited out
            self._sleep(max(0.0, pause if left is None else min(pause, left)))

    def _is_writing(self) -> bool:
        return self._writing_thread == threading.get_ident()

    def _refuse_in_callback(self, what: str) -> None:
        if os.getpid() != self._process_id:
            raise self._forked()
        if self._is_writing():
            raise LifecycleError(
                f"{what}() was called from a callback of a future: it would wait for the thread that it runs in; "
                "call it from another thread"
            )

    def _forked(self) -> LifecycleError:
        return LifecycleError(
            f"this RequestBatcher was made by process {self._process_id}, before a fork: make one in this process"
        )


def _start(future: Future[Any]) -> bool:
    """From here on the future cannot be cancelled; False if it was, or if somebody else has completed it."""
    if future.done() and not future.cancelled():
        return False
    return future.set_running_or_notify_cancel()
