"""The accumulator against a model that is too simple to be wrong."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from perflab.batching.accumulator import Accumulator, Batch
from perflab.batching.limits import Limits
from perflab.batching.waiting_lines import Entry
from perflab.errors import LifecycleError
from perflab.events import Cause

TIMES = st.integers(0, 8).map(float) | st.floats(0.0, 8.0, allow_subnormal=False)


class AccumulatorMachine(RuleBasedStateMachine):
    """Items are numbers in the order of arrival; the model keeps them in plain lists and recomputes everything."""

    batches = Bundle("batches")
    tickets = Bundle("tickets")

    @initialize(
        batch_size=st.integers(1, 4),
        flush_interval=st.sampled_from([0.0, 1.0, 5.0, 0.1]),
        batch_bytes=st.sampled_from([None, 1, 10, 15]),
        spare=st.integers(0, 6),
        max_pending_bytes=st.sampled_from([None, 15, 40]),
    )
    def start(
        self,
        batch_size: int,
        flush_interval: float,
        batch_bytes: int | None,
        spare: int,
        max_pending_bytes: int | None,
    ) -> None:
        self.limits = Limits(batch_size, flush_interval, batch_bytes, batch_size + spare, max_pending_bytes)
        self.accumulator: Accumulator[Entry] = Accumulator(self.limits)
        self.now = 0.0
        self.resume_at = -math.inf
        self.barrier = 0
        self.closed = False
        self.arrived: list[float] = []
        self.sizes: list[int] = []
        self.attempts: list[int] = []
        self.first_causes: dict[int, Cause] = {}
        self.waiting: list[int] = []
        self.in_flight: list[list[int]] = []
        self.decided: list[int] = []

    # what the model says

    def bytes_of(self, items: list[int]) -> int:
        return sum(self.sizes[item] for item in items)

    @property
    def flying(self) -> list[int]:
        return [item for batch in self.in_flight for item in batch]

    @property
    def room(self) -> int:
        bound = self.limits.max_pending_bytes
        if bound is not None and self.bytes_of(self.waiting + self.flying) >= bound:
            return 0
        return self.limits.max_pending - len(self.waiting) - len(self.flying)

    def cause(self, now: float) -> Cause | None:
        limits = self.limits
        if not self.waiting or now < self.resume_at:
            return None
        oldest = self.waiting[0]
        if oldest in self.first_causes:
            return self.first_causes[oldest]
        causes = {
            Cause.COUNT: len(self.waiting) >= limits.batch_size,
            Cause.BYTES: limits.batch_bytes is not None and self.bytes_of(self.waiting) >= limits.batch_bytes,
            Cause.CLOSE: self.closed,
            Cause.BARRIER: oldest < self.barrier,
            Cause.AGE: now >= self.arrived[oldest] + limits.flush_interval,
            Cause.MEMORY: self.room <= 0,
        }
        return next((cause for cause, holds in causes.items() if holds), None)

    def leaving(self) -> list[int]:
        leaving: list[int] = []
        for item in self.waiting[: self.limits.batch_size]:
            size = self.bytes_of([*leaving, item])
            if leaving and self.limits.batch_bytes is not None and size > self.limits.batch_bytes:
                break
            leaving.append(item)
        return leaving

    # what happens

    @precondition(lambda self: not self.closed)
    @rule(sizes=st.lists(st.sampled_from([0, 1, 5, 5, 5, 10, 25]), min_size=1, max_size=4))
    def add(self, sizes: list[int]) -> None:
        for size in sizes:
            item = len(self.arrived)
            self.accumulator.add(Entry(item), self.now, size)
            self.arrived.append(self.now)
            self.sizes.append(size)
            self.attempts.append(0)
            self.waiting.append(item)

    @precondition(lambda self: not self.closed)
    @rule(size=st.sampled_from([0, 5]))
    def add_with_a_look(self, size: int) -> None:
        self.add([size])
        self.accumulator.allow_quiet_adds()

    @precondition(lambda self: not self.closed)
    @rule(count=st.integers(0, 3))
    def add_many(self, count: int) -> None:
        items = range(len(self.arrived), len(self.arrived) + count)
        self.accumulator.add_many([Entry(item) for item in items], self.now)
        self.arrived += [self.now] * count
        self.sizes += [0] * count
        self.attempts += [0] * count
        self.waiting += items

    @precondition(lambda self: self.accumulator.quiet_adds > 0)
    @rule()
    def add_quietly(self) -> None:
        """Nobody looks, so nothing may need a look: when the next batch leaves, and whether there is room."""
        before = self.accumulator.next_due(), self.accumulator.due(self.now)
        item = len(self.arrived)
        self.accumulator.add_quietly(Entry(item), self.now)
        self.arrived.append(self.now)
        self.sizes.append(0)
        self.attempts.append(0)
        self.waiting.append(item)
        assert (self.accumulator.next_due(), self.accumulator.due(self.now)) == before
        assert self.room > 0

    @precondition(lambda self: self.closed)
    @rule()
    def add_after_close(self) -> None:
        with pytest.raises(LifecycleError):
            self.accumulator.add(Entry(0), self.now)
        with pytest.raises(LifecycleError):
            self.accumulator.add_many([Entry(0)], self.now)

    @rule(seconds=TIMES)
    def advance(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=tickets)
    def flush(self) -> int:
        self.barrier = len(self.arrived)
        return self.accumulator.flush()

    @precondition(lambda self: len(self.arrived) > 20)  # so that most of a run is open
    @rule(target=tickets)
    def close(self) -> int:
        self.closed = True
        self.barrier = len(self.arrived)
        return self.accumulator.close()

    @rule(target=batches)
    def take(self) -> Any:
        expected_cause, expected = self.cause(self.now), self.leaving()
        batch = self.accumulator.take(self.now)
        if expected_cause is None:
            assert batch is None
            return multiple()
        assert batch is not None
        items = [entry.item for entry in batch.entries]
        for item in items:
            self.attempts[item] += 1
            self.first_causes.setdefault(item, batch.cause)
        assert items == expected
        assert batch.cause is expected_cause
        assert batch.capacity == self.limits.batch_size
        assert batch.bytes == self.bytes_of(items)
        assert batch.waited == self.now - self.arrived[items[0]]
        assert batch.attempt == self.attempts[items[0]]
        assert [entry.attempts for entry in batch.entries] == [self.attempts[item] for item in items]
        del self.waiting[: len(items)]
        self.in_flight.append(items)
        return batch

    @precondition(lambda self: self.waiting)
    @rule(target=batches)
    def take_when_due(self) -> Any:
        """A shell that sleeps until `next_due` always finds a batch, and never an item that is too old."""
        due = self.accumulator.next_due()
        assert due is not None
        is_in_time = due >= self.now
        self.now = max(self.now, due)
        oldest = self.waiting[0]
        batch = self.take()
        assert isinstance(batch, Batch)
        if is_in_time and self.resume_at <= self.arrived[oldest]:
            assert self.now <= self.arrived[oldest] + self.limits.flush_interval
        return batch

    @rule(batch=consumes(batches))
    def settle(self, batch: Batch[Entry]) -> None:
        self.accumulator.settle(batch)
        self.ended(batch, [])

    @rule(batch=consumes(batches), data=st.data(), back_off=st.none() | TIMES)
    def settle_in_part(self, batch: Batch[Entry], data: st.DataObject, back_off: float | None) -> None:
        undecided = data.draw(st.lists(st.sampled_from(batch.entries), unique_by=id))
        resume_at = -math.inf if back_off is None else self.now + back_off
        self.accumulator.settle(batch, undecided, resume_at)
        if undecided:
            self.resume_at = max(self.resume_at, resume_at)
        self.ended(batch, [entry.item for entry in undecided])

    def ended(self, batch: Batch[Entry], undecided: list[int]) -> None:
        items = [entry.item for entry in batch.entries]
        self.in_flight.remove(items)
        self.waiting = sorted(self.waiting + undecided)
        self.decided += [item for item in items if item not in undecided]

    @precondition(lambda self: self.closed)
    @rule()
    def abandon(self) -> None:
        assert [entry.item for entry in self.accumulator.abandon()] == self.waiting
        self.decided += self.waiting
        self.waiting = []

    @rule(ticket=tickets)
    def ask_the_ticket(self, ticket: int) -> None:
        assert self.accumulator.reached(ticket) == all(item >= ticket for item in self.waiting + self.flying)

    # what always holds

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        assert sorted(self.waiting + self.flying + self.decided) == list(range(len(self.arrived)))
        assert self.accumulator.waiting == len(self.waiting)
        assert self.accumulator.in_flight == len(self.flying)
        assert self.accumulator.pending == len(self.waiting) + len(self.flying)
        assert self.accumulator.pending_bytes == self.bytes_of(self.waiting + self.flying)

    @invariant()
    def there_is_as_much_room_as_the_bounds_leave(self) -> None:
        assert self.accumulator.room == self.room

    @invariant()
    def it_is_due_from_when_it_says_and_not_before(self) -> None:
        assert self.accumulator.due(self.now) is self.cause(self.now)
        due = self.accumulator.next_due()
        assert (due is None) == (not self.waiting)
        if due is not None:
            assert (due <= self.now) == (self.cause(self.now) is not None)
            assert self.cause(max(due, self.now)) is not None
            assert due <= self.now or self.cause(math.nextafter(due, -math.inf)) is None

    @invariant()
    def it_says_what_it_waits_out(self) -> None:
        returned = bool(self.waiting) and self.attempts[self.waiting[0]] > 0
        assert self.accumulator.resumes_at == (self.resume_at if returned else None)
        assert self.accumulator.closing == self.closed


TestAccumulatorMachine = AccumulatorMachine.TestCase
TestAccumulatorMachine.settings = settings(max_examples=150, stateful_step_count=40)
