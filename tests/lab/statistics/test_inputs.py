from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from perflab.errors import InvalidInput
from perflab.lab.statistics.inputs import finite_samples, positive_samples, require_fraction, require_positive


def test_numbers_come_back_as_one_row_of_floats() -> None:
    samples = finite_samples([1, 2.5, 3], "Times")

    assert samples.dtype == np.float64
    assert samples.tolist() == [1.0, 2.5, 3.0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["fast", "slow"], "Times must be numbers"),
        ([[1.0, 2.0], [3.0, 4.0]], r"one row of numbers, got an array of shape \(2, 2\)"),
        (1.0, r"shape \(\)"),
        ([], "needs at least 1 values, got 0"),
        ([1.0, math.nan], "must be finite; value 1 of 2 is nan"),
        ([math.inf, 1.0], "value 0 of 2 is inf"),
    ],
)
def test_anything_else_is_refused_with_its_place(values: npt.ArrayLike, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        finite_samples(values, "Times")


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_logarithm_needs_positive_samples(value: float) -> None:
    with pytest.raises(InvalidInput, match="Times must be above zero; value 1 of 3"):
        positive_samples([1.0, value, 2.0], "Times")


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 95.0, math.nan])
def test_a_fraction_lies_between_zero_and_one(value: float) -> None:
    with pytest.raises(InvalidInput, match="level must lie between 0 and 1"):
        require_fraction(value, "level")


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_a_rate_is_finite_and_positive(value: float) -> None:
    with pytest.raises(InvalidInput, match="rate must be finite and above zero"):
        require_positive(value, "rate")
