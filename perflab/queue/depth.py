"""A bound on how many jobs wait in a queue, and what it tells producers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import get_args

from perflab.batching.limits import Overflow, check_choice
from perflab.database.operation import DriverConnection
from perflab.database.values import check_integer, check_number
from perflab.errors import InvalidInput, QueueFull
from perflab.queue.operation import QueueOperation

DEEPEST = 10_000_000
LONGEST_WAIT_SECONDS = 86_400.0
LOOK_AGAIN_SECONDS = 0.1
SHARE_OF_ROOM = 8
"""One in so many places that a look finds free may be filled without another look."""
SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.005, 0.25


@dataclass(frozen=True, slots=True)
class DepthLimit:
    """How many jobs may wait in a queue, scheduled and ready ones together, and what a producer meets that wants more.

    The bound is looked at before jobs are written, and not enforced by the database: when several producers look at the
    same moment, as many may be too many as they write in that moment. A producer that has found room does not look
    again for a tenth of a second, or until it has filled an eighth of that room. With `batching`, what the batcher
    holds comes on top. Jobs of watches, and those that fail, are released, retried or redriven, are not held up.

    Raises:
        InvalidInput: a value is out of its range.
    """

    jobs: int
    """1 … 10,000,000."""
    overflow: Overflow = "block"
    """"block" waits for room; "raise" does not."""
    timeout: float = 60.0
    """Seconds to wait, up to a day; then `QueueFull` is raised."""

    def __post_init__(self) -> None:
        check_integer(self.jobs, "the depth of a queue", low=1, high=DEEPEST)
        check_choice(self.overflow, "overflow", get_args(Overflow))
        check_number(self.timeout, "timeout", high=LONGEST_WAIT_SECONDS)


@dataclass(frozen=True, slots=True)
class QueuePressure:
    """How full a queue is, for producers that would rather slow down than be stopped."""

    waiting: int
    """Scheduled and ready jobs, counted up to the limit."""
    limit: int | None

    @property
    def share(self) -> float:
        """Waiting jobs ÷ limit: 1.0 is full; 0.0 where there is no limit."""
        return self.waiting / self.limit if self.limit else 0.0


class CountWaiting(QueueOperation[int, int]):
    """How many jobs wait, counted up to a number: inside somebody's own transaction, what they have put in included."""

    name = "count_waiting"

    def prepare(self, item: int) -> int:
        return item

    def apply(self, connection: DriverConnection, rows: Sequence[int]) -> Sequence[int]:
        return self._engine.count_waiting_inside(connection, self._settings.name, rows[0])


class DepthGate:
    """Lets jobs into a queue while there is room. Safe to share between threads.

    Args:
        queue: its name, for messages.
        limit: to keep to.
        count: how many jobs wait, counted up to a number.
        clock: monotonic seconds.
        sleep: seconds.
        rng: spreads the looks of producers that wait.
    """

    def __init__(
        self,
        queue: str,
        limit: DepthLimit,
        count: Callable[[int], int],
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        rng: Random,
    ) -> None:
        self._queue = queue
        self._limit = limit
        self._count = count
        self._clock = clock
        self._sleep = sleep
        self._rng = rng
        self._lock = threading.Lock()
        self._free = 0
        """Places known to be free, until `_look_at`."""
        self._look_at = clock()

    def admit(self, jobs: int) -> None:
        """Return when there is room for so many jobs, or raise.

        Raises:
            QueueFull: there is none, or not in time.
            InvalidInput: there can never be.
        """
        deadline = self._clock() + (self._limit.timeout if self._limit.overflow == "block" else 0.0)
        pause = SHORTEST_PAUSE_SECONDS
        while not self._has_room(jobs, self._count):
            left = deadline - self._clock()
            if left <= 0:
                raise self._full(jobs)
            self._sleep(min(left, self._rng.uniform(0.5, 1.0) * pause))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def admit_at_once(self, jobs: int, count: Callable[[int], int]) -> None:
        """The same for a producer in a transaction of its own, which must not wait while it holds that.

        Args:
            jobs: how many.
            count: as that transaction sees it.
        """
        with self._lock:
            self._look_at = self._clock()  # what others see of it is no news here
        if not self._has_room(jobs, count):
            raise self._full(jobs)

    def _has_room(self, jobs: int, count: Callable[[int], int]) -> bool:
        limit = self._limit.jobs
        if jobs > limit:
            raise InvalidInput(
                f"{jobs:,} jobs at once can never fit into the queue {self._queue!r}, where {limit:,} may wait: "
                "enqueue fewer at a time, or raise its DepthLimit"
            )
        with self._lock:  # threads that looked together would find the same room
            if self._clock() >= self._look_at or jobs > self._free:
                room = limit - count(limit)
                if room < jobs:
                    return False
                self._free = max(jobs, room // SHARE_OF_ROOM)
                self._look_at = self._clock() + LOOK_AGAIN_SECONDS
            self._free -= jobs
            return True

    def _full(self, jobs: int) -> QueueFull:
        return QueueFull(
            f"the queue {self._queue!r} has no room for {jobs:,} more: up to {self._limit.jobs:,} jobs may wait in it. "
            "None was accepted: try again when workers have caught up, add workers, or raise its DepthLimit"
        )
