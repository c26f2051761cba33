"""The batcher for asyncio: one hop to a thread per batch, none per item."""

from __future__ import annotations

import asyncio
import atexit
import time
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, Self, TypeVar, get_args, overload

from perflab.batching import at_exit
from perflab.batching.accumulator import Accumulator
from perflab.batching.batcher import DrainReport, Overflow
from perflab.batching.delivery import Delivery, Written, abandon, resolve
from perflab.batching.limits import make_limits
from perflab.batching.loop_writer import LoopWriter
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

Item = TypeVar("Item")
Result = TypeVar("Result")
Arrival = tuple[Any, Any, "asyncio.Future[Any]"]


class AsyncRequestBatcher:
    """Coalesces single writes of many coroutines into batches; the twin of `RequestBatcher`, with the same bounds.

    `submit` returns a future at once: await it for the item's own result, or gather many. A whole batch goes to a
    thread, so the loop is never blocked by the database, and a cancelled waiter never cuts a statement in half: its
    item is dropped if it has not left, and written otherwise.

    With `overflow="block"` an item that finds the buffer full waits in line for room, and so does the coroutine that
    awaits it. A producer that does not await its futures should await `wait_for_room` now and then.

    The batcher belongs to the event loop of its first `submit`.

    How `submit` stays cheap: items of one turn of the loop are noted in a plain list and adopted together at its end,
    with one reading of the clock. `_credit` is the number of submits until something else must be looked at.
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
        clock: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        limits = make_limits(batch_size, flush_interval, batch_bytes, max_pending, max_pending_bytes)
        if overflow not in get_args(Overflow):
            raise InvalidInput(f"overflow is {overflow!r}: use 'block' or 'raise'")
        self._limits = limits
        self._overflow = overflow
        self._clock = clock
        self._core_writes = CoreWrites(database.dialect)
        random = random or Random()
        self._delivery = Delivery(database, retry or RetryPolicy(), start=_start, clock=clock, random=random)
        self._accumulator: Accumulator[Submission] = Accumulator(limits, start_sizing(sizing, limits, random.random))
        self._tally = FlushTally()
        self._credit = 0
        self._arrivals: list[Arrival] = []
        self._note: Callable[[Arrival], None] = self._arrivals.append
        self._create_future: Callable[[], asyncio.Future[Any]] = _no_loop
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._writing = False
        self._closing = False
        self._gave_up = False  # close() ran out of time: what comes back undecided is not tried again
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._writer = LoopWriter(self._delivery.write)
        self._report: DrainReport | None = None
        self._at_exit = at_exit.register(self)

    async def __aenter__(self) -> Self:
        self._bind_loop()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.close()

    # -- items come ----------------------------------------------------------------------------------------------------

    @overload
    def submit(self, operation: CoreStatement, item: Row) -> asyncio.Future[Any]: ...

    @overload
    def submit(self, operation: Load, item: Any) -> asyncio.Future[Any]: ...

    @overload
    def submit(self, operation: Operation[Item, Result], item: Item) -> asyncio.Future[Result]: ...

    def submit(self, operation: Any, item: Any) -> asyncio.Future[Any]:
        """Hand over one item; await the future for its own result or error.

        Args:
            operation: an `Operation`, an insert(), update() or delete() of SQLAlchemy Core, or a `load()`. One that
                cannot be batched fails its future with `InvalidInput`.
            item: what the operation takes; for a Core statement a dictionary, for a load a key.

        Raises:
            BufferFull: the buffer is full and `overflow` is "raise".
            LifecycleError: the batcher is closed, or no loop or another loop is running.
        """
        if self._credit <= 0:
            self._begin_turn()
        self._credit -= 1
        future = self._create_future()
        self._note((operation, item, future))
        return future

    async def wait_for_room(self) -> None:
        """Return once the buffer has room and nobody waits in line."""
        self._bind_loop()
        self._adopt()
        await self._wait_until(lambda: not self._arrivals and self._accumulator.room > 0)

    def _begin_turn(self) -> None:
        """Look at everything that `submit` skips: loop, closing, fullness; then allow some submits without a look."""
        self._bind_loop()
        if self._closing:
            raise LifecycleError("the batcher is closed: it accepts no more items")
        self._adopt()
        room = self._accumulator.room - len(self._arrivals)
        if room <= 0 and self._overflow == "raise":
            raise BufferFull(
                f"the buffer is full: {self._accumulator.pending:,} items are pending; submit more slowly, raise "
                "max_pending, or use overflow='block'"
            )
        self._write_next()
        if self._turn is None and self._loop is not None:
            self._turn = self._loop.call_soon(self._end_turn)
        self._credit = self._submits_without_a_look(room)

    def _submits_without_a_look(self, room: int) -> int:
        if room <= 0:  # they stand in line, and there is nothing to see until a batch is written
            return self._accumulator.target.items
        if self._limits.max_pending_bytes is not None:
            return 1  # the next item may be large
        # Within a turn only a full batch leaves: what else comes in it comes at no cost of waiting.
        to_full_batch = self._accumulator.target.items - self._accumulator.waiting
        return room if self._writing or to_full_batch <= 0 else min(room, to_full_batch)

    def _end_turn(self) -> None:
        self._turn = None
        self._credit = 0
        self._adopt()
        self._write_next()

    def _adopt(self) -> None:
        """Move arrivals into the buffer while it has room; the others stay in line."""
        if not self._arrivals:
            return
        accumulator, now = self._accumulator, self._clock()
        room = accumulator.room
        adopted = 0
        for operation, item, future in self._arrivals:
            if room <= 0:
                break
            adopted += 1
            if future.cancelled():
                continue
            try:
                if not hasattr(operation, "apply"):
                    operation = self._core_writes.operation(operation)  # noqa: PLW2901  # the same thing, resolved
                size = operation.size_bytes(item) if self._limits.measures_bytes else 0
            except Exception as error:  # noqa: BLE001  # it belongs to this item alone
                self._tally.add(None, failed=1)
                if self._loop is not None and not self._loop.is_closed():
                    future.set_exception(error)
                continue
            accumulator.add(Submission(operation, item, future), now, size)
            room = accumulator.room if self._limits.measures_bytes else room - 1
        del self._arrivals[:adopted]

    def _bind_loop(self) -> None:
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            raise LifecycleError(
                "AsyncRequestBatcher needs a running event loop: call it from a coroutine, or use RequestBatcher"
            ) from None
        if self._loop is None:
            self._loop = running
            self._create_future = _future_maker(running)
        elif self._loop is not running:
            raise LifecycleError(
                "this AsyncRequestBatcher belongs to another event loop: make one for each asyncio.run()"
            )

    # -- barriers ------------------------------------------------------------------------------------------------------

    async def flush(self, timeout: float | None = None) -> None:
        """Return when everything submitted before is decided: written, or failed for good.

        Raises:
            TimeoutError: it is not within `timeout` seconds; nothing is lost, the items stay with the batcher.
        """
        if timeout is not None:
            check_number(timeout, "timeout")
        self._bind_loop()
        last_in_line = self._arrivals[-1] if self._arrivals else None
        self._adopt()
        ticket = self._accumulator.flush()

        def reached() -> bool:
            nonlocal ticket, last_in_line
            if last_in_line is not None:  # those in line belong to the barrier as soon as they are in the buffer
                ticket = self._accumulator.flush()
                if not any(arrival is last_in_line for arrival in self._arrivals):
                    last_in_line = None
            return last_in_line is None and self._accumulator.reached(ticket)

        self._write_next()
        try:
            async with asyncio.timeout(timeout):
                await self._wait_until(reached)
        except TimeoutError:
            pending = self._accumulator.pending + len(self._arrivals)
            raise TimeoutError(f"the flush did not end within {timeout:g} s: {pending} items are pending") from None

    async def close(self, timeout: float | None = None) -> DrainReport:
        """Accept nothing more, write what waits, and say how it ended. Calling it again returns the same report.

        Args:
            timeout: seconds to wait; None waits until all is decided, at the longest the delivery timeout of an item.
        """
        if self._report is not None:
            return self._report
        if timeout is not None:
            check_number(timeout, "timeout")
        self._bind_loop()
        self._closing = True
        self._credit = 0
        before = self._tally.metrics(0)
        self._adopt()
        if not self._arrivals:  # those in line must still get in
            self._accumulator.close()
        drained = True
        try:
            await self.flush(timeout)
        except TimeoutError:
            drained = False
        self._accumulator.close()
        self._gave_up = True
        abandoned = abandon(self._accumulator.abandon(), (future for _, _, future in self._arrivals))
        self._arrivals.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._writer.shutdown(wait_for_thread=drained)
        self._tally.add(None, failed=abandoned)
        after = self._tally.metrics(0)
        self._report = DrainReport(
            delivered=after.items - before.items,
            failed=after.failed - before.failed - abandoned,
            abandoned=abandoned + self._accumulator.pending,
        )
        atexit.unregister(self._at_exit)
        return self._report

    def metrics(self) -> BatchingMetrics:
        """What the batcher did so far; items in line count as pending."""
        return self._tally.metrics(self._accumulator.pending + len(self._arrivals))

    def explain(self) -> Explanation:
        """Why batches have the size and the wait that they have now."""
        return self._accumulator.explain()

    # -- batches leave -------------------------------------------------------------------------------------------------

    def _write_next(self) -> None:
        """Send the next batch to the thread if one is due and none is there, and set the timer for the one after."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing or self._loop is None:
            return
        now = self._clock()
        batch = self._accumulator.take(now)
        if batch is None:
            due = self._accumulator.next_due()
            if due is not None:
                self._timer = self._loop.call_later(max(0.0, due - now), self._write_next)
            return
        self._writing = True
        self._writer.start(self._loop, batch, self._written)

    def _written(self, batch: SubmissionBatch, written: Written) -> None:
        self._writing = False
        resolve(written)
        self._settle(batch, written)
        self._adopt()
        waiters, self._waiters = self._waiters, []
        for reached, waiter in waiters:
            if waiter.done():
                continue
            if reached():
                waiter.set_result(None)
            else:
                self._waiters.append((reached, waiter))
        self._write_next()  # after the waiters, whose barriers may have moved

    def _settle(self, batch: SubmissionBatch, written: Written) -> None:
        self._delivery.emit(written)
        given_up = written.undecided if self._gave_up else []
        abandon(given_up)
        self._accumulator.settle(batch, () if given_up else written.undecided, written.resume_at)
        self._accumulator.learn(batch, written.flush, self._clock())
        self._tally.add(written.flush, failed=len(written.failed) + len(given_up))

    async def _wait_until(self, reached: Callable[[], bool]) -> None:
        self._bind_loop()
        if not reached() and self._loop is not None:
            waiter = self._loop.create_future()
            self._waiters.append((reached, waiter))
            await waiter

    def drain_at_exit(self, timeout: float) -> int:
        """Write what waits when the loop is gone. Futures belong to that loop, and stay as they are."""
        self._closing = True
        failed_before = self._tally.metrics(0).failed
        deadline = self._clock() + timeout
        if (unannounced := self._writer.take_unannounced(timeout)) is not None:
            self._settle(*unannounced)
        while self._clock() < deadline:
            self._adopt()
            self._accumulator.flush()
            batch = self._accumulator.take(self._clock())
            if batch is not None:
                self._settle(batch, self._delivery.write(batch))
            elif not self._accumulator.waiting:
                break
            else:
                time.sleep(0.001)  # a passing failure is waited out
        return self.metrics().pending + self._tally.metrics(0).failed - failed_before


def _future_maker(loop: asyncio.AbstractEventLoop) -> Callable[[], asyncio.Future[Any]]:
    """What makes the loop's futures; where that is asyncio's own way, without its Python frame."""
    if type(loop).create_future is asyncio.BaseEventLoop.create_future:
        return partial(asyncio.Future, loop=loop)
    return loop.create_future


def _no_loop() -> asyncio.Future[Any]:
    raise LifecycleError("AsyncRequestBatcher needs a running event loop")


def _start(future: asyncio.Future[Any]) -> bool:
    """Whether the item is still wanted. Only reads, so the writer's thread may ask."""
    return not future.cancelled()
