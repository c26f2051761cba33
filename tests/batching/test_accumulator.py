"""The decision when a batch leaves, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from perflab.batching.accumulator import Accumulator, Batch
from perflab.batching.limits import Limits
from perflab.batching.waiting_lines import Entry
from perflab.errors import LifecycleError
from perflab.events import Cause


def make(**limits: Any) -> Accumulator[Entry]:
    return Accumulator(Limits(**{"batch_size": 3, "flush_interval": 10.0, "max_pending": 100, **limits}))


def fill(accumulator: Accumulator[Entry], items: str, now: float = 0.0, size: int = 0) -> None:
    for item in items:
        accumulator.add(Entry(item), now, size)


def taken(batch: Batch[Entry] | None) -> tuple[str, Cause] | None:
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
    """A full batch that has just left does not make the next item wait longer, or leave sooner.

    Elsewhere the linger acts as a rate between requests (aiokafka#1137).
    """
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
        accumulator.add(Entry("d"), 0.0)


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
    accumulator = make()
    accumulator.add(Entry("a"), 1.0)
    accumulator.add(entry := Entry("b"), 1.5, 5)
    assert repr(entry) == "Entry(#1, 5 B, arrived 1.5, 0 attempts)"
