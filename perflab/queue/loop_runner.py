"""Running a handler that is `async def`: on one event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

from perflab.queue.job import Job
from perflab.queue.jobs_in_hand import JobsInHand, Outcome
from perflab.queue.operations import DoneItem


class LoopRunner:
    """One event loop that runs up to `concurrency` jobs at a time, each in a task of its own.

    The handler may raise anything, cancel its own task, or stop the loop: the outcome of each job is read when its task
    has ended, and a loop that was stopped is run again until `close`.

    Args:
        handler: gets a job. Whatever it raises, CancelledError and SystemExit included, is the job's error.
        concurrency: jobs at a time.
        in_hand: where jobs come from.
        done_item: what acknowledges a job with what its handler has returned. What it raises is the job's error.
    """

    def __init__(
        self,
        handler: Callable[[Job], Coroutine[Any, Any, object]],
        concurrency: int,
        in_hand: JobsInHand,
        done_item: Callable[[Job, object], DoneItem],
    ) -> None:
        self._handler = handler
        self._done_item = done_item
        self._concurrency = concurrency
        self._in_hand = in_hand
        self._tasks: dict[asyncio.Task[object], Job] = {}
        self._closing = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, name="perflab-handler-loop", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Jobs have arrived."""
        self._loop.call_soon_threadsafe(self._fill)

    def give_up(self, jobs: list[Job]) -> None:
        """Cancel the tasks of these jobs."""
        self._loop.call_soon_threadsafe(self._cancel, set(map(id, jobs)))

    def cancel(self) -> None:
        """Cancel the tasks of all running jobs."""
        self._loop.call_soon_threadsafe(self._cancel, None)

    def close(self, timeout_seconds: float) -> None:
        """End the loop when its jobs have ended, and wait for that; what takes longer is left alone."""
        self._loop.call_soon_threadsafe(self._begin_closing)
        self._thread.join(timeout_seconds)

    # -- all below runs in the loop's thread ---------------------------------------------------------------------------

    def _run_loop(self) -> None:
        while not self._closing or self._tasks:
            # asyncio lets these two out of a task and out of the loop; the task has ended with them all the same.
            with suppress(KeyboardInterrupt, SystemExit):
                self._loop.run_forever()
        with suppress(KeyboardInterrupt, SystemExit):
            self._loop.run_until_complete(_cancel_left_behind())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _fill(self) -> None:
        while len(self._tasks) < self._concurrency and not self._closing:
            job = self._in_hand.take_at_once()
            if job is None:
                return
            self._begin(job)

    def _begin(self, job: Job) -> None:
        try:
            task = self._loop.create_task(self._handler(job))
        except BaseException as error:  # noqa: BLE001  # a handler may do anything; it is that job's error
            self._in_hand.finish(job, error)
        else:
            self._tasks[task] = job
            task.add_done_callback(partial(self._ended, job))

    def _ended(self, job: Job, task: asyncio.Task[object]) -> None:
        del self._tasks[task]
        self._in_hand.finish(job, self._outcome(job, task))
        self._fill()
        self._stop_if_done()

    def _outcome(self, job: Job, task: asyncio.Task[object]) -> Outcome:
        if task.cancelled():
            return asyncio.CancelledError("the handler was cancelled")
        if (error := task.exception()) is not None:
            return error
        if (result := task.result()) is None:
            return job
        try:
            return self._done_item(job, result)
        except Exception as refusal:  # noqa: BLE001  # a result may be anything; it is that job's error
            return refusal

    def _cancel(self, among: set[int] | None) -> None:
        for task, job in self._tasks.items():
            if among is None or id(job) in among:
                task.cancel()

    def _begin_closing(self) -> None:
        self._closing = True
        self._stop_if_done()

    def _stop_if_done(self) -> None:
        if self._closing and not self._tasks:
            self._loop.stop()


async def _cancel_left_behind() -> None:
    """Cancel tasks that handlers started and nobody awaited, and let them clean up."""
    left_behind = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left_behind:
        task.cancel()
    await asyncio.gather(*left_behind, return_exceptions=True)
