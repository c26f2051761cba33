"""Running a handler that is a plain function: in threads."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable

from perflab.errors import HandlersStuck
from perflab.queue.job import Job
from perflab.queue.jobs_in_hand import JobsInHand, Outcome
from perflab.queue.operations import DoneItem


class ThreadRunner:
    """A number of threads, each of which runs one job after the other.

    The threads are daemons: a handler that never returns must not keep the process alive.

    Args:
        handler: gets a job. Whatever it raises, SystemExit included, is the job's error and ends no thread.
        concurrency: threads.
        in_hand: where jobs come from.
        done_item: what acknowledges a job with what its handler has returned. What it raises is the job's error.
    """

    def __init__(
        self,
        handler: Callable[[Job], object],
        concurrency: int,
        in_hand: JobsInHand,
        done_item: Callable[[Job, object], DoneItem],
    ) -> None:
        self._handler = handler
        self._done_item = done_item
        self._concurrency = concurrency
        self._in_hand = in_hand
        self._threads: list[threading.Thread] = []
        try:
            for _ in range(concurrency):
                self._start_thread()
        except RuntimeError:  # no more threads: end those that did start
            self.close(0.0)
            raise

    def wake(self) -> None:
        """Threads that wait for jobs have been woken by their arrival."""

    def give_up(self, jobs: list[Job]) -> None:
        """Have others do the work of threads that do not come back from these jobs.

        Raises:
            HandlersStuck: there are as many of those as of the others.
        """
        for _ in jobs:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            if len(self._threads) >= 2 * self._concurrency:
                raise HandlersStuck(
                    f"{self._concurrency} handlers have not returned although their time is up, and a thread cannot be "
                    "ended from outside: give what they call a timeout of its own; a new process frees the threads"
                )
            self._start_thread()

    def cancel(self) -> None:
        """A thread cannot be interrupted: what runs, runs."""

    def close(self, timeout_seconds: float) -> None:
        """End the threads after their present job, and wait for that; what takes longer is left alone."""
        self._in_hand.close()
        deadline = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name=f"perflab-handler-{len(self._threads)}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _work(self) -> None:
        finish_and_take, run = self._in_hand.finish_and_take, self._run
        job = self._in_hand.take()
        while job is not None:  # a job that was taken back means that another thread works in this one's place, or none
            job = finish_and_take(job, run(job))

    def _run(self, job: Job) -> Outcome:
        try:
            result = self._handler(job)
            return job if result is None else self._done(job, result)
        except BaseException as error:  # noqa: BLE001  # a handler may do anything; it is that job's error
            return error

    def _done(self, job: Job, result: object) -> Outcome:
        if not inspect.isawaitable(result):
            return self._done_item(job, result)
        if inspect.iscoroutine(result):
            result.close()
        return TypeError("the handler returned an awaitable that nobody awaits: declare the handler `async def`")
