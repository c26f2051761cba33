"""The worker: claims jobs, has a handler run them, and acknowledges how they ended."""

from __future__ import annotations

import inspect
import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from random import Random
from typing import Any

from perflab.batching.batcher import RequestBatcher
from perflab.batching.limits import make_limits
from perflab.database.values import check_integer, check_number
from perflab.errors import InvalidInput, LifecycleError, TransientError
from perflab.queue.acknowledger import Acknowledger
from perflab.queue.job import Job
from perflab.queue.jobs_in_hand import JobsInHand
from perflab.queue.lease_keeper import LeaseKeeper
from perflab.queue.leases import check_worker_name
from perflab.queue.loop_runner import LoopRunner
from perflab.queue.operations import lease_microseconds
from perflab.queue.queue import PriorityQueue
from perflab.queue.stop_signals import stop_signals
from perflab.queue.thread_runner import ThreadRunner
from perflab.queue.wakeup import Wakeup

logger = logging.getLogger(__name__)

MOST_CONCURRENCY = 10_000
MOST_PREFETCH = 100_000
SHORTEST_POLL_SECONDS = 0.001
LONGEST_CLOSE_SECONDS = 5.0
"""For the last acknowledgements, after the drain."""
CANCELLED_HANDLER_SECONDS = 1.0
"""For handlers to clean up in once they were cancelled."""


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """How the jobs that a worker claimed have ended: the other fields add up to `claimed`."""

    claimed: int
    done: int
    failed: int
    """The handler raised: they come again, or are dead."""
    stale: int
    """Their lease was lost before they were acknowledged; they may have run twice."""
    released: int
    """Given back while draining: not started, or not ended in time."""
    unacknowledged: int
    """The database did not take their acknowledgement; when their lease runs out, they run again."""


