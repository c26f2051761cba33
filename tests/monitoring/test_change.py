"""What happened in a span of time, over several processes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.monitoring.change import REMEMBERED_SECONDS, ChangeTracker, RecentChanges
from perflab.monitoring.instruments import flushes, ticks
from perflab.monitoring.source import Labelled
from perflab.monitoring.table_state import OLDEST
from tests.monitoring.snapshots import change_of, snapshot_of

DELIVERED, AGE = (flushes.DELIVERED, "sqlite"), (OLDEST, "mail")


def delivered(process: str, count: float) -> Labelled:
    return Labelled(snapshot_of({DELIVERED: count}), {"process": process})


def read(tracker: ChangeTracker, now: float, **counts: float) -> float:
    change = tracker.change([delivered(process, count) for process, count in counts.items()], now)
    return change.counted.counted(flushes.DELIVERED)


def test_what_was_counted_before_the_first_read_does_not_count() -> None:
    tracker = ChangeTracker()
    assert read(tracker, 10.0, a=500) == 0
    assert read(tracker, 11.0, a=503) == 3


def test_a_process_that_comes_later_is_taken_whole_and_one_that_begins_anew_too() -> None:
    tracker = ChangeTracker()
    read(tracker, 10.0, a=500)
    assert read(tracker, 11.0, a=500, b=7) == 7
    assert read(tracker, 12.0, a=2, b=7) == 2


def test_one_that_was_away_goes_on_where_it_was() -> None:
    tracker = ChangeTracker()
    read(tracker, 0.0, a=500)
    read(tracker, 1.0)
    assert read(tracker, 2.0, a=501) == 1


def test_processes_that_are_long_gone_take_no_memory() -> None:
    tracker = ChangeTracker()
    for number in range(50):
        read(tracker, float(number), **{f"process{number}": 1})
    read(tracker, 100.0 + REMEMBERED_SECONDS)
    assert not tracker._last
    assert not tracker._heard_at


def test_gauges_of_processes_are_summed_and_of_moments_the_last_one_counts() -> None:
    tracker = ChangeTracker()
    found = [
        Labelled(snapshot_of(gauges={AGE: 2.0, (ticks.LAST, "sqlite"): moment}), {"process": str(moment)})
        for moment in (50.0, 70.0, 60.0)
    ]
    gauges = tracker.change(found, 100.0).counted
    assert gauges.gauged(OLDEST) == [6.0]
    assert gauges.gauged(ticks.LAST) == [70.0]


@given(st.lists(st.integers(0, 100), min_size=2, max_size=30), st.integers(1, 40))
def test_a_window_counts_what_fell_into_it(counts: list[int], seconds: int) -> None:
    recent = RecentChanges(horizon=40.0)
    recent.add(change_of(0.0, 0.0, {DELIVERED: 0}, {AGE: 0.0}))
    for moment, count in enumerate(counts, start=1):
        recent.add(change_of(moment - 1.0, moment, {DELIVERED: count}, {AGE: float(moment)}))
    window = recent.window(float(seconds))
    assert window.change.counted.counted(flushes.DELIVERED) == sum(counts[-seconds:])
    assert window.change.seconds == min(seconds, len(counts))
    assert list(window.gauges.values()) == [len(counts)]
    assert list(window.gauges_before.values()) == [max(0, len(counts) - seconds)]


def test_what_is_older_than_the_horizon_takes_no_memory() -> None:
    recent = RecentChanges(horizon=10.0)
    for moment in range(1_000):
        recent.add(change_of(moment - 1.0, moment))
    assert len(recent._changes) == 11


def test_the_first_change_of_all_has_no_before() -> None:
    recent = RecentChanges(horizon=10.0)
    recent.add(change_of(5.0, 5.0, gauges={AGE: 3.0}))
    window = recent.window(10.0)
    assert not window.gauges_before
    assert window.change.seconds == 0.0


def test_spans_add_up_and_keep_the_largest_gauge() -> None:
    whole = change_of(0.0, 1.0, {DELIVERED: 2}, {AGE: 9.0}) + change_of(1.0, 3.0, {DELIVERED: 5}, {AGE: 4.0})
    assert (whole.began_at, whole.ended_at, whole.seconds) == (0.0, 3.0, 3.0)
    assert whole.counted.counted(flushes.DELIVERED) == 7
    assert whole.counted.gauged(OLDEST) == pytest.approx([9.0])
