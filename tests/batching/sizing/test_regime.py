"""When the alarm is raised, and when it is not."""

from __future__ import annotations

from itertools import count
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.batching.sizing.regime import RegimeTest


def flushes_until_alarm(test: RegimeTest, *, residual: float) -> int:
    for number in count(1):
        if test.add(residual):
            return number
        assert number < 10_000
    raise AssertionError


@given(st.floats(3.0, 1e9), st.sampled_from([1, -1]))
def test_a_large_change_is_found_by_the_fifth_flush_and_not_before(shift: float, sign: int) -> None:
    assert flushes_until_alarm(RegimeTest(), residual=sign * shift) == 5


def test_a_shift_of_two_deviations_is_found_by_the_ninth_flush() -> None:
    assert flushes_until_alarm(RegimeTest(), residual=2.0) == 9


@given(st.lists(st.floats(-1.0, 1.0), max_size=500))
def test_residuals_within_the_slack_never_raise_it(residuals: list[float]) -> None:
    test = RegimeTest()
    assert not any(test.add(residual) for residual in residuals)


def test_outliers_far_apart_do_not_raise_it() -> None:
    test = RegimeTest()
    assert not any(test.add(1e9 if n % 4 == 0 else 0.0) for n in range(1_000))


def test_false_alarms_are_rare() -> None:
    """One in 20 million is expected: two in 300,000 have a chance of one in ten thousand."""
    random = Random(3)
    test = RegimeTest()
    assert sum(test.add(random.gauss(0, 1)) for _ in range(300_000)) < 2


@pytest.mark.parametrize("shift", [0.5, -0.5])
def test_a_fit_that_is_off_by_half_a_deviation_is_seldom_thrown_away(shift: float) -> None:
    """One in 19,000 is expected: more than 15 in 100,000 have a chance of one in two thousand."""
    random = Random(4)
    test = RegimeTest()
    alarms = sum(test.add(random.gauss(shift, 1)) for _ in range(100_000))
    assert 0 < alarms <= 15


def test_after_an_alarm_it_begins_anew() -> None:
    test = RegimeTest()
    assert flushes_until_alarm(test, residual=5.0) == 5
    assert flushes_until_alarm(test, residual=-5.0) == 5
