"""The scheduler: a table of watches, and the tick that enqueues a job for each one whose slot has come."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from random import Random
from typing import Any

from perflab.database.database import Database
from perflab.database.failures import as_perflab_error
from perflab.database.values import check_identifier, check_integer, check_number, to_microseconds
from perflab.errors import DatabaseError, InvalidInput, TransientError
from perflab.events import TickCompleted, TickFailed
from perflab.queue.backoff import Backoff
from perflab.queue.queue import PriorityQueue, utc_now
from perflab.scheduler.tick import FailureBackoff, TickRequest
from perflab.scheduler.watch import SchedulerMetrics, TickReport
from perflab.scheduler.watchlist import LARGEST_LIMIT, Watchlist

logger = logging.getLogger(__name__)

RETRY_BACKOFF = Backoff(base_seconds=0.1, cap_seconds=30.0)
FAILURE_BACKOFF = Backoff(base_seconds=30.0, cap_seconds=3600.0)
NO_BACKOFF = Backoff(base_seconds=0.0, cap_seconds=0.0)


class Scheduler(Watchlist):
    """Watches in a database, and the jobs that come of them. Any number of schedulers may share the database.

    A tick claims each due slot, enqueues its job and moves the watch on in one transaction, so that no slot becomes two
    jobs and none is lost, whoever ticks and however often; on PostgreSQL that is one statement and one round trip for
    any number of due watches. Watches that another transaction holds there are left for the next tick instead of waited
    for, and so are cron watches of an expression that this scheduler meets for the first time (`TickReport.more`).

    Slots are anchored to the first one: late ticks make no drift. What becomes of a slot that comes while a job of its
    watch is unfinished, and of slots that were missed, is said by the watch (`overlap`, `catch_up`); without that a
    late watch gets one job, for the newest of its slots, and one whose job is not finished gets none. A watch whose
    ingests fail brings no job until its back-off has passed; its slots stay where they are.

    A clock that is set back fires nothing twice; one that jumps forward brings each watch the jobs of a long outage,
    and if it then is set back again, the watches wait until it comes to their slots.

    The job of a watch has the key "watch:NAME", or "slot:MICROSECONDS:NAME" where overlap is not "skip", and this
    payload:

        {"watch": "jfk-lax", "slot": "2013-03-10T07:00:00.000000+00:00", "payload": …the watch's own…}

    Its `run_at` is the slot too, so that jobs of one priority go in the order of their slots.

    Safe to share between threads.

    Args:
        db: where the watches and the jobs are; `db.create_schema()` has run.
        queue: a `PriorityQueue` of the same database, or its name, for the watches that name none. On PostgreSQL a tick
            wakes idle workers of the queues that it puts jobs in, unless this one has `notify=False`.
        failure_backoff: a watch whose ingests failed n times in a row brings no job until min(cap, base · 2^(n - 1))
            seconds after the last failure; without jitter, for the slots are where they are. None: its failures are
            only counted.
        now: the time; aware.
        rng: for the jitter between retries of `run`.
        stopwatch: monotonic seconds, for the durations in reports.

    Raises:
        InvalidInput: the queue is refused.
    """

    def __init__(
        self,
        db: Database,
        queue: PriorityQueue[Any, Any] | str | None = None,
        *,
        failure_backoff: Backoff | None = FAILURE_BACKOFF,
        now: Callable[[], datetime] = utc_now,
        rng: Random | None = None,
        stopwatch: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__(db, _queue_name(db, queue), now)
        self._notify = not isinstance(queue, PriorityQueue) or queue.notify
        self._failure_backoff = FailureBackoff.of(failure_backoff or NO_BACKOFF)
        self._rng = rng or Random()
        self._stopwatch = stopwatch
        self._metrics = SchedulerMetrics()
        self._metrics_lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Scheduler({self.db!r}, {self.queue_name!r})"

    # -- ticks ---------------------------------------------------------------------------------------------------------

    def tick(self, now: datetime | None = None, *, limit: int = 100_000) -> TickReport:
        """Enqueue the jobs of each watch whose slot has come, and move it on to its first slot after now.

        It sends the same few statements for any number of due watches: on PostgreSQL one.

        Args:
            now: aware; None: the clock's time, on SQLite read once nobody else can tick.
            limit: 1 … 1,000,000 watches; the oldest slots go first, and the report says if there are more.

        Raises:
            InvalidInput: an argument is refused.
            DatabaseError: the database failed; each slot has its job or is still due.
        """
        moment = None if now is None else to_microseconds(now, "now")
        check_integer(limit, "limit", low=1, high=LARGEST_LIMIT)
        started = self._stopwatch()
        try:
            ticked = self._engine.tick(
                self.db,
                lambda: self._now() if moment is None else moment,
                TickRequest(limit, self._failure_backoff, self._notify),
            )
        except Exception as error:
            failure = as_perflab_error(error, "a tick")
            if isinstance(failure, DatabaseError):
                with self._metrics_lock:
                    self._metrics = replace(self._metrics, failures=self._metrics.failures + 1)
                if self.db.events:
                    self.db.events.emit(TickFailed(type(failure).__name__))
            if failure is None or failure is error:
                raise
            raise failure from error
        report = TickReport(
            due=ticked.due,
            enqueued=ticked.enqueued,
            skipped=ticked.skipped,
            late=ticked.late,
            round_trips=ticked.round_trips,
            seconds=self._stopwatch() - started,
            more=ticked.more,
            lag_seconds=0.0 if ticked.oldest_slot is None else (ticked.now - ticked.oldest_slot) / 1_000_000,
            backed_off=ticked.backed_off,
        )
        self._count(report)
        if self.db.events:
            self.db.events.emit(
                TickCompleted(
                    report.due,
                    report.enqueued,
                    report.skipped,
                    report.late,
                    report.round_trips,
                    report.seconds,
                    report.backed_off,
                    report.lag_seconds,
                )
            )
        return report

    def run(
        self,
        *,
        interval: float = 1.0,
        limit: int = 100_000,
        stop: threading.Event | None = None,
        on_tick: Callable[[TickReport], None] | None = None,
    ) -> None:
        """Tick until stopped: every `interval` seconds, and at once again while more is due than one tick takes.

        The waits do not depend on the clock. A failure that may pass is logged and tried again after a growing pause.

        Args:
            interval: seconds from the start of a tick to the start of the next.
            limit: of one tick.
            stop: ends it once it is set; a tick at work is finished first. None: runs until an exception, such as
                KeyboardInterrupt.
            on_tick: hears of each tick.

        Raises:
            InvalidInput: an argument is refused.
            DatabaseError: of a kind that does not pass by itself.
        """
        check_number(interval, "interval", above_low=True, high=threading.TIMEOUT_MAX)
        stop = stop or threading.Event()
        failures = 0
        while not stop.is_set():
            try:
                report = self.tick(limit=limit)
            except TransientError as error:
                failures += 1
                pause = RETRY_BACKOFF.delay_seconds(failures, self._rng)
                logger.warning("%s (failure %d in a row; the next tick is in %.1f s)", error, failures, pause)
            else:
                failures = 0
                pause = 0.0 if report.more else max(0.0, interval - report.seconds)
                if on_tick is not None:
                    on_tick(report)
            stop.wait(pause)

    def metrics(self) -> SchedulerMetrics:
        """What the ticks of this object came to so far."""
        return self._metrics

    # -- inside --------------------------------------------------------------------------------------------------------

    def _count(self, report: TickReport) -> None:
        with self._metrics_lock:
            known = self._metrics
            self._metrics = replace(
                known,
                ticks=known.ticks + 1,
                due=known.due + report.due,
                enqueued=known.enqueued + report.enqueued,
                skipped=known.skipped + report.skipped,
                late=known.late + report.late,
                round_trips=known.round_trips + report.round_trips,
                seconds=known.seconds + report.seconds,
                lag_seconds=report.lag_seconds,
                backed_off=known.backed_off + report.backed_off,
            )


def _queue_name(db: Database, queue: PriorityQueue[Any, Any] | str | None) -> str | None:
    if queue is None:
        return None
    if isinstance(queue, PriorityQueue):
        if queue.db is not db and queue.db.url != db.url:
            raise InvalidInput(
                f"the queue {queue.name!r} is in the database {queue.db.url!r} and the watches in {db.url!r}: "
                "use one database, so that a slot and its job are written together"
            )
        return queue.name
    return check_identifier(queue, "the queue of the scheduler")
