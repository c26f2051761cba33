"""One run of a worker, from its first claim to its last acknowledgement."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from perflab.errors import DatabaseError, OutcomeUnknown, ResultLost, TransientError
from perflab.queue.arrivals import Arrivals
from perflab.queue.exchange import Exchange
from perflab.queue.held_lease import HeldLease
from perflab.queue.job import Job
from perflab.queue.jobs_in_hand import JobsInHand
from perflab.queue.loop_runner import LoopRunner
from perflab.queue.operations import DoneItem
from perflab.queue.prefetch import AdaptivePrefetch, FixedPrefetch
from perflab.queue.progress_reports import ProgressReports
from perflab.queue.queue import PriorityQueue
from perflab.queue.thread_runner import ThreadRunner
from perflab.queue.wakeup import Wakeup

logger = logging.getLogger(__name__)

SHORTEST_POLL_SECONDS = 0.001
LONGEST_RETRY_SECONDS = 1.0
"""Between tries to reach the database."""
LONGEST_CLOSE_SECONDS = 5.0
"""For the last acknowledgements, after the drain."""
CANCELLED_HANDLER_SECONDS = 1.0
"""For handlers to clean up in once they were cancelled."""
PASSES_BY = (TransientError, OutcomeUnknown, ResultLost)
"""After these, the same is tried again. To acknowledge a job a second time does no harm: it counts as stale."""


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """How the jobs that a worker claimed have ended: the other fields add up to `claimed`."""

    claimed: int
    done: int
    failed: int
    """The handler raised, or its time was up: they come again, or are dead."""
    stale: int
    """Their lease was lost before they were acknowledged; they may have run twice."""
    released: int
    """Given back while draining: not started, or not ended in time."""
    unacknowledged: int
    """The database did not take their acknowledgement; when their lease runs out, they run again."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """The checked arguments of a `Worker`."""

    name: str
    concurrency: int
    prefetch: int | None
    timeout: float | None
    lease: float
    poll_interval: float
    drain_timeout: float
    batch_size: int
    flush_interval: float
    listen: bool


class StopRequests:
    """How often a worker was told to stop, and what wakes it. `add` may be called by a signal handler."""

    def __init__(self) -> None:
        self.count = 0
        """0: run; 1: drain; more: give everything back at once."""
        self.wakeup = Wakeup()

    def add(self) -> None:
        self.count += 1
        self.wakeup.set()


class WorkerRun:
    """Claims, acknowledges and watches the time in the thread that it is used in; handlers run in others.

    Args:
        queue: where jobs come from.
        handler: takes a job.
        settings: of the worker.
        stops: heard all the time.
        monotonic: seconds.
        rng: for the jitter of pauses.
    """

    def __init__(
        self,
        queue: PriorityQueue[Any, Any],
        handler: Callable[..., object],
        settings: WorkerSettings,
        stops: StopRequests,
        *,
        monotonic: Callable[[], float],
        rng: Random,
    ) -> None:
        self._queue = queue
        self._settings = settings
        self._stops = stops
        self._wakeup = stops.wakeup
        self._monotonic = monotonic
        self._rng = rng
        self._in_hand = JobsInHand(
            self._wakeup.set, timeout=settings.timeout, patience=settings.flush_interval, monotonic=monotonic
        )
        self._exchange = Exchange(queue, self._in_hand)
        self._prefetch = (
            AdaptivePrefetch(settings.concurrency) if settings.prefetch is None else FixedPrefetch(settings.prefetch)
        )
        done_item = queue.operations.mark_done.done_item
        self._reports = ProgressReports(queue, monotonic=monotonic)
        self._runner = _make_runner(handler, self._reports, settings.concurrency, self._in_hand, done_item)
        self._pause = 0.0
        """Seconds between the last two claims that found nothing."""
        self._next_claim = 0.0
        self._has_heard = False
        """Of jobs that arrived since the last claim began."""
        self._look_by = 0.0
        """So soon after a claim nobody needs to wake this thread because the first job has ended."""
        self._last_swap = monotonic()
        self._failures = 0
        """In a row."""

    def to_its_end(self, *, until_empty: bool) -> WorkerReport:
        """Work until told to stop, or until nothing is left; then drain.

        Raises:
            DatabaseError: the queue cannot be used.
            HandlersStuck: its threads do not come back.
        """
        settings, exchange = self._settings, self._exchange
        try:
            lease = HeldLease(
                self._queue, self._in_hand, settings.name, settings.lease, lost=exchange.lost, rng=self._rng
            )
        except BaseException:
            self._runner.close(CANCELLED_HANDLER_SECONDS)
            raise
        arrivals = None
        try:
            if settings.listen:
                arrivals = Arrivals(self._queue, self._hear)
            self._work(lease, until_empty=until_empty)
        finally:
            self._drain()
            exchange.close(lease)
            if arrivals is not None:
                arrivals.close()
        ends = exchange.ends
        return WorkerReport(
            claimed=exchange.claimed,
            done=ends["done"],
            failed=ends["failed"],
            stale=ends["stale"],
            released=ends["released"],
            unacknowledged=exchange.claimed - ends.total(),
        )

    def _hear(self) -> None:
        """Jobs may have arrived."""
        self._has_heard = True
        self._wakeup.set()

    # -- working -------------------------------------------------------------------------------------------------------

    def _work(self, lease: HeldLease, *, until_empty: bool) -> None:
        """Keep the runner supplied."""
        in_hand = self._in_hand
        while not self._stops.count:
            in_hand.looks_at = math.inf  # from here on, all that happens wakes this thread
            now = self._monotonic()
            if expired := in_hand.expire(now):
                self._runner.give_up(expired)
            self._reports.write_if_due()
            in_hand.low_water = self._prefetch.jobs // 2
            room = self._room()
            seconds = min(self._until_acknowledgement(now), self._until_claim(now) if room else math.inf)
            if seconds > 0.0:
                if (deadline := in_hand.next_deadline()) is not None:
                    seconds = min(seconds, deadline - now)
                if self._look_by > now:
                    seconds = min(seconds, self._look_by - now)
                in_hand.looks_at = now + seconds
                self._wakeup.wait(seconds)
                continue
            was_idle = in_hand.is_idle
            in_hand.looks_at = now  # as soon as it can
            claimed = self._swap(lease, room)
            if claimed == 0 and until_empty and was_idle and not in_hand.ended and not lease.look_after():
                return

    def _swap(self, lease: HeldLease, room: int) -> int | None:
        """How many jobs have come; None if the database was out of reach."""
        ended = self._in_hand.ended
        if room:
            self._has_heard = False
        try:
            claimed = self._exchange.swap(lease, room)
        except PASSES_BY as failure:
            self._sit_out(failure)
            return None
        self._failures = 0
        now = self._monotonic()
        self._prefetch.learn(ended, now - self._last_swap)
        self._last_swap = now
        if claimed:
            self._runner.wake()
            self._pause = self._next_claim = 0.0
            self._look_by = now + self._settings.flush_interval
        elif room:
            self._pause = min(self._settings.poll_interval, max(2 * self._pause, SHORTEST_POLL_SECONDS))
            self._next_claim = now + self._rng.uniform(0.5, 1.0) * self._pause
        return claimed

    def _sit_out(self, failure: DatabaseError) -> None:
        """Wait after a failure that may pass, longer each time."""
        logger.warning("the queue %s is out of reach; trying again", self._queue.name, exc_info=failure)
        longest = self._settings.poll_interval * 2.0 ** min(self._failures, 20)
        self._failures += 1
        self._wakeup.wait(self._rng.uniform(0.5, 1.0) * min(longest, LONGEST_RETRY_SECONDS))

    def _room(self) -> int:
        """How many jobs to claim: none until half of the prefetched ones have started, so that claims are large."""
        waiting, prefetch = self._in_hand.waiting, self._prefetch.jobs
        if waiting > prefetch // 2:
            return 0
        return max(0, self._settings.concurrency + prefetch - waiting - self._in_hand.running)

    def _until_claim(self, now: float) -> float:
        """Seconds until the next look for jobs."""
        return 0.0 if self._has_heard else self._next_claim - now

    def _until_acknowledgement(self, now: float) -> float:
        """Seconds until what has ended is to be acknowledged."""
        since = self._in_hand.ended_since
        if since is None:
            return math.inf
        if self._in_hand.ended >= self._settings.batch_size or self._in_hand.is_idle:
            return 0.0
        return since + self._settings.flush_interval - now

    # -- draining ------------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Give back what has not started, wait for what runs, and give back what does not end in time."""
        in_hand = self._in_hand
        in_hand.looks_at = math.inf
        self._exchange.release(in_hand.take_waiting())
        deadline = self._monotonic() + self._settings.drain_timeout
        while in_hand.running and self._stops.count < 2 and (now := self._monotonic()) < deadline:
            in_hand.expire(now)
            self._reports.write_if_due()
            seconds = self._until_acknowledgement(now)
            if seconds <= 0.0:
                self._acknowledge()
                continue
            time_is_up = in_hand.next_deadline()
            self._wakeup.wait(min(seconds, deadline - now, math.inf if time_is_up is None else time_is_up - now))
        self._reports.write()  # while the leases hold
        unended = in_hand.take_running()
        if unended:
            logger.warning("%d jobs are given back while their handlers still run", len(unended))
        self._runner.cancel()
        self._exchange.release(unended)
        self._runner.close(CANCELLED_HANDLER_SECONDS)  # threads that have just finished a job get to acknowledge it
        give_up = self._monotonic() + LONGEST_CLOSE_SECONDS
        while in_hand.ended and self._monotonic() < give_up:
            self._acknowledge()

    def _acknowledge(self) -> None:
        try:
            self._exchange.acknowledge()
        except PASSES_BY as failure:
            self._sit_out(failure)
        except DatabaseError:
            logger.exception("%d jobs cannot be acknowledged: they will run again", self._in_hand.ended)
            self._in_hand.take_ended()


def _make_runner(
    handler: Any,
    reports: ProgressReports,
    concurrency: int,
    in_hand: JobsInHand,
    done_item: Callable[[Job, object], DoneItem],
) -> ThreadRunner | LoopRunner:
    of_job = reports.for_handler(handler)
    if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__):
        return LoopRunner(of_job, concurrency, in_hand, done_item)
    return ThreadRunner(of_job, concurrency, in_hand, done_item)