class Worker:
    """Runs a handler for the jobs of a queue until it is stopped.

    A `def` handler runs in `concurrency` threads, an `async def` one on an event loop with up to `concurrency` jobs at
    a time. When it returns, the job is done; what it raises (SystemExit and KeyboardInterrupt included) is the job's
    error. It may run more than once for a job: `(job.id, job.attempt)` names the run.

    Args:
        queue: where the jobs come from.
        handler: takes a `Job`.
        concurrency: jobs that run at a time.
        prefetch: jobs claimed ahead of those that run; None: twice `concurrency`. More make claims cheaper and others
            wait longer.
        lease: seconds; extended for as long as a job is held, so it only bounds how long the jobs of a dead worker
            wait.
        poll_interval: seconds, the longest pause between claims while the queue is empty.
        drain_timeout: seconds for running jobs to end in after `stop()`; then they are given back.
        batch_size: acknowledgements that are written together, at most.
        flush_interval: seconds that an acknowledgement waits for others, at most.
        name: to be seen in the table; by default host and process.
        monotonic: seconds.
        rng: for the jitter of pauses.

    Raises:
        InvalidInput: an argument is out of its range.
    """

    def __init__(
        self,
        queue: PriorityQueue[Any, Any],
        handler: Callable[[Job], object],
        *,
        concurrency: int = 4,
        prefetch: int | None = None,
        lease: float = 60.0,
        poll_interval: float = 0.1,
        drain_timeout: float = 30.0,
        batch_size: int = 500,
        flush_interval: float = 0.010,
        name: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        rng: Random | None = None,
    ) -> None:
        if not callable(handler):
            raise InvalidInput(f"the handler is {handler!r}: give a function that takes a Job")
        self._queue = queue
        self._handler = handler
        self._concurrency = check_integer(concurrency, "concurrency", low=1, high=MOST_CONCURRENCY)
        self._prefetch = (
            2 * concurrency if prefetch is None else check_integer(prefetch, "prefetch", low=0, high=MOST_PREFETCH)
        )
        lease_microseconds(lease)
        self._lease = lease
        self._poll_interval = check_number(poll_interval, "poll_interval", high=3600.0, above_low=True)
        self._drain_timeout = check_number(drain_timeout, "drain_timeout", high=86_400.0)
        make_limits(batch_size, flush_interval, None, None, None)  # refuses them now and not in `run`
        self._batch_size = batch_size
        self._flush_interval = flush_interval
        self.name = check_worker_name(f"{socket.gethostname()}:{os.getpid()}" if name is None else name)
        self._monotonic = monotonic
        self._rng = rng or Random()
        self._wakeup = Wakeup()
        self._is_running = False
        self._stops = 0
        """0: run; 1: drain; more: give everything back at once."""
        self._is_polling = False
        self._claimed = 0
        self._in_hand = JobsInHand(self._hand_changed)

    def stop(self) -> None:
        """Claim nothing more, drain, and let `run` return; a second call ends the drain at once.

        May be called from any thread, a handler or a signal handler. A stopped worker stays stopped.
        """
        self._stops += 1
        self._wakeup.set()

    def run(self, *, until_empty: bool = False) -> WorkerReport:
        """Work until `stop()`, or SIGTERM or SIGINT if this is the main thread.

        Then jobs that have not started are given back, running ones have `drain_timeout` seconds to end, and the last
        acknowledgements are written. A second signal gives the running ones back at once.

        Args:
            until_empty: return when no job is ready, due or running here. Jobs scheduled for later, failed ones that
                wait for their next attempt among them, and jobs of other workers are not waited for.

        Raises:
            LifecycleError: it is running already.
            DatabaseError: the queue cannot be read; what was held is drained first.
        """
        if self._is_running:
            raise LifecycleError(f"the worker {self.name!r} is running already: make another one")
        self._is_running = True
        try:
            with stop_signals(self.stop):
                return self._run(until_empty=until_empty)
        finally:
            self._is_running = False

    def _run(self, *, until_empty: bool) -> WorkerReport:
        self._claimed = 0
        self._in_hand = JobsInHand(self._hand_changed)
        batcher = RequestBatcher(self._queue.db, self._batch_size, self._flush_interval)
        acknowledger = Acknowledger(self._queue, batcher, self._in_hand)
        with ExitStack() as closing:
            closing.callback(batcher.close, LONGEST_CLOSE_SECONDS)
            keeper = LeaseKeeper(
                self._queue, self._in_hand, self._lease, lambda lost: acknowledger.count("stale", len(lost)), self._rng
            )
            closing.callback(keeper.close)
            runner = self._start_runner(acknowledger)
            try:
                self._claim(runner, until_empty=until_empty)
            finally:
                self._drain(runner, acknowledger)
                batcher.close(LONGEST_CLOSE_SECONDS)  # while their leases are still kept
        ends = acknowledger.ends()
        return WorkerReport(
            claimed=self._claimed,
            done=ends["done"],
            failed=ends["failed"],
            stale=ends["stale"],
            released=ends["released"],
            unacknowledged=self._claimed - ends["done"] - ends["failed"] - ends["stale"] - ends["released"],
        )

    # -- claiming ------------------------------------------------------------------------------------------------------

    def _claim(self, runner: ThreadRunner | LoopRunner, *, until_empty: bool) -> None:
        """Keep the runner supplied until the worker is stopped, or, if asked, until nothing is left to do."""
        pause = 0.0
        while not self._stops:
            room = self._room()
            if room <= 0:
                self._wakeup.wait(self._poll_interval)
                continue
            was_idle = self._in_hand.is_empty
            try:
                jobs = self._queue.claim(room, self._lease, worker=self.name)
            except TransientError:
                logger.warning("the queue %s could not be read; trying again", self._queue.name, exc_info=True)
                self._wakeup.wait(self._rng.uniform(0.5, 1.0) * self._poll_interval)
                continue
            if jobs:
                pause = 0.0
                self._claimed += len(jobs)
                self._in_hand.add(jobs)
                runner.submit(jobs)
            elif until_empty and was_idle:
                return
            else:
                pause = min(self._poll_interval, max(2 * pause, SHORTEST_POLL_SECONDS))
                self._is_polling = True
                self._wakeup.wait(self._rng.uniform(0.5, 1.0) * pause)
                self._is_polling = False

    def _room(self) -> int:
        """How many jobs to claim: none until half of the prefetched ones have started, so that claims are large.

        Jobs whose acknowledgement is on its way take no room, up to ten batches of them: if the database does not
        take those, more work would not help.
        """
        waiting, running = self._in_hand.waiting, self._in_hand.running
        if waiting > self._prefetch // 2 or self._in_hand.finished > 10 * self._batch_size:
            return 0
        return self._concurrency + self._prefetch - waiting - running

    def _hand_changed(self) -> None:
        """Wake the claiming thread if that leads to something: there is room for more, or nothing is left."""
        waiting = self._in_hand.waiting
        if self._is_polling:
            if not waiting and not self._in_hand.running:
                self._wakeup.set()
        elif waiting <= self._prefetch // 2:
            self._wakeup.set()

    def _start_runner(self, acknowledger: Acknowledger) -> ThreadRunner | LoopRunner:
        handler: Any = self._handler
        if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__):
            return LoopRunner(handler, self._concurrency, self._in_hand.start, acknowledger.finish)
        return ThreadRunner(handler, self._concurrency, self._in_hand.start, acknowledger.finish)

    # -- draining ------------------------------------------------------------------------------------------------------

    def _drain(self, runner: ThreadRunner | LoopRunner, acknowledger: Acknowledger) -> None:
        """Give back what has not started, wait for what runs, and give back what does not end in time."""
        acknowledger.release(self._in_hand.take_waiting())
        deadline = self._monotonic() + self._drain_timeout
        while self._in_hand.running and self._stops < 2 and (left := deadline - self._monotonic()) > 0:
            self._wakeup.wait(left)
        unended = self._in_hand.take_running()
        if unended:
            logger.warning("%d jobs are given back while their handlers still run", len(unended))
        runner.cancel()
        acknowledger.release(unended)
        runner.close(CANCELLED_HANDLER_SECONDS)  # threads that have just finished a job get to acknowledge it
