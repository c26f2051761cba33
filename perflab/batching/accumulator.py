"""When a batch leaves: the whole decision, without threads, loops, clocks or databases.

Time is a number of seconds that the caller passes in, and an item is whatever the caller means by it. The shells for
threads, asyncio and inline use hold one accumulator each, ask it what is due, and tell it how a batch ended.

Every item gets a number on arrival. An item is *waiting*, then *in flight*, then decided; a batch that failed for a
passing reason goes back to the front, in the order of the numbers. That order never changes.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from math import inf
from operator import attrgetter
from typing import Any, Generic, TypeVar

from perflab.batching.limits import Limits
from perflab.batching.sizing.fixed import FixedPolicy
from perflab.batching.sizing.policy import Demand, Explanation, Observation, SizingPolicy, Target
from perflab.errors import LifecycleError
from perflab.events import Cause, FlushCompleted

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Entry(Generic[T]):
    """One item with what the accumulator knows of it."""

    __slots__ = ("arrived", "attempts", "cause", "doubt", "item", "number", "size")

    def __init__(self, item: T, size: int, arrived: float, number: int) -> None:
        self.item = item
        self.size = size
        self.arrived = arrived
        self.number = number
        self.attempts = 0
        self.cause: Cause | None = None  # for which it first left
        self.doubt: Any = None  # of whoever writes it: what an attempt of unknown outcome left open

    def __repr__(self) -> str:
        return f"Entry(#{self.number}, {self.size} B, arrived {self.arrived}, {self.attempts} attempts)"


_by_number = attrgetter("number")


@dataclass(frozen=True, slots=True, eq=False)
class Batch(Generic[T]):
    """Items that leave together, oldest first."""

    entries: Sequence[Entry[T]]
    bytes: int
    capacity: int
    cause: Cause
    left: float
    """When it was taken, on the clock of the accumulator."""
    waited: float
    """Seconds that the oldest item had waited."""
    attempt: int
    """1 if no item of it was tried before."""


class Accumulator(Generic[T]):
    """Collects items until a batch is due. Not safe to share between threads: its shell holds the lock.

    Args:
        limits: the bounds of a batch and of the buffer.
        sizing: chooses the target of each batch within these bounds; None: the bounds are the target.
    """

    def __init__(self, limits: Limits, sizing: SizingPolicy | None = None) -> None:
        self.limits = limits
        self._sizing = sizing or FixedPolicy(limits)
        self._target = self._bounded(self._sizing.target(Demand(0.0, 0, 0)))
        self._waiting: deque[Entry[T]] = deque()
        self._waiting_bytes = 0
        self._in_flight: list[Batch[T]] = []
        self._in_flight_items = 0
        self._in_flight_bytes = 0
        self._next_number = 0
        self._barrier = 0  # items with a smaller number are due
        self._resume_at = -inf  # after a passing failure, nothing leaves before
        self._closing = False

    # -- what is there -------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """Items accepted and not yet decided."""
        return len(self._waiting) + self._in_flight_items

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def pending_bytes(self) -> int:
        return self._waiting_bytes + self._in_flight_bytes

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
        return self._resume_at if self._waiting and self._waiting[0].attempts else None

    @property
    def room(self) -> int:
        """Items that may be added now. By bytes, a buffer under its bound takes one more, whatever its size."""
        bound = self.limits.max_pending_bytes
        if bound is not None and self.pending_bytes >= bound:
            return 0
        return self.limits.max_pending - len(self._waiting) - self._in_flight_items

    # -- items come ----------------------------------------------------------------------------------------------------

    def add(self, item: T, now: float, size: int = 0) -> None:
        """Accept one item. Whether there is `room` is the shell's question to ask.

        Raises:
            LifecycleError: after `close`.
        """
        if self._closing:
            raise LifecycleError("the batcher is closed: it accepts no more items")
        self._waiting_bytes += size
        self._waiting.append(Entry(item, size, now, self._next_number))
        self._next_number += 1

    @property
    def added_what_matters(self) -> bool:
        """Whether the item that was just added may have changed when the next batch leaves."""
        waiting, target = len(self._waiting), self._target
        if waiting in (1, target.enough) or self.limits.measures_bytes:
            return True
        # A sum of ages grows with every item. Looking when their number has doubled is often enough, and cheap.
        return target.summed_age_seconds is not None and not waiting & (waiting - 1)

    def flush(self) -> int:
        """Make everything accepted so far due, and return the ticket to ask `reached` with."""
        self._barrier = self._next_number
        return self._barrier

    def reached(self, ticket: int) -> bool:
        """Whether everything that was accepted before `flush` returned this ticket is decided."""
        first_waiting = self._waiting[0].number if self._waiting else self._next_number
        return first_waiting >= ticket and all(batch.entries[0].number >= ticket for batch in self._in_flight)

    def close(self) -> int:
        """Accept nothing more and make all that waits due; returns a ticket like `flush`."""
        self._closing = True
        return self.flush()

    # -- batches leave -------------------------------------------------------------------------------------------------

    def due(self, now: float) -> Cause | None:
        """Why a batch should leave now; None if none should."""
        waiting = self._waiting
        if not waiting or now < self._resume_at:
            return None
        limits = self.limits
        if waiting[0].cause is not None:  # it was due once, and stays so
            return waiting[0].cause
        if len(waiting) >= self._target.enough:
            return Cause.COUNT
        if limits.batch_bytes is not None and self._waiting_bytes >= limits.batch_bytes:
            return Cause.BYTES
        if self._closing:
            return Cause.CLOSE
        if waiting[0].number < self._barrier:
            return Cause.BARRIER
        if now >= waiting[0].arrived + limits.flush_interval:
            return Cause.AGE
        if self.room <= 0:
            return Cause.MEMORY
        if now >= self._idle_due():
            return Cause.IDLE
        return None

    def next_due(self) -> float | None:
        """When a batch will be due if nothing else happens; a time in the past if one is. None if nothing waits."""
        if not self._waiting:
            return None
        oldest = self._waiting[0].arrived
        in_time = min(oldest + self.limits.flush_interval, self._idle_due())
        # All causes but those of time hold at once or not until something else happens.
        return max(self._resume_at, oldest if self.due(max(oldest, self._resume_at)) else in_time)

    def _idle_due(self) -> float:
        """When what waits has waited as long as the target says. Call it only when something waits."""
        waiting, target = self._waiting, self._target
        oldest = waiting[0].arrived
        at_age = oldest + target.wait_seconds
        if target.summed_age_seconds is None:
            return at_age
        # Counted from the oldest, so that a small sum does not drown in a large clock.
        later = sum(entry.arrived - oldest for entry in waiting)
        return min(at_age, oldest + (target.summed_age_seconds + later) / len(waiting))

    def take(self, now: float) -> Batch[T] | None:
        """The batch that is due, which is then in flight until `settle`; None if none is."""
        cause = self.due(now)
        if cause is None:
            return None
        limits, waiting = self.limits, self._waiting
        count = min(len(waiting), self._target.items)
        if limits.batch_bytes is None or self._waiting_bytes <= limits.batch_bytes:
            entries = [waiting.popleft() for _ in range(count)]
        else:
            # At least one, however large; then as many as fit.
            entries = [waiting.popleft()]
            size = entries[0].size
            while len(entries) < count and size + waiting[0].size <= limits.batch_bytes:
                size += waiting[0].size
                entries.append(waiting.popleft())
        batch_bytes = sum(entry.size for entry in entries) if self._waiting_bytes else 0
        for entry in entries:
            entry.attempts += 1
            entry.cause = entry.cause or cause
        batch = Batch(
            entries=entries,
            bytes=batch_bytes,
            capacity=self._target.items,
            cause=cause,
            left=now,
            waited=max(0.0, now - entries[0].arrived),
            attempt=entries[0].attempts,
        )
        self._waiting_bytes -= batch_bytes
        self._in_flight.append(batch)
        self._in_flight_items += len(entries)
        self._in_flight_bytes += batch_bytes
        return batch

    def settle(self, batch: Batch[T], undecided: Iterable[Entry[T]] = (), resume_at: float = -inf) -> None:
        """A batch has ended.

        Args:
            batch: from `take`, settled once.
            undecided: those of its entries that must be tried again; they go to the front in their order.
            resume_at: nothing leaves before this time.
        """
        self._in_flight.remove(batch)
        self._in_flight_items -= len(batch.entries)
        self._in_flight_bytes -= batch.bytes
        returned = sorted(undecided, key=_by_number)
        if not returned:
            return
        self._resume_at = max(self._resume_at, resume_at)
        self._waiting_bytes += sum(entry.size for entry in returned)
        # With several batches in flight an older one may come back after a younger one.
        older: list[Entry[T]] = []
        while self._waiting and self._waiting[0].number < returned[-1].number:
            older.append(self._waiting.popleft())
        self._waiting.extendleft(reversed(list(merge(older, returned, key=_by_number))))

    def learn(self, batch: Batch[T], flush: FlushCompleted | None, now: float) -> None:
        """A batch has ended and is settled: have the sizing policy learn from it and choose the next target.

        Args:
            batch: from `take`.
            flush: how it ended; None where nothing was sent.
            now: when it ended.
        """
        try:
            if flush is not None:
                self._sizing.observe(Observation.of(flush, now - batch.left))
            target = self._sizing.target(Demand(now, self._next_number, len(self._waiting)))
        except Exception:  # a faulty policy must not strand what waits
            logger.exception("the sizing policy failed: batches are as large as stated from now on")
            self._sizing = FixedPolicy(self.limits)
            target = self._sizing.target(Demand(now, 0, 0))
        self._target = self._bounded(target)

    def _bounded(self, target: Target) -> Target:
        """The target within the limits, whatever the policy says."""
        if 1 <= target.enough <= target.items <= self.limits.batch_size:
            return target
        items = max(1, min(target.items, self.limits.batch_size))
        return replace(target, items=items, enough=max(1, min(target.enough, items)))

    def explain(self) -> Explanation:
        """Why the target is what it is."""
        return self._sizing.explain()

    def abandon(self) -> list[Entry[T]]:
        """Take out everything that waits, to be reported as not delivered."""
        abandoned = list(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        return abandoned
