"""What a distribution says of values that are no longer known one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.monitoring.distribution import Distribution, DistributionRecorder
from perflab.monitoring.metric import ITEMS, SECONDS


def distribution_of(values: list[float]) -> Distribution:
    recorder = DistributionRecorder()
    for value in values:
        recorder.add(value)
    return recorder.distribution()


@given(st.lists(st.floats(1e-9, 1e6) | st.sampled_from(SECONDS)))
def test_values_that_could_have_been_seen_have_the_same_counts_and_sum(values: list[float]) -> None:
    seen = distribution_of(values)
    could_be = seen.values(())
    again = distribution_of([value for value, times in could_be for _ in range(times)])
    assert again.total == pytest.approx(seen.total, rel=1e-9)
    assert len(could_be) == len(seen.counts)
    assert sum(times for _, times in could_be) == len(values)


@given(st.lists(st.floats(1e-9, 1e6) | st.sampled_from(SECONDS)))
def test_no_value_is_above_a_bound_that_it_counts_under(values: list[float]) -> None:
    seen = distribution_of(values)
    could_be = seen.values(SECONDS)
    for bound in SECONDS:
        assert sum(times for value, times in could_be if value <= bound) == seen.at_most(bound)
    assert sum(value * times for value, times in could_be) == pytest.approx(seen.total, rel=1 / 64)


@given(st.lists(st.integers(1, 128)))
def test_small_whole_numbers_add_up_exactly_between_bounds_too(values: list[float]) -> None:
    assert sum(value * times for value, times in distribution_of(values).values(ITEMS)) == pytest.approx(sum(values))


def test_nothing_seen_has_no_values() -> None:
    assert Distribution().values(SECONDS) == []


def test_what_took_no_time_counts_as_the_smallest_there_is() -> None:
    ((value, times),) = distribution_of([0.0, 0.0]).values(SECONDS)
    assert value == pytest.approx(0.0, abs=1e-8)
    assert times == 2
