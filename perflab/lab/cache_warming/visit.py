"""One visit: some hours of polls with one arm, on a clock that jumps from tick to tick."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from perflab.cache.lifetimes import CacheLifetimes
from perflab.cache.metrics import CacheMetrics
from perflab.cache.predictors import DueSoon
from perflab.cache.row_cache import RowCache
from perflab.cache.warmer import CacheWarmer
from perflab.database.database import Database
from perflab.database.load import load
from perflab.errors import WrongAnswer
from perflab.lab.cache_warming.board import BOARD, POLL_SECONDS, SLOT_SECONDS, Board, change_rows
from perflab.lab.cache_warming.plan import Arm, WarmingPlan
from perflab.lab.garbage import old_objects_set_aside
from perflab.queue.job import Job
from perflab.queue.queue import PriorityQueue
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import WatchStatus

QUEUE = "polls"
MOST_JOBS = 10_000


@dataclass(slots=True)
class TickReading:
    """What happened at one tick."""

    minute: float
    """Of the visit."""
    asked: int = 0
    """Keys."""
    hits: int = 0
    outdated: int = 0
    """Rows that somebody else had changed since they were read."""
    read_round_trips: int = 0
    """That jobs waited for."""
    warm_round_trips: int = 0
    """Of the warmer, ahead of the tick: its question for the next watches, and its reads."""
    warm_seconds: float = 0.0
    job_seconds: list[float] = field(default_factory=list)
    """How long each job waited for all its rows."""


@dataclass(frozen=True, slots=True)
class VisitReading:
    """What one visit came to."""

    block: int
    position: int
    arm: Arm
    measured_at: datetime
    ticks: list[TickReading]
    metrics: CacheMetrics


class Change:
    """What somebody else changes, and what is therefore true and since when."""

    def __init__(self, board: Board, count: int, random: Random) -> None:
        self._board = board
        self._count = count
        self._random = random
        self.versions: dict[str, int] = {}
        self._replaced_at: dict[tuple[str, int], datetime] = {}

    def happen(self, database: Database, moment: datetime) -> None:
        upcoming = self._board.upcoming(moment)
        chosen = self._random.sample(upcoming, min(self._count, len(upcoming)))
        for key in chosen:
            version = self.versions.get(key, 0)
            self._replaced_at[key, version] = moment
            self.versions[key] = version + 1
        if chosen:
            change_rows(database, {key: self.versions[key] for key in chosen})

    def is_outdated(self, key: str, version: int, moment: datetime, ttl_seconds: float) -> bool:
        """Whether a row that was served is not the one of now.

        Raises:
            WrongAnswer: it was replaced longer ago than a row may live.
        """
        if version == self.versions.get(key, 0):
            return False
        age = (moment - self._replaced_at[key, version]).total_seconds()
        if age > ttl_seconds:
            raise WrongAnswer(f"the cache served version {version} of {key!r}, which was replaced {age:g} s before")
        return True


def measure_visit(
    plan: WarmingPlan,
    database: Database,
    board: Board,
    start: datetime,
    arm: Arm,
    *,
    block: int,
    position: int,
    stopwatch: Callable[[], float] = time.perf_counter,
) -> VisitReading:
    """Poll all routes for some hours.

    Every job is claimed from the queue after a real tick, reads its rows through the cache, checks them, and is done.
    Only the reading is timed, and the warming.

    Args:
        plan: of the contest.
        database: with perflab's tables and the board's.
        board: what is in the table.
        start: the first tick, in the time of the trace.
        arm: how the cache is filled.
        block: of the contest.
        position: place in the order of the block.
        stopwatch: seconds, for what is timed.

    Raises:
        WrongAnswer: a poll got other rows than it should, or a tick made other jobs.
    """
    polls = _Polls(plan, database, board, start, random=Random(f"{plan.seed}/{block}"), stopwatch=stopwatch)
    with polls.cache as cache, old_objects_set_aside():
        ticks = [polls.tick(number, arm) for number in range(plan.ticks)]
        return VisitReading(block, position, arm, datetime.now(UTC), ticks, cache.metrics())


class _Polls:
    """The parts of a visit."""

    def __init__(
        self,
        plan: WarmingPlan,
        database: Database,
        board: Board,
        start: datetime,
        *,
        random: Random,
        stopwatch: Callable[[], float],
    ) -> None:
        self._plan = plan
        self._database = database
        self._board = board
        self._start = self._moment = start
        self._stopwatch = stopwatch
        self._change = Change(board, plan.changes, random)
        self._queue: PriorityQueue[int, bool] = PriorityQueue(database, QUEUE)
        self._scheduler = Scheduler(database, self._queue, now=lambda: self._moment)
        self._scheduler.add_watches_bulk(board.watches(start))
        self.cache = RowCache(
            database,
            load(BOARD, columns=["key", "version"]),
            CacheLifetimes(ttl=plan.ttl_seconds, negative_ttl=plan.ttl_seconds, refresh_ahead=0.0),
            clock=self._elapsed_seconds,
            random=random,
        )
        predictors = [DueSoon(self._scheduler, self._keys_of)]
        self._warmers = {
            Arm.WARMED: CacheWarmer(self.cache, predictors, ahead=min(plan.ttl_seconds, POLL_SECONDS)),
            Arm.PREDICTED: CacheWarmer(self.cache, predictors, ahead=float(SLOT_SECONDS)),
        }

    def _elapsed_seconds(self) -> float:
        return (self._moment - self._start).total_seconds()

    def _keys_of(self, status: WatchStatus) -> list[str]:
        return self._board.keys(status.watch.name, status.next_due_at)

    def tick(self, number: int, arm: Arm) -> TickReading:
        """Warm what the tick will bring, let time pass and rows change, tick, and run its jobs."""
        reading = TickReading(minute=number * SLOT_SECONDS / 60)
        if arm is Arm.PREDICTED or (arm is Arm.WARMED and number == 0):
            self._warm(self._warmers[arm], reading)
        self._moment = self._start + timedelta(seconds=number * SLOT_SECONDS)
        if number:
            self._change.happen(self._database, self._moment)
        report = self._scheduler.tick()
        jobs = self._queue.claim(MOST_JOBS)
        if report.skipped or len(jobs) != report.enqueued:
            raise WrongAnswer(
                f"a tick made {report.enqueued} jobs and skipped {report.skipped}; {len(jobs)} were ready"
            )
        before = self.cache.metrics()
        for job in jobs:
            self._poll(job, reading)
        after = self.cache.metrics()
        reading.asked, reading.hits = after.asked - before.asked, after.hits - before.hits
        self._queue.mark_done_bulk(jobs)
        return reading

    def _warm(self, warmer: CacheWarmer, reading: TickReading) -> None:
        with self._database.counting() as count:
            started = self._stopwatch()
            warmer.warm()
            reading.warm_seconds = self._stopwatch() - started
        reading.warm_round_trips = count.round_trips

    def _poll(self, job: Job, reading: TickReading) -> None:
        watch, slot = job.payload["watch"], datetime.fromisoformat(job.payload["slot"])
        keys = self._board.keys(watch, slot)
        with self._database.counting() as count:
            started = self._stopwatch()
            rows: list[Any] = self.cache.get_many(keys)
            reading.job_seconds.append(self._stopwatch() - started)
        reading.read_round_trips += count.round_trips
        if [row.key for row in rows] != keys:
            raise WrongAnswer(f"the poll of {watch} asked for {keys} and got {[row.key for row in rows]}")
        for row in rows:
            reading.outdated += self._change.is_outdated(row.key, row.version, self._moment, self._plan.ttl_seconds)
