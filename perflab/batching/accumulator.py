"""When a batch leaves: the whole decision, without threads, loops, clocks or databases.

Time is a number of seconds that the caller passes in, and an item is whatever the caller means by it. The shells for
threads, asyncio and inline use hold one accumulator each, ask it what is due, and tell it how a batch ended.

Every item gets a number on arrival; a unit of several is one item here, and counts as many. An item is *waiting* in its
lane, then *in flight*, then decided; a batch that failed for a passing reason goes back to the front, in the order of
the numbers. Within a lane that order never changes.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf
from operator import attrgetter
from typing import Generic

from perflab.batching.deadlines import Deadlines, FlushTime
from perflab.batching.departures import RECENT_DEPARTURES, BatcherExplanation, Departure
from perflab.batching.lanes import Lanes
from perflab.batching.limits import Limits
from perflab.batching.sizing.fixed import FixedPolicy
from perflab.batching.sizing.policy import Demand, Lesson, Observation, SizingPolicy, Target
from perflab.batching.waiting_lines import E, WaitingLines
from perflab.errors import LifecycleError
from perflab.events import Cause, FlushCompleted

logger = logging.getLogger(__name__)

_by_number = attrgetter("number")
_attempts = attrgetter("attempts")


@dataclass(frozen=True, slots=True, eq=False)
class Batch(Generic[E]):
    """Items that leave together, oldest first."""

    entries: Sequence[E]
    items: int
    """In them: a unit counts as all of its own."""
    bytes: int
    capacity: int
    """The most items that it could have taken; those of a unit that was larger and left alone."""
    cause: Cause
    left: float
    """When it was taken, on the clock of the accumulator."""
    waited: float
    """Seconds that the oldest item had waited."""
    attempt: int
    """1 if no item of it was tried before."""


class Accumulator(Generic[E]):
    """Collects items until a batch is due. Not safe to share between threads: its shell holds the lock.

    Args:
        limits: the bounds of a batch and of the buffer.
        sizing: chooses the target of each batch within these bounds; None: the bounds are the target.
        lanes: among which the batches are shared.
        random: a random number from 0 to 1, for the jitter of the interval.
    """

    def __init__(
        self,
        limits: Limits,
        sizing: SizingPolicy | None = None,
        lanes: Lanes | None = None,
        random: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.limits = limits
        self.lanes = lanes or Lanes()
        self._sizing = sizing or FixedPolicy(limits)
        self._target = self._bounded(self._sizing.target(Demand(0.0, 0, 0)))
        bytes_per_place = None if limits.batch_bytes is None else limits.batch_bytes / limits.batch_size
        self._lines: WaitingLines[E] = WaitingLines(self.lanes, limits.batch_size, bytes_per_place)
        self._measures_bytes = limits.measures_bytes
        self._in_flight: list[Batch[E]] = []
        self._in_flight_items = 0
        self._in_flight_bytes = 0
        self._next_number = 0
        self._barrier = 0  # items with a smaller number are due
        self._resume_at = -inf  # after a passing failure, nothing leaves before
        self._closing = False
        self.quiet_adds = 0
        """Items that may be added to the usual lane without a look: there is room, and they change nothing else."""
        self._random = random
        self._interval = self._draw_interval()
        self._flush_time = FlushTime()
        self._deadlines = Deadlines[E]()
        self._departures: deque[Departure] = deque(maxlen=RECENT_DEPARTURES)

    # -- what is there -------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """Items accepted and not yet decided."""
        return self._lines.items + self._in_flight_items

    @property
    def waiting(self) -> int:
        return self._lines.items

    @property
    def pending_bytes(self) -> int:
        return self._lines.bytes + self._in_flight_bytes

    @property
    def in_flight(self) -> int:
        """Items of batches that are not settled."""
        return self._in_flight_items

    @property
    def target(self) -> Target:
        """What the next batch should look like."""
        return self._target

    @property
    def closing(self) -> bool:
        return self._closing

    @property
    def resumes_at(self) -> float | None:
        """After a passing failure, when something may leave again; None if none is being waited out."""
        return self._resume_at if any(head.attempts for head in self._lines.heads()) else None

    @property
    def room(self) -> int:
        """Items that may be added now. A buffer under its bounds takes one more, whatever its bytes, or one unit."""
        bound = self.limits.max_pending_bytes
        if bound is not None and self.pending_bytes >= bound:
            return 0
        return self.limits.max_pending - self._lines.items - self._in_flight_items

    def room_in(self, lane: int) -> int:
        """Items that may be added to a lane now: an urgent one has one batch more, so that no other can lock it out."""
        if not self.lanes.all[lane].urgent:
            return self.room
        limits = self.limits
        if limits.max_pending_bytes is not None:
            one_more = limits.max_pending_bytes * limits.batch_size // limits.max_pending
            if self.pending_bytes >= limits.max_pending_bytes + one_more:
                return 0
        return limits.max_pending + limits.batch_size - self.pending

    # -- items come ----------------------------------------------------------------------------------------------------

    def add(
        self, entry: E, now: float, size: int = 0, lane: int | None = None, deadline: float = inf, *, count: int = 1
    ) -> None:
        """Accept one item. Whether there is `room_in` its lane, and time, is the shell's question to ask.

        Args:
            entry: new; what is said of it here is noted there.
            now: on the clock of all calls.
            size: its bytes, where they are measured.
            lane: its number; None: the usual one.
            deadline: when it must be decided; its batch leaves early enough for that, as far as is known.
            count: as how many items it counts; it is never cut.

        Raises:
            LifecycleError: after `close`.
        """
        if self._closing:
            raise self.closed()
        number = self._next_number
        self._next_number = number + count
        self.quiet_adds = 0
        entry.arrived, entry.number, entry.size = now, number, size
        entry.lane = self.lanes.usual if lane is None else lane
        if count == 1:
            self._lines.append(entry)
        else:
            entry.count = count
            self._lines.append_unit(entry)
        if deadline < inf:
            entry.deadline = deadline
            self._deadlines.add(entry, self._flush_time.of(self._target.items))

    def closed(self) -> LifecycleError:
        """The error of an `add` after `close`."""
        return LifecycleError("the batcher is closed: it accepts no more items")

    def allow_quiet_adds(self) -> None:
        """Whoever calls this looks now; say how many may come until somebody must look again."""
        waiting, target = self._lines.items, self._target
        if not waiting or self._measures_bytes or self._closing:
            return
        quiet = self.room - 1  # with the last one the buffer is full, and a batch due
        if waiting < target.enough:
            quiet = min(quiet, target.enough - waiting - 1)
        if target.summed_age_seconds is not None:
            # A sum of ages grows with every item. Looking when their number has doubled is often enough, and cheap.
            quiet = min(quiet, (1 << waiting.bit_length()) - waiting - 1)
        self.quiet_adds = max(0, quiet)

    def add_quietly(self, entry: E, now: float) -> None:
        """`add` one of the usual lane, while there are `quiet_adds`."""
        self.quiet_adds -= 1
        entry.arrived = now
        entry.number = number = self._next_number
        entry.lane = self.lanes.usual
        self._next_number = number + 1
        self._lines.append(entry)

    def add_many(self, entries: Sequence[E], now: float) -> None:
        """`add` each of them to the usual lane.

        Raises:
            LifecycleError: after `close`.
        """
        if entries and self._closing:
            raise self.closed()
        lane = self.lanes.usual
        for number, entry in enumerate(entries, self._next_number):
            entry.arrived, entry.number, entry.lane = now, number, lane
        self.quiet_adds = 0
        self._next_number += len(entries)
        self._lines.extend(entries)

    def seconds_to_decide(self, lane: int, now: float, in_line: int = 0) -> float:
        """How long an item that comes to a lane now will take until it is decided, as far as is known.

        What is being written, a back-off, the batches before its own (as many as the shares of the lanes give it, with
        `in_line` items that wait for room before it), and its own. 0 before the first flush. It does not wait to fill a
        batch: its deadline makes it leave.
        """
        left = sum(max(0.0, batch.left - now + self._flush_time.of(batch.items)) for batch in self._in_flight)
        left = max(left, (self.resumes_at or now) - now)
        batches, before = divmod(self._lines.ahead_of_next(lane) + in_line, self._target.items)
        own = min(self._target.items, max(before, self._lines.items - batches * self._target.items) + 1)
        return left + batches * self._flush_time.of(self._target.items) + self._flush_time.of(own)

    def flush(self) -> int:
        """Make everything accepted so far due, and return the ticket to ask `reached` with."""
        self._barrier = self._next_number
        return self._barrier

    def reached(self, ticket: int) -> bool:
        """Whether everything that was accepted before `flush` returned this ticket is decided."""
        first = (head.number for head in self._lines.heads())
        return min(first, default=ticket) >= ticket and all(
            batch.entries[0].number >= ticket for batch in self._in_flight
        )

    def close(self) -> int:
        """Accept nothing more and make all that waits due; returns a ticket like `flush`."""
        self._closing = True
        self.quiet_adds = 0
        return self.flush()

    # -- batches leave -------------------------------------------------------------------------------------------------

    def due(self, now: float) -> Cause | None:
        """Why a batch should leave now; None if none should."""
        lines = self._lines
        if not lines.items or now < self._resume_at:
            return None
        limits, oldest = self.limits, lines.oldest()
        if (first_cause := self._first_cause()) is not None:
            return first_cause
        if lines.items >= self._target.enough:
            return Cause.COUNT
        if limits.batch_bytes is not None and lines.bytes >= limits.batch_bytes:
            return Cause.BYTES
        if self._closing:
            return Cause.CLOSE
        if oldest.number < self._barrier:
            return Cause.BARRIER
        if lines.urgent or now >= self._deadlines.leave_by():
            return Cause.URGENCY
        if now >= oldest.arrived + self._interval:
            return Cause.AGE
        if self.room <= 0:
            return Cause.MEMORY
        if now >= self._idle_due(oldest.arrived):
            return Cause.IDLE
        return None

    def _first_cause(self) -> Cause | None:
        """Of the oldest item that came back: it was due once, and stays so."""
        returned = [head for head in self._lines.heads() if head.cause is not None]
        return min(returned, key=_by_number).cause if returned else None

    def next_due(self) -> float | None:
        """When a batch will be due if nothing else happens; a time in the past if one is. None if nothing waits."""
        if not self._lines.items:
            return None
        oldest = self._lines.oldest().arrived
        in_time = min(oldest + self._interval, self._idle_due(oldest), self._deadlines.leave_by())
        # All causes but those of time hold at once or not until something else happens.
        return max(self._resume_at, oldest if self.due(max(oldest, self._resume_at)) else in_time)

    def _idle_due(self, oldest: float) -> float:
        """When what waits has waited as long as the target says. Call it only when something waits."""
        target = self._target
        at_age = oldest + target.wait_seconds
        if target.summed_age_seconds is None:
            return at_age
        # Counted from the oldest, so that a small sum does not drown in a large clock.
        later = sum(entry.count * (entry.arrived - oldest) for entry in self._lines)
        return min(at_age, oldest + (target.summed_age_seconds + later) / self._lines.items)

    def _draw_interval(self) -> float:
        """The flush interval of the next batch: never longer than stated, and by the jitter shorter."""
        jitter = self.limits.flush_jitter
        return self.limits.flush_interval * (1.0 - jitter * self._random() if jitter else 1.0)

    def take(self, now: float) -> Batch[E] | None:
        """The batch that is due, which is then in flight until `settle`; None if none is."""
        cause = self.due(now)
        if cause is None:
            return None
        self.quiet_adds = 0
        items_before, bytes_before = self._lines.items, self._lines.bytes
        entries = self._lines.take(now, self._target.items, self.limits.batch_bytes)
        for entry in entries:
            entry.attempts += 1
            entry.cause = entry.cause or cause
        items = items_before - self._lines.items
        batch = Batch(
            entries=entries,
            items=items,
            bytes=bytes_before - self._lines.bytes,
            capacity=max(items, self._target.items),
            cause=cause,
            left=now,
            waited=max(0.0, now - entries[0].arrived),
            attempt=max(map(_attempts, entries)),
        )
        self._in_flight.append(batch)
        self._in_flight_items += items
        self._in_flight_bytes += batch.bytes
        self._interval = self._draw_interval()
        self._departures.append(Departure(cause, items, batch.capacity, batch.bytes, batch.waited, now, batch.attempt))
        return batch

    def settle(self, batch: Batch[E], undecided: Iterable[E] = (), resume_at: float = -inf) -> None:
        """A batch has ended.

        Args:
            batch: from `take`, settled once.
            undecided: those of its entries that must be tried again; they go to the front of their lanes, in order.
            resume_at: nothing leaves before this time.
        """
        self._in_flight.remove(batch)
        self._in_flight_items -= batch.items
        self._in_flight_bytes -= batch.bytes
        if returned := list(undecided):
            self._resume_at = max(self._resume_at, resume_at)
            self._lines.put_back(returned)

    def learn(self, batch: Batch[E], flush: FlushCompleted | None, now: float) -> None:
        """A batch has ended and is settled: learn from it, and have the sizing policy choose the next target.

        Args:
            batch: from `take`.
            flush: how it ended; None where nothing was sent.
            now: when it ended.
        """
        self._aim(None if flush is None else Observation.of(flush, now - batch.left), now)

    def retarget(self, now: float) -> None:
        """What the sizing policy goes by has changed from outside: have it choose the target of the next batch anew."""
        self._aim(None, now)

    def _aim(self, observation: Observation | None, now: float) -> None:
        try:
            if observation is not None:
                if observation.lesson is Lesson.COST:
                    self._flush_time.learn(observation.items, observation.seconds)
                self._sizing.observe(observation)
            target = self._sizing.target(Demand(now, self._next_number, self._lines.items))
        except Exception:  # a faulty policy must not strand what waits
            logger.exception("the sizing policy failed: batches are as large as stated from now on")
            self._sizing = FixedPolicy(self.limits)
            target = self._sizing.target(Demand(now, 0, 0))
        self._target = self._bounded(target)
        self.quiet_adds = 0

    def _bounded(self, target: Target) -> Target:
        """The target within the limits, whatever the policy says."""
        if 1 <= target.enough <= target.items <= self.limits.batch_size:
            return target
        items = max(1, min(target.items, self.limits.batch_size))
        return replace(target, items=items, enough=max(1, min(target.enough, items)))

    def explain(self) -> BatcherExplanation:
        """Why the last batches left, and why the target is what it is."""
        return BatcherExplanation(tuple(self._departures), self._sizing.explain())

    def abandon(self) -> list[E]:
        """Take out everything that waits, to be reported as not delivered."""
        self._deadlines.clear()
        return self._lines.clear()
