"""What a cost allows. The rest of it is tested where the lab draws its curves."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.batching.sizing.polynomial_cost import PolynomialCost


@given(st.floats(0, 1e-2), st.floats(1e-7, 1e-4), st.sampled_from([0.0, 1e-10, 1e-8, 1e-6]), st.floats(1e-5, 1.0))
def test_the_largest_batch_within_a_time_takes_just_that_time(
    alpha: float, beta: float, bend: float, seconds: float
) -> None:
    cost = PolynomialCost(alpha, beta, bend)
    largest = cost.largest_within(seconds)
    if seconds <= alpha:
        assert largest == 0
    elif largest > 0:
        assert cost.seconds(largest) == pytest.approx(seconds, rel=1e-6)


def test_items_that_cost_nothing_are_written_in_any_number() -> None:
    assert PolynomialCost(1e-3, 0.0).largest_within(2e-3) == math.inf
