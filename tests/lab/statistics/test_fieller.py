from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.lab.statistics.fieller import fieller_bounds
from perflab.lab.statistics.intervals import student_t

BLOCKS = st.lists(st.tuples(st.floats(0.01, 100), st.floats(0.01, 100)), min_size=2, max_size=15)


def test_bounds_solve_the_equation_that_defines_them() -> None:
    above, below = np.array([10.0, 11.0, 9.5, 10.4]), np.array([2.0, 2.2, 1.9, 2.05])

    for ratio in fieller_bounds(above, below):
        residual = above - ratio * below
        t = residual.mean() / (residual.std(ddof=1) / 2)
        assert abs(t) == pytest.approx(student_t(0.975, 3))


def test_the_interval_covers_the_true_ratio() -> None:
    rng = np.random.default_rng(12)
    covered = 0
    for _ in range(1000):
        shared = rng.normal(0, 0.3, 6)
        low, high = fieller_bounds(20 + rng.normal(0, 3, 6) - shared, 1 + shared)
        covered += low <= 20 <= high

    assert 930 <= covered <= 972


def test_a_divisor_that_may_be_zero_gives_no_upper_bound() -> None:
    low, high = fieller_bounds(np.array([10.0, 10.1, 9.9]), np.array([0.5, -0.4, 0.2]))

    assert high == math.inf
    assert 0 < low < 100


def test_two_quantities_that_may_be_zero_give_no_bound_at_all() -> None:
    assert fieller_bounds(np.array([1.0, -0.9, 0.1]), np.array([0.5, -0.4, 0.2])) == (0, math.inf)


def test_one_block_gives_no_bound() -> None:
    assert fieller_bounds(np.array([3.0]), np.array([1.0])) == (0, math.inf)


def test_a_fixed_ratio_has_no_width() -> None:
    below = np.array([1.0, 2.0, 3.0])

    assert fieller_bounds(4 * below, below, level=0.5) == pytest.approx((4, 4), rel=1e-6)


@given(BLOCKS)
def test_the_bounds_hold_the_ratio_of_the_means(blocks: list[tuple[float, float]]) -> None:
    above, below = np.array(blocks).T
    low, high = fieller_bounds(above, below)
    ratio = above.mean() / below.mean()

    assert 0 <= low <= ratio * (1 + 1e-6)
    assert ratio * (1 - 1e-6) <= high


@given(BLOCKS, st.floats(0.01, 100))
def test_the_unit_of_the_numerator_scales_the_bounds(blocks: list[tuple[float, float]], factor: float) -> None:
    above, below = np.array(blocks).T
    low, high = fieller_bounds(above, below)
    scaled_low, scaled_high = fieller_bounds(above * factor, below)

    if high < 1e6 * (above.mean() / below.mean()):  # at the edge of unbounded, rounding decides
        assert scaled_high == pytest.approx(high * factor, rel=1e-3)
        assert scaled_low == pytest.approx(low * factor, rel=1e-3, abs=1e-6 * above.mean() / below.mean() * factor)
