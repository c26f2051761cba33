from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.batching.sizing.polynomial_cost import PolynomialCost
from perflab.errors import InvalidInput
from perflab.lab.cost_curve import CostCurve, InterpolatedCost

LINE = PolynomialCost(200e-6, 10e-6)
BENT = PolynomialCost(100e-6, 10e-6, 1e-8)
KNOTS = InterpolatedCost((1.0, 10.0, 100.0, 200.0), (1.0, 2.0, 5.0, 20.0))


def _throughput(curve: CostCurve, batch: float) -> float:
    return batch / curve.seconds(batch)


def test_a_line_approaches_its_limit() -> None:
    assert LINE.best_batch == math.inf
    assert LINE.best_throughput == pytest.approx(100_000)
    assert LINE.seconds(20) == pytest.approx(400e-6)
    assert _throughput(LINE, 20) == pytest.approx(50_000)


@pytest.mark.parametrize(("efficiency", "times_half_batch"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19)])
def test_efficiency_of_a_line_takes_multiples_of_its_half_batch(efficiency: float, times_half_batch: float) -> None:
    assert LINE.batch_for_efficiency(efficiency) == pytest.approx(20 * times_half_batch)


def test_a_bend_has_a_best_batch() -> None:
    assert BENT.best_batch == pytest.approx(100)
    assert BENT.best_throughput == pytest.approx(_throughput(BENT, 100))
    assert _throughput(BENT, 80) < BENT.best_throughput
    assert _throughput(BENT, 120) < BENT.best_throughput


def test_interpolation_meets_the_measured_sizes() -> None:
    assert [KNOTS.seconds(size) for size in (1, 10, 55, 100, 200)] == [1, 2, 3.5, 5, 20]
    assert (KNOTS.best_batch, KNOTS.best_throughput) == (100, 20)


@given(st.floats(1e-6, 1e-2), st.floats(1e-7, 1e-4), st.sampled_from([0.0, 1e-10, 1e-8]), st.floats(0.05, 0.95))
def test_the_batch_for_an_efficiency_has_it(alpha: float, beta: float, bend: float, efficiency: float) -> None:
    curve = PolynomialCost(alpha, beta, bend)
    batch = curve.batch_for_efficiency(efficiency)

    assert batch >= 1
    assert batch <= curve.best_batch or batch == 1
    if batch > 1:
        assert _throughput(curve, batch) == pytest.approx(efficiency * curve.best_throughput, rel=1e-6)


@given(st.floats(0.06, 0.99))
def test_interpolated_efficiency_is_reached_and_not_before(efficiency: float) -> None:
    batch = KNOTS.batch_for_efficiency(efficiency)

    assert _throughput(KNOTS, batch) == pytest.approx(efficiency * 20)
    before = np.linspace(1, batch, 50, endpoint=False)
    assert all(_throughput(KNOTS, size) < efficiency * 20 for size in before)


def test_the_first_size_may_already_be_enough() -> None:
    assert KNOTS.batch_for_efficiency(0.01) == 1
    assert PolynomialCost(0.0, 1e-5).batch_for_efficiency(0.9) == 1


def test_without_a_cost_per_item_throughput_has_no_limit() -> None:
    curve = PolynomialCost(1e-3, 0.0)

    assert curve.best_throughput == math.inf
    assert curve.batch_for_efficiency(0.5) == math.inf


def test_interpolation_claims_nothing_outside() -> None:
    with pytest.raises(InvalidInput, match=r"cost of 201 items is not known.*measured from 1 to 200 items"):
        KNOTS.seconds(201)


@pytest.mark.parametrize("batch", [0, -1, math.inf, math.nan])
@pytest.mark.parametrize("curve", [LINE, KNOTS])
def test_a_batch_has_items(curve: CostCurve, batch: float) -> None:
    with pytest.raises(InvalidInput, match="finite number"):
        curve.seconds(batch)


@pytest.mark.parametrize("curve", [LINE, BENT, KNOTS])
def test_an_efficiency_is_a_fraction(curve: CostCurve) -> None:
    with pytest.raises(InvalidInput, match="efficiency must lie between 0 and 1"):
        curve.batch_for_efficiency(1.0)
