from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.errors import InvalidInput
from perflab.lab.statistics.inputs import FloatArray
from perflab.lab.statistics.intervals import (
    Estimate,
    geometric_mean_interval,
    mean_interval,
    median_interval,
    median_rank,
)

Interval = Callable[[FloatArray], Estimate]
INTERVALS: list[Interval] = [mean_interval, geometric_mean_interval, median_interval]
POSITIVE = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=40)


def test_mean_interval_agrees_with_a_worked_example() -> None:
    # mean 3, standard deviation sqrt(2.5), t(4, .975) = 2.776445
    estimate = mean_interval([1, 2, 3, 4, 5])

    assert estimate.value == 3
    assert estimate.high - 3 == pytest.approx(2.776445 * math.sqrt(2.5 / 5), rel=1e-6)
    assert estimate.n == 5


def test_geometric_mean_is_taken_on_logarithms() -> None:
    estimate = geometric_mean_interval([1.0, 100.0])

    assert estimate.value == pytest.approx(10)
    assert estimate.low * estimate.high == pytest.approx(100)


def test_one_value_has_no_interval() -> None:
    assert mean_interval([2.0]) == Estimate(2.0, -math.inf, math.inf, 1)
    assert geometric_mean_interval([2.0]) == Estimate(2.0, 0.0, math.inf, 1)
    assert not geometric_mean_interval([2.0]).bounded


@pytest.mark.parametrize(
    ("n", "rank"),
    [(1, 0), (5, 0), (6, 1), (8, 1), (10, 2), (12, 3), (15, 4), (20, 6), (30, 10)],
)
def test_median_ranks_are_those_of_the_binomial_table(n: int, rank: int) -> None:
    assert median_rank(n) == rank


def test_median_interval_is_made_of_order_statistics() -> None:
    assert median_interval([5, 3, 9, 1, 7, 2, 8, 4, 6, 10]) == Estimate(5.5, 2.0, 9.0, 10)


def test_five_values_do_not_bound_a_median() -> None:
    assert median_interval([1, 2, 3, 4, 5]) == Estimate(3.0, -math.inf, math.inf, 5)


def test_a_lower_level_needs_fewer_values() -> None:
    assert median_rank(5, level=0.9) == 1


def _normal(rng: np.random.Generator, n: int) -> FloatArray:
    return rng.normal(10, 1, n)


def _lognormal(rng: np.random.Generator, n: int) -> FloatArray:
    return rng.lognormal(math.log(10), 0.5, n)


@pytest.mark.parametrize(
    ("interval", "draw", "n"),
    [
        (mean_interval, _normal, 6),
        (mean_interval, _normal, 20),
        (geometric_mean_interval, _lognormal, 6),
        (median_interval, _normal, 30),
    ],
)
def test_intervals_cover_the_true_value_at_their_level(
    interval: Interval, draw: Callable[[np.random.Generator, int], FloatArray], n: int
) -> None:
    rng = np.random.default_rng(20_260_101)
    covered = 0
    for _ in range(1000):
        estimate = interval(draw(rng, n))
        covered += estimate.low <= 10 <= estimate.high

    assert 930 <= covered <= 972


@given(POSITIVE)
def test_the_value_lies_in_its_interval(values: list[float]) -> None:
    for interval in INTERVALS:
        estimate = interval(np.array(values))

        assert estimate.low <= estimate.value <= estimate.high
        assert estimate.n == len(values)


@given(POSITIVE, st.floats(1e-3, 1e3))
def test_another_unit_scales_the_whole_estimate(values: list[float], factor: float) -> None:
    for interval in INTERVALS:
        before = interval(np.array(values)).scaled(factor)
        after = interval(np.array(values) * factor)

        tolerance = 1e-9 * max(values) * factor
        assert after.value == pytest.approx(before.value, rel=1e-9)
        assert after.low == pytest.approx(before.low, rel=1e-6, abs=tolerance)
        assert after.high == pytest.approx(before.high, rel=1e-6, abs=tolerance)


@given(st.permutations([1.0, 1.5, 2.0, 2.2, 3.0, 7.0, 9.5]))
def test_the_order_of_blocks_does_not_matter(values: list[float]) -> None:
    for interval in INTERVALS:
        ordered = interval(np.sort(values))
        shuffled = interval(np.array(values))

        assert shuffled.value == pytest.approx(ordered.value)
        assert (shuffled.low, shuffled.high) == pytest.approx((ordered.low, ordered.high))


@pytest.mark.parametrize(("value", "low", "high"), [(3.0, 1.0, 2.0), (0.0, 1.0, 2.0), (math.nan, 1.0, 2.0)])
def test_an_estimate_outside_its_interval_cannot_be_made(value: float, low: float, high: float) -> None:
    with pytest.raises(InvalidInput, match="lies inside its interval"):
        Estimate(value, low, high, 3)


def test_an_estimate_rests_on_something() -> None:
    with pytest.raises(InvalidInput, match="at least one unit"):
        Estimate(1.0, 0.0, 2.0, 0)
    with pytest.raises(InvalidInput, match="level"):
        Estimate(1.0, 0.0, 2.0, 3, 95)


def test_an_estimate_is_not_scaled_by_a_negative_factor() -> None:
    with pytest.raises(InvalidInput, match="finite factor above zero"):
        Estimate(1.0, 0.0, 2.0, 3).scaled(-1)


def test_a_geometric_mean_refuses_zero() -> None:
    with pytest.raises(InvalidInput, match="above zero"):
        geometric_mean_interval([1.0, 0.0])


def test_bounds_beyond_every_float_are_infinite() -> None:
    estimate = geometric_mean_interval([1e-200, 1e200])

    assert (estimate.low, estimate.high) == (0.0, math.inf)
