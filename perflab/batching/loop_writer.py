"""From the event loop to a thread and back, one batch at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial

from perflab.batching.interrupts import interrupts_deferred
from perflab.batching.outcomes import Written, interrupted
from perflab.batching.part import SubmissionBatch

logger = logging.getLogger(__name__)

Callback = Callable[[SubmissionBatch, Written], None]


class LoopWriter:
    """Writes a batch in a thread of its own and calls back in the loop. Where no thread can start, the loop writes.

    Args:
        write: `Delivery.write`.
    """

    def __init__(self, write: Callable[[SubmissionBatch], Written]) -> None:
        self._write = write
        self._executor: ThreadPoolExecutor | None = None
        self._in_thread: tuple[SubmissionBatch, Future[Written]] | None = None
        self._inline = False

    def start(self, loop: asyncio.AbstractEventLoop, batch: SubmissionBatch, written: Callback) -> None:
        """Begin to write a batch; the one before must have been called back."""
        if not self._inline:
            try:
                if self._executor is None:
                    self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="perflab-flusher")
                writing = self._executor.submit(self._write_safely, batch)
            except RuntimeError as error:
                logger.warning("no flusher thread (%s): batches are written in the loop's thread", error)
                self._inline, self._executor = True, None  # dropped, because the batch stands in its line
            else:
                self._in_thread = batch, writing
                # A loop that has ended hears nothing; `take_unannounced` then has the outcome.
                writing.add_done_callback(partial(self._announce, loop, batch, written))
        if self._inline:
            loop.call_soon(self._write_in_loop, batch, written)

    def take_unannounced(self, timeout: float) -> tuple[SubmissionBatch, Written] | None:
        """The batch that was being written when the loop ended, once it is done; None if there is none."""
        if self._in_thread is None:
            return None
        batch, writing = self._in_thread
        wait([writing], timeout)
        if not writing.done():
            return None
        self._in_thread = None
        return batch, writing.result()

    def shutdown(self, *, wait_for_thread: bool) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=wait_for_thread)

    def _write_safely(self, batch: SubmissionBatch) -> Written:
        try:
            return self._write(batch)
        except BaseException as error:
            logger.exception("a batch was broken off; the batcher goes on")
            return interrupted(batch, error)

    def _announce(
        self, loop: asyncio.AbstractEventLoop, batch: SubmissionBatch, written: Callback, writing: Future[Written]
    ) -> None:
        """In the thread."""
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._arrived, batch, written, writing)

    def _arrived(self, batch: SubmissionBatch, written: Callback, writing: Future[Written]) -> None:
        self._in_thread = None
        written(batch, writing.result())

    def _write_in_loop(self, batch: SubmissionBatch, written: Callback) -> None:
        with interrupts_deferred():
            written(batch, self._write_safely(batch))
