"""Writes the batches of the batcher for threads, and settles them, in whichever thread it is called."""

from __future__ import annotations

import threading
from collections.abc import Callable

from perflab.batching.accumulator import Accumulator
from perflab.batching.admission import BlockedLine
from perflab.batching.delivery import Delivery
from perflab.batching.interrupts import interrupts_deferred
from perflab.batching.metrics import FlushTally
from perflab.batching.outcomes import Written, abandon, interrupted
from perflab.batching.part import Submission, SubmissionBatch
from perflab.batching.thread_futures import ThreadFutures


class ThreadWriter:
    """From a batch that was taken to its futures and back to the accumulator.

    Args:
        delivery: writes.
        futures: of the items.
        accumulator: of the batcher, under its lock, as are the next two.
        blocked: producers that wait for room.
        tally: of its metrics.
        progress: on that lock; notified when a batch has ended.
        clock: of the accumulator.
    """

    def __init__(
        self,
        delivery: Delivery,
        futures: ThreadFutures,
        *,
        accumulator: Accumulator[Submission],
        blocked: BlockedLine,
        tally: FlushTally,
        progress: threading.Condition,
        clock: Callable[[], float],
    ) -> None:
        self._accumulator = accumulator
        self._blocked = blocked
        self._tally = tally
        self._progress = progress
        self._delivery = delivery
        self._futures = futures
        self._clock = clock
        self._turn = threading.Lock()  # of `write_due`: one thread writes at a time, so that batches keep their order
        self._thread: int | None = None
        self.gave_up = False
        """Whether `close` ran out of time: what comes back undecided is not tried again. Set under the lock."""

    @property
    def is_this_thread(self) -> bool:
        """Whether this thread is writing a batch, and the caller a callback of one of its futures."""
        return self._thread == threading.get_ident()

    def write(self, batch: SubmissionBatch) -> None:
        """Write a batch and settle it, whatever happens: nobody waits for an item for ever."""
        self._thread = threading.get_ident()
        written = Written()
        try:
            try:
                written = self._delivery.write(batch)
            except BaseException as error:
                written = interrupted(batch, error)
                raise
            finally:
                self._futures.resolve(written)
                self._delivery.emit(written)
        finally:
            self._thread = None
            self._settle(batch, written)

    def _settle(self, batch: SubmissionBatch, written: Written) -> None:
        with self._progress:
            given_up = written.undecided if self.gave_up else []
            self._accumulator.settle(batch, () if given_up else written.undecided, written.resume_at)
            self._accumulator.learn(batch, written.flush, self._clock())
            self._tally.add(written.flush, failed=written.failed_items + len(given_up))
            self._blocked.admit(self._clock())
            self._progress.notify_all()
        abandon(given_up)

    def write_due(self) -> None:
        """Write what is due, unless another thread is at it."""
        while True:
            with self._progress:
                if not self._accumulator.due(self._clock()):
                    return
            # A batch that was taken must be settled, so that interrupts wait from before to after.
            with interrupts_deferred():
                if not self._turn.acquire(blocking=False):
                    return
                try:
                    with self._progress:
                        batch = self._accumulator.take(self._clock())
                    if batch is not None:
                        self.write(batch)
                finally:
                    self._turn.release()
