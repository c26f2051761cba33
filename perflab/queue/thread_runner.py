"""Running a handler that is a plain function: in threads."""

from __future__ import annotations

import inspect
import queue
import threading
import time
from collections.abc import Callable, Iterable

from perflab.queue.job import Job


class ThreadRunner:
    """A number of threads, each of which runs one job after the other.

    The threads are daemons: a handler that never returns must not keep the process alive.

    Args:
        handler: gets a job. Whatever it raises, SystemExit included, is the job's error and ends no thread.
        concurrency: threads.
        start: whether a job may still run; called in the thread that would run it.
        finish: called with each job that ran, and its error; must not raise.
    """

    def __init__(
        self,
        handler: Callable[[Job], object],
        concurrency: int,
        start: Callable[[Job], bool],
        finish: Callable[[Job, BaseException | None], None],
    ) -> None:
        self._handler = handler
        self._start = start
        self._finish = finish
        self._backlog: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"perflab-handler-{number}", daemon=True)
            for number in range(concurrency)
        ]
        try:
            for thread in self._threads:
                thread.start()
        except RuntimeError:  # no more threads: end those that did start
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            self.close(0.0)
            raise

    def submit(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            self._backlog.put(job)

    def cancel(self) -> None:
        """A thread cannot be interrupted: what runs, runs."""

    def close(self, timeout_seconds: float) -> None:
        """End the threads after their present job, and wait for that; what takes longer is left alone."""
        for _ in self._threads:
            self._backlog.put(None)
        deadline = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        while (job := self._backlog.get()) is not None:
            if self._start(job):
                self._finish(job, self._run(job))

    def _run(self, job: Job) -> BaseException | None:
        try:
            result = self._handler(job)
        except BaseException as error:  # noqa: BLE001  # a handler may do anything; it is that job's error
            return error
        if inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            return TypeError("the handler returned an awaitable that nobody awaits: declare the handler `async def`")
        return None
