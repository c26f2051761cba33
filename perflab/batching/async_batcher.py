"""The batcher for asyncio: one hop to a thread per batch, none per item."""

from __future__ import annotations

import asyncio
import atexit
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf
from random import Random
from typing import Any, Self, TypeVar, Unpack, get_args, overload

from perflab.batching import at_exit
from perflab.batching.accumulator import Accumulator
from perflab.batching.admission import SubmitOptions, admit_by, buffer_full, stayed_full
from perflab.batching.arrivals import Arrival, Arrivals, RoomLine
from perflab.batching.dead_letters import DeadLetters
from perflab.batching.delivery import Delivery
from perflab.batching.departures import BatcherExplanation
from perflab.batching.drain_report import DrainReport
from perflab.batching.gate import FlushGate
from perflab.batching.lanes import DEFAULT_LANES, Lane, Lanes
from perflab.batching.limits import Overflow, check_choice, make_limits
from perflab.batching.loop_futures import future_maker, no_loop, wanted
from perflab.batching.loop_writer import LoopWriter
from perflab.batching.metrics import BatchingMetrics, FlushTally
from perflab.batching.outcomes import Written, abandon, resolve
from perflab.batching.part import Submission, SubmissionBatch
from perflab.batching.retry import RetryPolicy
from perflab.batching.sizing.choice import SizingChoice, start_sizing
from perflab.batching.unit import AsyncSubmitsUnits
from perflab.database.bulk.compilation import CoreStatement
from perflab.database.core_write import CoreWrites, Row
from perflab.database.database import Database
from perflab.database.load import Load
from perflab.database.operation import Operation, Result
from perflab.database.values import check_number
from perflab.errors import LifecycleError

Item = TypeVar("Item")


