"""The decision when a batch leaves, against a model that is too simple to be wrong."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
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

from perflab.batching.accumulator import Accumulator, Batch, Entry
from perflab.batching.limits import Limits
from perflab.errors import LifecycleError
from perflab.events import Cause


def make(**limits: Any) -> Accumulator[str]:
    return Accumulator(Limits(**{"batch_size": 3, "flush_interval": 10.0, "max_pending": 100, **limits}))


def fill(accumulator: Accumulator[str], items: str, now: float = 0.0, size: int = 0) -> None:
    for item in items:
        accumulator.add(item, now, size)


def taken(batch: Batch[str] | None) -> tuple[str, Cause] | None:
    return None if batch is None else ("".join(entry.item for entry in batch.entries), batch.cause)


# -- each cause --------------------------------------------------------------------------------------------------------


def test_a_batch_leaves_by_count() -> None:
    accumulator = make()
    fill(accumulator, "ab")
    assert accumulator.take(0.0) is None
    fill(accumulator, "cd")
    batch = accumulator.take(0.0)
    assert taken(batch) == ("abc", Cause.COUNT)
    assert batch is not None
    assert (batch.capacity, batch.attempt, batch.waited) == (3, 1, 0.0)
    assert accumulator.take(0.0) is None


def test_a_batch_leaves_by_the_age_of_its_oldest_item() -> None:
    accumulator = make()
    fill(accumulator, "a", now=1.0)
    fill(accumulator, "b", now=10.5)
    assert accumulator.next_due() == 11.0
    assert accumulator.take(10.999) is None
    batch = accumulator.take(11.0)
    assert taken(batch) == ("ab", Cause.AGE)
    assert batch is not None
    assert batch.waited == 10.0


def test_the_interval_is_an_age_and_not_a_rate() -> None:
    """A full batch that has just left does not make the next item wait longer, or leave sooner."""
    accumulator = make()
    fill(accumulator, "abc", now=0.0)
    assert taken(accumulator.take(0.0)) == ("abc", Cause.COUNT)
    fill(accumulator, "d", now=9.0)
    assert accumulator.take(10.0) is None, "ten seconds after the last batch nothing is ten seconds old"
    assert accumulator.next_due() == 19.0
    assert taken(accumulator.take(19.0)) == ("d", Cause.AGE)
    fill(accumulator, "e", now=50.0)
    assert accumulator.next_due() == 60.0, "a long silence does not make it leave at once"


def test_an_interval_of_zero_sends_at_once() -> None:
    accumulator = make(flush_interval=0.0)
    fill(accumulator, "a", now=5.0)
    assert accumulator.next_due() == 5.0
    assert taken(accumulator.take(5.0)) == ("a", Cause.AGE)


def test_a_batch_leaves_by_bytes_and_holds_no_more_than_fit() -> None:
    accumulator = make(batch_size=10, batch_bytes=100)
    fill(accumulator, "a", size=60)
    assert accumulator.take(0.0) is None
    fill(accumulator, "b", size=60)
    batch = accumulator.take(0.0)
    assert taken(batch) == ("a", Cause.BYTES)
    assert batch is not None
    assert batch.bytes == 60
    assert accumulator.pending_bytes == 120
    assert accumulator.take(0.0) is None, "one of sixty is not due yet"
    fill(accumulator, "c", size=40)
    assert taken(accumulator.take(0.0)) == ("bc", Cause.BYTES), "exactly as many as allowed"
    for size in (60, 40, 1):
        fill(accumulator, "d", size=size)
    assert taken(accumulator.take(0.0)) == ("dd", Cause.BYTES), "the same with more behind them"


def test_one_item_larger_than_a_batch_leaves_alone() -> None:
    accumulator = make(batch_bytes=100)
    fill(accumulator, "a", size=1_000)
    fill(accumulator, "b", size=1)
    assert taken(accumulator.take(0.0)) == ("a", Cause.BYTES)
    assert accumulator.take(0.0) is None


def test_a_full_buffer_cuts_the_wait() -> None:
    accumulator = make(batch_size=3, max_pending=3)
    fill(accumulator, "abc")
    assert taken(accumulator.take(0.0)) == ("abc", Cause.COUNT)
    by_bytes = make(batch_size=10, max_pending_bytes=100)
    fill(by_bytes, "a", size=99)
    assert by_bytes.room > 0
    assert by_bytes.take(0.0) is None
    fill(by_bytes, "b", size=1)
    assert by_bytes.room == 0
    assert taken(by_bytes.take(0.0)) == ("ab", Cause.MEMORY)
    in_flight = make(batch_size=3, max_pending=4)
    fill(in_flight, "abc")
    in_flight.take(0.0)
    fill(in_flight, "d")
    assert taken(in_flight.take(0.0)) == ("d", Cause.MEMORY), "what is being written fills the buffer too"


def test_a_barrier_and_a_close_make_everything_due() -> None:
    accumulator = make()
    fill(accumulator, "ab")
    ticket = accumulator.flush()
    assert accumulator.next_due() == 0.0
    batch = accumulator.take(0.0)
    assert taken(batch) == ("ab", Cause.BARRIER)
    assert not accumulator.reached(ticket)
    fill(accumulator, "c")
    assert accumulator.take(0.0) is None, "what came after the barrier waits as usual"
    assert batch is not None
    accumulator.settle(batch)
    assert accumulator.reached(ticket)
    accumulator.close()
    assert taken(accumulator.take(0.0)) == ("c", Cause.CLOSE)
    with pytest.raises(LifecycleError, match="closed: it accepts no more items"):
        accumulator.add("d", 0.0)


def test_a_failed_batch_comes_back_to_the_front_and_is_waited_for() -> None:
    accumulator = make()
    fill(accumulator, "abcd")
    batch = accumulator.take(0.0)
    assert batch is not None
    accumulator.settle(batch, [batch.entries[2], batch.entries[1]], resume_at=5.0)
    assert accumulator.resumes_at == 5.0
    accumulator.close()
    assert accumulator.take(4.999) is None, "not even a close cuts a back-off"
    assert accumulator.next_due() == 5.0
    retried = accumulator.take(5.0)
    assert taken(retried) == ("bcd", Cause.COUNT)
    assert retried is not None
    assert retried.attempt == 2
    assert [entry.attempts for entry in retried.entries] == [2, 2, 1]
    accumulator.settle(retried)
    assert accumulator.resumes_at is None


def test_what_was_due_once_stays_due_when_its_neighbours_are_gone() -> None:
    accumulator = make(flush_interval=3_600.0)
    fill(accumulator, "abc")
    batch = accumulator.take(0.0)
    assert batch is not None
    accumulator.settle(batch, batch.entries[2:], resume_at=5.0)
    assert accumulator.next_due() == 5.0
    assert taken(accumulator.take(5.0)) == ("c", Cause.COUNT), "for the cause of its first leaving"


def test_an_older_batch_that_comes_back_later_goes_before_a_younger_one() -> None:
    accumulator = make(batch_size=2)
    fill(accumulator, "abcde")
    old, young = accumulator.take(0.0), accumulator.take(0.0)
    assert old is not None
    assert young is not None
    accumulator.settle(young, young.entries)
    accumulator.settle(old, old.entries)
    assert [taken(accumulator.take(0.0)) for _ in range(2)] == [("ab", Cause.COUNT), ("cd", Cause.COUNT)]


def test_batches_that_come_back_are_woven_into_each_other() -> None:
    accumulator = make(batch_size=2)
    fill(accumulator, "abcde")
    first, second = accumulator.take(0.0), accumulator.take(0.0)
    assert first is not None
    assert second is not None
    accumulator.settle(first, first.entries[1:])
    third = accumulator.take(0.0)
    assert taken(third) == ("be", Cause.COUNT)
    assert third is not None
    accumulator.settle(second, second.entries)
    accumulator.settle(third, third.entries)
    assert [taken(accumulator.take(0.0)) for _ in range(2)] == [("bc", Cause.COUNT), ("de", Cause.COUNT)]


def test_sizes_are_forgotten_where_nobody_bounds_them() -> None:
    accumulator = make(batch_size=1)
    fill(accumulator, "a", size=10)
    batch = accumulator.take(0.0)
    assert batch is not None
    accumulator.settle(batch)
    assert accumulator.pending_bytes == 0


def test_an_entry_shows_what_is_known_of_it() -> None:
    assert repr(Entry("a", 5, 1.5, 7)) == "Entry(#7, 5 B, arrived 1.5, 0 attempts)"


# -- the model ---------------------------------------------------------------------------------------------------------

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
        self.accumulator: Accumulator[int] = Accumulator(self.limits)
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
            self.accumulator.add(item, self.now, size)
            self.arrived.append(self.now)
            self.sizes.append(size)
            self.attempts.append(0)
            self.waiting.append(item)

    @precondition(lambda self: self.closed)
    @rule()
    def add_after_close(self) -> None:
        with pytest.raises(LifecycleError):
            self.accumulator.add(0, self.now)

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
    def settle(self, batch: Batch[int]) -> None:
        self.accumulator.settle(batch)
        self.ended(batch, [])

    @rule(batch=consumes(batches), data=st.data(), back_off=st.none() | TIMES)
    def settle_in_part(self, batch: Batch[int], data: st.DataObject, back_off: float | None) -> None:
        undecided = data.draw(st.lists(st.sampled_from(batch.entries), unique_by=id))
        resume_at = -math.inf if back_off is None else self.now + back_off
        self.accumulator.settle(batch, undecided, resume_at)
        if undecided:
            self.resume_at = max(self.resume_at, resume_at)
        self.ended(batch, [entry.item for entry in undecided])

    def ended(self, batch: Batch[int], undecided: list[int]) -> None:
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
TestAccumulatorMachine.settings = settings(
    max_examples=150, stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow]
)
