"""The worker: claims jobs, has a handler run them, and acknowledges how they ended."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from random import Random
from typing import Any

from perflab.database.values import check_integer, check_number
from perflab.errors import InvalidInput, LifecycleError
from perflab.queue.job import Job
from perflab.queue.leases import check_worker_name
from perflab.queue.operations import lease_microseconds
from perflab.queue.progress_reports import Progress
from perflab.queue.queue import PriorityQueue
from perflab.queue.stop_signals import stop_signals
from perflab.queue.worker_run import StopRequests, WorkerReport, WorkerRun, WorkerSettings

__all__ = ["Worker", "WorkerReport"]

MOST_CONCURRENCY = 10_000
MOST_PREFETCH = 100_000


class Worker:
    """Runs a handler for the jobs of a queue until it is stopped.

    A `def` handler runs in `concurrency` threads, an `async def` one on an event loop with up to `concurrency` jobs at
    a time. When it returns, the job is done; what it raises (SystemExit and KeyboardInterrupt included) is the job's
    error; with `Retry` and `Discard` it decides what follows. It may run more than once for a job: `(job.id,
    job.attempt)` names the run.

    Where the queue keeps finished jobs, what the handler returns is kept with them (`DoneJob.result`). If it is no JSON
    value, or larger than a payload may be, the job is dead at once with an error that says so: to run it again would
    repeat what it has done. Elsewhere nobody looks at it.

    Jobs are claimed ahead, and a more urgent one that becomes ready later waits for some of them. After it is committed
    at most `prefetch + concurrency` others start before it: those that are in hand by then. With handlers that take at
    most T seconds it starts after at most (ceil((prefetch + concurrency) / concurrency) + 1) · T, and two round trips.
    It is asked for when half of the prefetched ones have started, and then goes before the rest. On an idle worker it
    waits for the next look instead.

    Args:
        queue: where the jobs come from.
        handler: takes a `Job`. One with two positional parameters without a default also gets a `Progress`, to say how
            far it is with `progress(0.4, "page 4 of 10")`, as often as it likes; `queue.progress(ids)` reads that.
        concurrency: jobs that run at a time.
        prefetch: jobs claimed ahead of those that run; None: what the handlers do in 0.05 s, at most 1,000, at least
            twice `concurrency`. More make claims cheaper, and others wait longer.
        timeout: seconds that a handler may take; None: as long as it likes. Then its job fails with a TimeoutError.
            An `async def` handler is cancelled. A thread cannot be, and another one takes its place.
        lease: seconds; renewed for as long as the worker lives, so it only bounds how long the jobs of a dead one wait.
        poll_interval: seconds, the longest pause between claims while the queue is empty.
        drain_timeout: seconds for running jobs to end in after `stop()`; then they are given back.
        batch_size: so many ended jobs are acknowledged at once.
        flush_interval: seconds that an acknowledgement waits for others or for the next claim, at most. While nothing
            runs it does not wait.
        listen: on PostgreSQL, hear of jobs as they are enqueued; that takes a connection. It looks at intervals all the
            same: for jobs whose time has come or that others gave back, for what it could not hear while its
            connection was lost, and behind poolers, through which nothing is heard.
        name: to be seen in the table; by default host and process.
        monotonic: seconds.
        rng: for the jitter of pauses.

    Raises:
        InvalidInput: an argument is out of its range.
    """

    def __init__(
        self,
        queue: PriorityQueue[Any, Any],
        handler: Callable[[Job], object] | Callable[[Job, Progress], object],
        *,
        concurrency: int = 4,
        prefetch: int | None = None,
        timeout: float | None = None,
        lease: float = 60.0,
        poll_interval: float = 0.1,
        drain_timeout: float = 30.0,
        batch_size: int = 500,
        flush_interval: float = 0.010,
        listen: bool = True,
        name: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        rng: Random | None = None,
    ) -> None:
        if not callable(handler):
            raise InvalidInput(f"the handler is {handler!r}: give a function that takes a Job")
        self._queue = queue
        self._handler = handler
        if prefetch is not None:
            check_integer(prefetch, "prefetch", low=0, high=MOST_PREFETCH)
        if timeout is not None:
            check_number(timeout, "timeout", high=366 * 86_400.0, above_low=True)
        lease_microseconds(lease)
        self.name = check_worker_name(f"{socket.gethostname()}:{os.getpid()}" if name is None else name)
        self._settings = WorkerSettings(
            name=self.name,
            concurrency=check_integer(concurrency, "concurrency", low=1, high=MOST_CONCURRENCY),
            prefetch=prefetch,
            timeout=timeout,
            lease=lease,
            poll_interval=check_number(poll_interval, "poll_interval", high=3600.0, above_low=True),
            drain_timeout=check_number(drain_timeout, "drain_timeout", high=86_400.0),
            batch_size=check_integer(batch_size, "batch_size", low=1),
            flush_interval=check_number(flush_interval, "flush_interval", high=3600.0),
            listen=listen,
        )
        self._clock = monotonic
        self._rng = rng or Random()
        self._stop_requests = StopRequests()
        self._is_running = False

    def stop(self) -> None:
        """Claim nothing more, drain, and let `run` return; a second call ends the drain at once.

        May be called from any thread, a handler or a signal handler. A stopped worker stays stopped.
        """
        self._stop_requests.add()

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
                run = WorkerRun(
                    self._queue,
                    self._handler,
                    self._settings,
                    self._stop_requests,
                    monotonic=self._clock,
                    rng=self._rng,
                )
                return run.to_its_end(until_empty=until_empty)
        finally:
            self._is_running = False
