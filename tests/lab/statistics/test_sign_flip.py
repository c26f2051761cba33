from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.errors import InvalidInput
from perflab.lab.statistics.sign_flip import EXACT_UP_TO, sign_flip_p_value


def _rng() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.mark.parametrize("n", [1, 6, 10])
def test_differences_of_one_sign_reach_the_floor(n: int) -> None:
    assert sign_flip_p_value(np.linspace(1, 2, n), rng=_rng()) == 2 / 2**n


def test_no_difference_at_all_is_no_evidence() -> None:
    assert sign_flip_p_value(np.zeros(8), rng=_rng()) == 1


@settings(max_examples=50)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=8))
def test_the_exact_value_is_the_share_of_all_assignments(differences: list[int]) -> None:
    observed = abs(sum(differences))
    assignments = list(product([1, -1], repeat=len(differences)))
    as_extreme = sum(
        abs(sum(sign * d for sign, d in zip(signs, differences, strict=True))) >= observed for signs in assignments
    )

    assert sign_flip_p_value(differences, rng=_rng()) == as_extreme / len(assignments)


def test_random_assignments_agree_with_the_exact_value() -> None:
    differences = np.random.default_rng(2).normal(0.4, 1, EXACT_UP_TO)
    # a zero changes no sum, so the p-value of 17 differences must be that of the first 16
    drawn = sign_flip_p_value(np.append(differences, 0.0), rng=_rng())

    assert drawn == pytest.approx(sign_flip_p_value(differences, rng=_rng()), abs=0.012)


def test_random_assignments_never_give_zero() -> None:
    assert 0 < sign_flip_p_value(np.ones(30), rng=_rng()) < 0.001


def test_false_alarms_keep_to_the_level() -> None:
    rng = np.random.default_rng(3)
    alarms = sum(sign_flip_p_value(rng.normal(0, 1, 10), rng=rng) <= 0.05 for _ in range(1000))

    assert 30 <= alarms <= 70


def test_differences_must_be_numbers() -> None:
    with pytest.raises(InvalidInput, match="finite"):
        sign_flip_p_value([1.0, float("nan")], rng=_rng())
