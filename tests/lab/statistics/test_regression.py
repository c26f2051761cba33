from __future__ import annotations

import math
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.lab.statistics.regression import (
    corrected_akaike,
    fit_free,
    fit_monotone,
    fit_non_negative,
    too_few_runs_p_value,
)

SIZES = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 512.0])
LINE = np.vander(SIZES, 2, increasing=True)
PARABOLA = np.vander(SIZES, 3, increasing=True)


def test_exact_data_give_exact_coefficients() -> None:
    truth = np.array([2e-4, 9e-6, 1e-9])
    weights = 1 / np.square(PARABOLA @ truth)

    assert fit_non_negative(PARABOLA, PARABOLA @ truth, weights) == pytest.approx(truth, rel=1e-9)
    assert fit_free(PARABOLA, (PARABOLA @ truth)[np.newaxis], weights)[0] == pytest.approx(truth, rel=1e-9)


def test_a_constraint_that_does_not_bind_changes_nothing() -> None:
    response = LINE @ np.array([1.0, 0.5]) + np.array([0.1, -0.1, 0.05, -0.05, 0.2, -0.1])
    weights = 1 / np.square(response)

    free = fit_free(LINE, response[np.newaxis], weights)[0]
    assert fit_non_negative(LINE, response, weights) == pytest.approx(free, rel=1e-9)


def test_a_negative_coefficient_becomes_zero_and_the_other_is_fitted_again() -> None:
    response = LINE @ np.array([-0.5, 1.0])
    coefficients = fit_non_negative(LINE, response, np.ones(6))

    assert coefficients[0] == 0
    assert coefficients[1] == pytest.approx((SIZES @ response) / (SIZES @ SIZES))


def test_the_fit_of_the_mean_is_the_mean_of_the_fits() -> None:
    rng = np.random.default_rng(1)
    responses = rng.lognormal(0, 1, (5, 6))
    weights = rng.lognormal(0, 1, 6)

    of_mean = fit_free(LINE, responses.mean(axis=0, keepdims=True), weights)[0]
    assert fit_free(LINE, responses, weights).mean(axis=0) == pytest.approx(of_mean)


def test_heavy_observations_pull_the_fit() -> None:
    weights = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1e9])
    coefficients = fit_non_negative(LINE, np.array([1.0, 1.0, 1.0, 1.0, 1.0, 600.0]), weights)

    assert LINE[-1] @ coefficients == pytest.approx(600, rel=1e-6)


def test_a_monotone_fit_pools_what_falls() -> None:
    assert fit_monotone(np.array([1.0, 3.0, 2.0, 4.0]), np.ones(4)).tolist() == [1, 2.5, 2.5, 4]
    assert fit_monotone(np.array([1.0, 3.0, 2.0, 4.0]), np.array([1.0, 3, 1, 1])).tolist() == [1, 2.75, 2.75, 4]


def test_akaike_prefers_fewer_parameters_at_equal_fit() -> None:
    assert corrected_akaike(1.0, 20, 3) < corrected_akaike(1.0, 20, 4)
    assert corrected_akaike(0.5, 20, 4) < corrected_akaike(1.0, 20, 3)
    assert corrected_akaike(2.0, 20, 3) == pytest.approx(20 * math.log(0.1) + 6 + 24 / 16)


def test_akaike_refuses_more_parameters_than_the_data_carry() -> None:
    assert corrected_akaike(1.0, 5, 4) == math.inf
    assert corrected_akaike(0.0, 10, 3) == -math.inf


@settings(max_examples=30)
@given(st.lists(st.sampled_from([-1.0, 1.0]), min_size=2, max_size=7))
def test_the_chance_of_few_runs_is_counted_over_all_orders(residuals: list[float]) -> None:
    def runs(signs: tuple[float, ...]) -> int:
        return 1 + sum(a != b for a, b in pairwise(signs))

    orders = list(permutations(residuals))
    expected = sum(runs(order) <= runs(tuple(residuals)) for order in orders) / len(orders)

    assert too_few_runs_p_value(np.array(residuals)) == pytest.approx(expected)


def test_residuals_that_stand_together_are_noticed() -> None:
    assert too_few_runs_p_value(np.array([-1.0] * 10 + [1.0] * 10)) < 1e-4
    assert too_few_runs_p_value(np.array([-1.0, 1.0] * 10)) == pytest.approx(1)


def test_signs_of_one_kind_say_nothing() -> None:
    assert too_few_runs_p_value(np.array([1.0, 2.0, 0.0])) == 1
    assert too_few_runs_p_value(np.zeros(3)) == 1