class AsyncRequestBatcher(AsyncSubmitsUnits):
    """Coalesces single writes of many coroutines into batches; the twin of `RequestBatcher`, with the same bounds.

    `submit` returns a future at once: await it for the item's own result, or gather many. A whole batch goes to a
    thread, so the loop is never blocked by the database, and a cancelled waiter never cuts a statement in half: its
    item is dropped if it has not left, and written otherwise.

    With `overflow="block"` an item that finds the buffer full waits in line for room, and so does the coroutine that
    awaits it. A producer that does not await its futures should await `wait_for_room` now and then. The batcher belongs
    to the event loop of its first `submit`.

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
        flush_jitter: float = 0.0,
        lanes: Sequence[Lane] = DEFAULT_LANES,
        overflow: Overflow = "block",
        retry: RetryPolicy | None = None,
        dead_letters: DeadLetters | None = None,
        sizing: SizingChoice = "fixed",
        gate: FlushGate | None = None,
        clock: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        limits = make_limits(
            batch_size, flush_interval, batch_bytes, max_pending, max_pending_bytes, flush_jitter=flush_jitter
        )
        check_choice(overflow, "overflow", get_args(Overflow))
        self._limits = limits
        self._overflow = overflow
        self._clock = clock
        self._core_writes = CoreWrites(database.dialect)
        random = random or Random()
        self._delivery = Delivery(database, retry, dead_letters, gate, start=wanted, clock=clock, random=random)
        policy = start_sizing(sizing, limits, random.random)
        self._accumulator: Accumulator[Submission] = Accumulator(limits, policy, Lanes(lanes), random.random)
        self._tally = FlushTally()
        self._credit = 0
        self._arrivals = Arrivals(self._accumulator, self._core_writes.operation, self._refuse)
        self._note: Callable[[Arrival], None] = self._arrivals.usual.append
        self._create_future: Callable[[], asyncio.Future[Any]] = no_loop
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._writing = False
        self._closing = False
        self._gave_up = False  # close() ran out of time: what comes back undecided is not tried again
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._room_line = RoomLine()
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
    def submit(self, operation: CoreStatement, item: Row, **options: Unpack[SubmitOptions]) -> asyncio.Future[Any]: ...

    @overload
    def submit(self, operation: Load, item: Any, **options: Unpack[SubmitOptions]) -> asyncio.Future[Any]: ...

    @overload
    def submit(
        self, operation: Operation[Item, Result], item: Item, **options: Unpack[SubmitOptions]
    ) -> asyncio.Future[Result]: ...

    def submit(
        self, operation: Any, item: Any, *, lane: str | None = None, deadline: float | None = None
    ) -> asyncio.Future[Any]:
        """Hand over one item; await the future for its own result or error.

        Args:
            operation: an `Operation`, an insert(), update() or delete() of SQLAlchemy Core, or a `load()`. One that
                cannot be batched fails its future with `InvalidInput`.
            item: what the operation takes; for a Core statement a dictionary, for a load a key.
            lane: the name of its lane, such as "urgent"; None: the first that is not urgent.
            deadline: seconds from now by which it must be decided. What cannot make it, as far as is known, is refused
                now; its batch leaves in time; and what is not sent by then is not sent, but fails.

        Raises:
            BufferFull: the buffer is full and `overflow` is "raise".
            DeadlineOutOfReach: the item would be decided too late, by the figures in the message.
            LifecycleError: the batcher is closed, or no loop or another loop is running.
        """
        if lane is not None or deadline is not None:
            return self._submit_with_care(operation, item, lane, deadline)
        if self._credit <= 0:
            self._begin_turn(self._accumulator.lanes.usual)
        self._credit -= 1
        future = self._create_future()
        self._note((operation, item, future, None, inf))
        return future

    def _submit_with_care(
        self, operation: Any, item: Any, lane: str | None, deadline: float | None
    ) -> asyncio.Future[Any]:
        number = self._accumulator.lanes.index(lane)
        self._begin_turn(number)
        line = self._arrivals.line(number)
        must_be_decided = admit_by(deadline, self._accumulator, number, self._clock(), len(line))
        future = self._create_future()
        line.append((operation, item, future, number, must_be_decided))
        self._credit = 0  # the next submit adopts it
        return future

    async def wait_for_room(self, timeout: float | None = None) -> None:
        """Return once the buffer has room and nobody waits in line: first come, first served.

        Submit before the next `await`, or the place goes to another.

        Args:
            timeout: seconds to wait; None waits until there is room.

        Raises:
            BufferFull: there was none in that time.
        """
        if timeout is not None:
            check_number(timeout, "timeout")
        self._bind_loop()
        self._adopt()
        if self._loop is None or (not self._room_line and self._room_to_promise() > 0):
            return
        try:
            await self._room_line.wait(self._loop, timeout)
        except TimeoutError:
            raise stayed_full(self._accumulator.pending + len(self._arrivals)) from None

    def _room_to_promise(self) -> int:
        return self._accumulator.room - len(self._arrivals)

    def _begin_turn(self, lane: int) -> None:
        """Look at everything that `submit` skips: loop, closing, fullness; then allow some submits without a look."""
        self._bind_loop()
        if self._closing:
            raise self._accumulator.closed()
        self._adopt()
        room = self._accumulator.room_in(lane) - len(self._arrivals.line(lane))
        if room <= 0 and self._overflow == "raise":
            raise buffer_full(self._accumulator.pending)
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
        if self._arrivals:
            self._arrivals.adopt(self._clock())

    def _refuse(self, future: asyncio.Future[Any], error: Exception) -> None:
        self._tally.add(None, failed=1)
        if self._loop is not None and not self._loop.is_closed():
            future.set_exception(error)

    def _bind_loop(self) -> None:
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            raise LifecycleError(
                "AsyncRequestBatcher needs a running event loop: call it from a coroutine, or use RequestBatcher"
            ) from None
        if self._loop is None:
            self._loop = running
            self._create_future = future_maker(running)
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
        self._adopt()
        in_line = [line[-1] for line in (self._arrivals.urgent, self._arrivals.usual) if line]
        ticket = self._accumulator.flush()

        def reached() -> bool:
            nonlocal ticket, in_line
            if in_line:  # those in line belong to the barrier as soon as they are in the buffer
                ticket = self._accumulator.flush()
                in_line = [last for last in in_line if any(arrival is last for arrival in self._arrivals)]
            return not in_line and self._accumulator.reached(ticket)

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
        abandoned = abandon(self._accumulator.abandon(), (future for _, _, future, _, _ in self._arrivals))
        self._arrivals.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._writer.shutdown(wait_for_thread=drained)
        self._tally.add(None, failed=abandoned)
        after = self._tally.metrics(0)
        self._report = DrainReport.between(before, after, abandoned=abandoned, in_flight=self._accumulator.pending)
        atexit.unregister(self._at_exit)
        return self._report

    def metrics(self) -> BatchingMetrics:
        """What the batcher did so far; items in line count as pending."""
        return self._tally.metrics(self._accumulator.pending + len(self._arrivals))

    def explain(self) -> BatcherExplanation:
        """Why the last batches left, and why batches have the size and the wait that they have now."""
        return self._accumulator.explain()

    def retarget(self) -> None:
        """What the sizing goes by has changed from outside: let it choose anew. May be called from any thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._retarget)

    def _retarget(self) -> None:
        self._accumulator.retarget(self._clock())
        self._write_next()

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
        self._room_line.wake(self._room_to_promise())
        self._write_next()  # after the waiters, whose barriers may have moved

    def _settle(self, batch: SubmissionBatch, written: Written) -> None:
        self._delivery.emit(written)
        given_up = written.undecided if self._gave_up else []
        abandon(given_up)
        self._accumulator.settle(batch, () if given_up else written.undecided, written.resume_at)
        self._accumulator.learn(batch, written.flush, self._clock())
        self._tally.add(written.flush, failed=written.failed_items + len(given_up))

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
