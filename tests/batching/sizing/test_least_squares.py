"""The fit against NumPy's, against what is known, and against its own standard errors."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from perflab.batching.sizing.least_squares import CostSums, Fit
from perflab.batching.sizing.polynomial_cost import PolynomialCost

costs = st.builds(
    PolynomialCost,
    st.floats(1e-5, 1e-2),
    st.floats(1e-7, 1e-4),
    st.just(0.0) | st.floats(1e-10, 1e-7),
)
sizes = st.lists(st.integers(1, 20_000), min_size=10, max_size=80).filter(lambda items: len(set(items)) >= 5)


def fitted(sizes: list[int], seconds: list[float], expected: list[float], half_life: float = 50.0) -> CostSums:
    sums = CostSums(half_life)
    for row in zip(sizes, seconds, expected, strict=True):
        sums.add(*row)
    return sums


def predictions(fit: Fit, sizes: list[int]) -> list[float]:
    return [fit.cost.seconds(items) for items in sizes]


@given(costs, sizes)
def test_without_noise_the_cost_is_found(cost: PolynomialCost, sizes: list[int]) -> None:
    seconds = [cost.seconds(items) for items in sizes]
    fit = fitted(sizes, seconds, seconds).fit()
    assert predictions(fit, sizes) == pytest.approx(seconds, rel=0.01)
    assert fit.noise < 0.01


@given(costs, sizes, st.integers(0, 10_000))
def test_the_fit_is_the_best_that_there_is_without_negative_coefficients(
    cost: PolynomialCost, sizes: list[int], seed: int
) -> None:
    """SciPy's non-negative least squares on the whole table, weighted by hand, is no better."""
    random = Random(seed)
    expected = [cost.seconds(items) for items in sizes]
    seconds = [time * math.exp(random.gauss(0, 0.3)) for time in expected]
    fit = fitted(sizes, seconds, expected, half_life=20.0).fit()
    ages = np.arange(len(sizes))[::-1]
    weights = np.sqrt(0.5 ** (ages / 20.0)) / np.array(expected)
    degrees = 3 if fit.cost.bend else 2
    unit = float(np.mean(sizes))
    design = np.vander(np.array(sizes) / unit, degrees, increasing=True) * weights[:, None]
    _, distance = nnls(design, np.array(seconds) * weights)
    residuals = (np.array(predictions(fit, sizes)) - np.array(seconds)) * weights
    assert float(np.linalg.norm(residuals)) == pytest.approx(distance, rel=1e-4)


@given(costs, sizes, st.integers(0, 10_000))
def test_no_coefficient_is_negative(cost: PolynomialCost, sizes: list[int], seed: int) -> None:
    random = Random(seed)
    seconds = [cost.seconds(items) * math.exp(random.gauss(0, 1.5)) for items in sizes]
    found = fitted(sizes, seconds, seconds).fit()
    assert min(found.cost.alpha, found.cost.beta, found.cost.bend) >= 0
    assert found.cost.seconds(1) > 0


@settings(max_examples=50)
@given(st.floats(1e-5, 1e-2), st.floats(1e-7, 1e-4), st.floats(0.01, 0.3), st.integers(0, 10_000))
def test_alpha_is_within_five_of_its_standard_errors(alpha: float, beta: float, noise: float, seed: int) -> None:
    """With 200 flushes around the batch at which fixed and variable cost are equal, and normal noise: one failure in a
    million would be chance."""
    random = Random(seed)
    cost = PolynomialCost(alpha, beta)
    half = alpha / beta
    sizes = [max(1, int(half * 4 ** random.uniform(-1, 1))) for _ in range(200)]
    expected = [cost.seconds(items) for items in sizes]
    seconds = [time * max(0.01, random.gauss(1, noise)) for time in expected]
    sums = fitted(sizes, seconds, expected)
    if sums.spread < 0.2:  # half is near 1, and all batches have one item
        return
    fit = sums.fit()
    if fit.cost.bend:  # it may be mistaken for one, and then alpha means something else
        assert predictions(fit, sizes) == pytest.approx(expected, rel=5 * noise)
        return
    assert abs(fit.cost.alpha - alpha) <= 5 * fit.alpha_error
    assert fit.noise == pytest.approx(noise, rel=0.5)


def test_standard_errors_are_as_large_as_errors_are() -> None:
    """Over 300 repetitions alpha is off by one standard error on average: by 0.9 to 1.1 with a chance of 0.999."""
    random = Random(5)
    cost = PolynomialCost(200e-6, 10e-6)
    scaled = []
    for _ in range(300):
        sizes = [random.randint(1, 60) for _ in range(400)]
        expected = [cost.seconds(items) for items in sizes]
        seconds = [time * random.gauss(1, 0.1) for time in expected]
        # Nothing is forgotten here: with weights that fade, an effective number of observations is an approximation.
        fit = fitted(sizes, seconds, expected, half_life=1e9).fit()
        if not fit.cost.bend:
            scaled.append((fit.cost.alpha - 200e-6) / fit.alpha_error)
    assert len(scaled) > 250
    assert np.std(scaled) == pytest.approx(1, abs=0.15)
    assert np.mean(scaled) == pytest.approx(0, abs=0.25)


def test_a_bend_is_found_where_there_is_one_and_not_where_there_is_none() -> None:
    random = Random(7)
    found = {0.0: 0, 1e-8: 0}
    for bend in found:
        cost = PolynomialCost(200e-6, 10e-6, bend)
        for _ in range(100):
            sizes = [int(10 ** random.uniform(0, 3.5)) for _ in range(100)]
            expected = [cost.seconds(items) for items in sizes]
            seconds = [time * random.gauss(1, 0.1) for time in expected]
            found[bend] += fitted(sizes, seconds, expected).fit().cost.bend > 0
    assert found[1e-8] == 100
    assert found[0.0] <= 10


def test_old_flushes_are_forgotten() -> None:
    old, new = PolynomialCost(1e-3, 1e-5), PolynomialCost(2e-4, 1e-5)
    sizes = [1 + 7 * n % 50 for n in range(300)]
    seconds = [(old if n < 100 else new).seconds(items) for n, items in enumerate(sizes)]
    fit = fitted(sizes, seconds, seconds, half_life=20.0).fit()
    assert fit.cost.alpha == pytest.approx(2e-4, rel=0.05)


def test_the_spread_is_that_of_the_sizes() -> None:
    sizes = [3, 5, 5, 20]
    sums = fitted(sizes, [1.0] * 4, [1.0] * 4, half_life=1e9)
    assert sums.spread == pytest.approx(np.std(sizes) / np.mean(sizes))
    assert sums.count == pytest.approx(4)
    assert CostSums(50.0).spread == 0
    assert fitted([7, 7, 7], [1.0] * 3, [1.0] * 3).spread == pytest.approx(0, abs=1e-6)
