"""Lanes: the shares of a batch, what overtakes what, and that nothing starves."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.batching.accumulator import Accumulator, Batch
from perflab.batching.lanes import DEFAULT_LANES, Lane, Lanes, longest_wait
from perflab.batching.limits import Limits
from perflab.batching.waiting_lines import Entry
from perflab.errors import InvalidInput
from perflab.events import Cause

URGENT, NORMAL, BACKGROUND = range(3)


def make(batch_size: int, lanes: Any = DEFAULT_LANES, **limits: Any) -> Accumulator[Entry]:
    settings = {"flush_interval": 3_600.0, "max_pending": 100_000, **limits}
    return Accumulator(Limits(batch_size, **settings), lanes=Lanes(lanes))


def lanes_of(batch: Batch[Entry] | None) -> Counter[int]:
    assert batch is not None
    return Counter(entry.lane for entry in batch.entries)


def test_an_urgent_item_leaves_at_once_and_takes_along_what_waits() -> None:
    accumulator = make(100)
    for number in range(5):
        accumulator.add(Entry(number), 0.0, lane=NORMAL)
    assert accumulator.due(0.0) is None
    accumulator.add(Entry("now"), 0.0, lane=URGENT)
    assert accumulator.next_due() == 0.0
    batch = accumulator.take(0.0)
    assert batch is not None
    assert batch.cause is Cause.URGENCY
    assert [entry.item for entry in batch.entries] == [0, 1, 2, 3, 4, "now"], "in the order of arrival"


def test_an_urgent_item_is_in_the_next_batch_however_much_waits() -> None:
    accumulator = make(20)
    for number in range(1_000):
        accumulator.add(Entry(number), 0.0, lane=NORMAL)
    accumulator.add(Entry("now"), 0.0, lane=URGENT)
    batch = accumulator.take(0.0)
    assert batch is not None
    assert "now" in [entry.item for entry in batch.entries]
    assert len(batch.entries) == 20


def test_each_lane_has_its_share_of_batches_of_any_size() -> None:
    for batch_size in (1, 2, 7, 13, 100):
        accumulator = make(batch_size)
        for lane in (URGENT, NORMAL, BACKGROUND):
            for number in range(1_300):
                accumulator.add(Entry(number), 0.0, lane=lane)
        sent: Counter[int] = Counter()
        while sent.total() < 1_300:
            sent += lanes_of(accumulator.take(0.0))
        rounds = sent.total() / 13
        for lane, weight in enumerate((8, 4, 1)):
            assert abs(sent[lane] - weight * rounds) <= weight


def test_a_lane_pays_for_the_bytes_that_it_sends() -> None:
    accumulator = make(10, (Lane("small"), Lane("large")), batch_bytes=1_000)
    for _ in range(2_000):
        accumulator.add(Entry("small"), 0.0, size=100, lane=0)
        accumulator.add(Entry("large"), 0.0, size=500, lane=1)
    sent: Counter[int] = Counter()
    for _ in range(200):
        batch = accumulator.take(0.0)
        assert batch is not None
        assert batch.bytes <= 1_000
        for entry in batch.entries:
            sent[entry.lane] += entry.size
    assert sent[0] == pytest.approx(sent[1], rel=0.05), "as many bytes of each"


def test_a_lane_that_was_empty_has_saved_nothing_up() -> None:
    accumulator = make(13)
    for number in range(10_000):
        accumulator.add(Entry(number), 0.0, lane=NORMAL)
        accumulator.add(Entry(number), 0.0, lane=BACKGROUND)
    for _ in range(100):
        accumulator.take(0.0)
    for number in range(1_000):
        accumulator.add(Entry(number), 0.0, lane=URGENT)
    sent: Counter[int] = Counter()
    for _ in range(13):
        sent += lanes_of(accumulator.take(0.0))
    assert sent[BACKGROUND] >= 12


@pytest.mark.case("F40")
@given(
    batch_size=st.integers(1, 8),
    weights=st.lists(st.integers(1, 9), min_size=2, max_size=4),
    patience=st.floats(0.0, 30.0),
    spare=st.integers(0, 30),
    counts=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    data=st.data(),
)
def test_no_item_waits_longer_than_stated_under_overload(
    *, batch_size: int, weights: list[int], patience: float, spare: int, counts: list[int], data: st.DataObject
) -> None:
    """The buffer is full all the time, mostly of other lanes: `longest_wait` holds for each item and unit of each.

    Elsewhere the newest are served first under overload (BentoML, in its source).
    """
    lanes = [Lane(str(number), weight, number == 0, patience) for number, weight in enumerate(weights)]
    limits = Limits(batch_size, 5.0, max_pending=batch_size + spare)
    accumulator: Accumulator[Entry] = Accumulator(limits, lanes=Lanes(lanes))
    bound = longest_wait(lanes[0], limits, 1.0, largest_unit=max(counts))
    favourite = data.draw(st.integers(0, len(lanes) - 1))
    others = st.lists(st.integers(0, len(lanes) - 1), max_size=4)
    now, number, batch = 0.0, 0, None
    steps = data.draw(st.lists(others, min_size=1, max_size=30))
    for step in range(200):
        for lane in [*(steps[step] if step < len(steps) else []), *[favourite] * limits.max_pending]:
            if accumulator.room_in(lane) > 0:
                accumulator.add(Entry(number), now, lane=lane, count=counts[number % len(counts)])
                number += 1
        batch = accumulator.take(now)
        assert batch is not None
        assert batch_size - max(counts) < batch.items <= max(batch_size, batch.entries[0].count)
        for entry in batch.entries:
            assert now - entry.arrived <= bound
        now += 1.0
        accumulator.settle(batch)


def test_a_unit_takes_the_places_of_its_items_from_its_lane() -> None:
    accumulator = make(12, (Lane("units"), Lane("singles")))
    for _ in range(1_000):
        accumulator.add(Entry("unit"), 0.0, lane=0, count=4)
        accumulator.add(Entry("single"), 0.0, lane=1)
    sent: Counter[int] = Counter()
    for _ in range(100):
        batch = accumulator.take(0.0)
        assert batch is not None
        assert batch.items == sum(entry.count for entry in batch.entries) <= 12
        for entry in batch.entries:
            sent[entry.lane] += entry.count
    assert sent[0] == pytest.approx(sent[1], rel=0.05), "as many items of each"


def test_old_items_have_every_second_place_beside_units_too() -> None:
    accumulator = make(12, (Lane("units", 1_000, patience=3_600.0), Lane("singles", 1, patience=0.0)))
    for _ in range(2_000):
        accumulator.add(Entry("unit"), 0.0, lane=0, count=6)
        accumulator.add(Entry("single"), 0.0, lane=1)
    sent: Counter[int] = Counter()
    for _ in range(100):
        batch = accumulator.take(0.0)
        assert batch is not None
        for entry in batch.entries:
            sent[entry.lane] += entry.count
    assert sent[1] == pytest.approx(sent[0], rel=0.05)


@pytest.mark.parametrize("lanes", [(Lane("a"),), DEFAULT_LANES])
def test_a_unit_that_is_larger_than_a_batch_leaves_alone(lanes: tuple[Lane, ...]) -> None:
    accumulator = make(3, lanes, flush_interval=0.0, batch_bytes=1_000)
    for item, count in [("a", 1), ("large", 5), ("b", 1), ("fits", 3), ("c", 2), ("d", 2)]:
        accumulator.add(Entry(item), 0.0, size=count, count=count)
    assert (accumulator.waiting, accumulator.pending_bytes) == (14, 14)
    left = []
    while (batch := accumulator.take(0.0)) is not None:
        left.append(([entry.item for entry in batch.entries], batch.items, batch.bytes, batch.capacity))
    assert left == [(["a"], 1, 1, 3), (["large"], 5, 5, 5), (["b"], 1, 1, 3), (["fits"], 3, 3, 3)] + [
        ([item], 2, 2, 3) for item in "cd"
    ]
    assert (accumulator.waiting, accumulator.in_flight) == (0, 14)


def test_it_is_the_ageing_that_keeps_the_bound() -> None:
    """A lane of little weight waits far longer where its items never grow old.

    Elsewhere a low lane starves (Triton, by the design of its levels).
    """
    waits = {}
    for patience in (10.0, 86_400.0):
        lanes = [Lane("a", 100, patience=patience), Lane("b", 1, patience=patience)]
        accumulator = make(1, lanes, max_pending=20, flush_interval=0.0)
        for _ in range(10):
            accumulator.add(Entry("old"), 0.0, lane=1)
        now, left = 0.0, 0
        while left < 10:
            while accumulator.room > 0:
                accumulator.add(Entry("new"), now, lane=0)
            batch = accumulator.take(now)
            assert batch is not None
            left += batch.entries[0].item == "old"
            now += 1.0
            accumulator.settle(batch)
        waits[patience] = now
    assert waits[10.0] <= longest_wait(Lane("b", patience=10.0), Limits(1, 0.0, max_pending=20), 1.0)
    assert waits[86_400.0] > 900.0


def test_a_failed_batch_goes_back_to_the_front_of_each_lane() -> None:
    accumulator = make(4, flush_interval=0.0)
    for number in range(8):
        accumulator.add(Entry(number), 0.0, lane=number % 2)
    batch = accumulator.take(0.0)
    assert batch is not None
    first = [entry.item for entry in batch.entries]
    accumulator.settle(batch, reversed(batch.entries), resume_at=5.0)
    assert accumulator.take(4.0) is None, "not even an urgent one leaves during a back-off"
    left: list[int] = []
    while (again := accumulator.take(5.0)) is not None:
        left += [entry.item for entry in again.entries]
    assert sorted(left) == list(range(8))
    for lane in (0, 1):
        assert [item for item in left if item % 2 == lane] == list(range(lane, 8, 2)), "the order within a lane"
    assert set(first) <= set(range(8))


def test_an_urgent_lane_has_room_that_others_cannot_take() -> None:
    accumulator = make(5, max_pending=10)
    while accumulator.room_in(NORMAL) > 0:
        accumulator.add(Entry("normal"), 0.0, lane=NORMAL)
    assert accumulator.pending == 10
    assert accumulator.room_in(URGENT) == 5
    for _ in range(5):
        accumulator.add(Entry("now"), 0.0, lane=URGENT)
    assert accumulator.room_in(URGENT) == 0
    by_bytes = make(5, max_pending=10, max_pending_bytes=1_000)
    by_bytes.add(Entry("normal"), 0.0, size=1_000, lane=NORMAL)
    assert by_bytes.room_in(NORMAL) == 0
    assert by_bytes.room_in(URGENT) > 0
    by_bytes.add(Entry("now"), 0.0, size=500, lane=URGENT)
    assert by_bytes.room_in(URGENT) == 0


def test_jitter_shortens_the_interval_of_each_batch_and_never_stretches_it() -> None:
    draws = iter([0.0, 1.0, 0.5, 0.0])
    accumulator: Accumulator[Entry] = Accumulator(Limits(10, 8.0, flush_jitter=0.5), random=lambda: next(draws))
    ages = []
    for start in (0.0, 100.0, 200.0):
        accumulator.add(Entry("a"), start)
        due = accumulator.next_due()
        assert due is not None
        assert accumulator.take(due - 0.001) is None
        assert accumulator.take(due) is not None
        ages.append(due - start)
    assert ages == [8.0, 4.0, 6.0]


def test_lanes_are_refused_that_cannot_be_told_apart() -> None:
    with pytest.raises(InvalidInput, match="one name"):
        Lanes((Lane("a"), Lane("a")))
    with pytest.raises(InvalidInput, match="use 1 to 16"):
        Lanes(())
    with pytest.raises(InvalidInput, match="the weight of lane 'a' is 0"):
        Lane("a", weight=0)
    with pytest.raises(InvalidInput, match="the patience of lane 'a' is -1"):
        Lane("a", patience=-1.0)
    with pytest.raises(InvalidInput, match="lane is 'b': this batcher has 'a'"):
        Lanes((Lane("a"),)).index("b")
    assert Lanes((Lane("a", urgent=True), Lane("b"))).index(None) == 1
    assert Lanes((Lane("a", urgent=True),)).index(None) == 0
