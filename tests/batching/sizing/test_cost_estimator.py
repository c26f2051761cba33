"""What the estimator believes, and what it does not."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.batching.sizing.cost_estimator import CostEstimator
from perflab.batching.sizing.polynomial_cost import PolynomialCost

LINE = PolynomialCost(200e-6, 10e-6)


def feed(
    estimator: CostEstimator, cost: PolynomialCost, flushes: int, *, noise: float = 0.1, seed: int = 1, least: int = 1
) -> None:
    random = Random(seed)
    for _ in range(flushes):
        items = random.randint(least, 100)
        estimator.observe(items, cost.seconds(items) * math.exp(random.gauss(0, noise)))


def known(estimator: CostEstimator) -> PolynomialCost:
    assert estimator.fit is not None
    return estimator.fit.cost


def test_the_cost_is_known_after_a_hundred_flushes() -> None:
    estimator = CostEstimator()
    feed(estimator, LINE, 100)
    assert [known(estimator).seconds(items) for items in (1, 20, 100)] == pytest.approx(
        [LINE.seconds(items) for items in (1, 20, 100)], rel=0.10
    )
    assert estimator.noise == pytest.approx(0.1, rel=0.4)
    assert (estimator.learned, estimator.changes) == (100, 0)


def test_nothing_is_believed_before_eight_flushes() -> None:
    estimator = CostEstimator()
    feed(estimator, LINE, 7)
    assert estimator.fit is None
    assert estimator.recent_seconds_per_item is not None
    feed(estimator, LINE, 1)
    assert estimator.fit is not None


@given(st.integers(1, 10_000), st.floats(1e-6, 10.0), st.floats(0, 0.5))
def test_sizes_that_do_not_vary_tell_nothing(items: int, seconds: float, noise: float) -> None:
    """Elsewhere a size that never varies breaks the fit (BentoML#3646)."""
    random = Random(1)
    estimator = CostEstimator()
    for _ in range(60):
        estimator.observe(items, seconds * math.exp(random.gauss(0, noise)))
    assert estimator.fit is None
    assert estimator.recent_seconds_per_item == pytest.approx(seconds / items, rel=3.0)


def test_a_fit_stands_when_sizes_stop_to_vary() -> None:
    estimator = CostEstimator()
    feed(estimator, LINE, 100, noise=0.0)
    before = known(estimator)
    for _ in range(1_000):
        estimator.observe(50, LINE.seconds(50))
    assert known(estimator).alpha == pytest.approx(before.alpha, rel=0.02)
    assert known(estimator).seconds(100) == pytest.approx(LINE.seconds(100), rel=0.02)


def test_times_without_any_variance_are_no_change() -> None:
    estimator = CostEstimator()
    feed(estimator, LINE, 2_000, noise=0.0)
    assert estimator.changes == 0
    assert known(estimator).alpha == pytest.approx(200e-6, rel=1e-6)


def test_stalls_move_the_fit_by_no_more_than_their_share() -> None:
    """One flush in twenty takes fifty milliseconds longer, some hundred times its usual time."""
    random = Random(2)
    estimator = CostEstimator()
    for number in range(2_000):
        items = random.randint(1, 100)
        stall = 0.050 if number % 20 == 5 else 0.0
        estimator.observe(items, LINE.seconds(items) * math.exp(random.gauss(0, 0.1)) + stall)
    assert estimator.changes == 0
    assert known(estimator).seconds(50) == pytest.approx(LINE.seconds(50), rel=0.10)
    assert estimator.noise < 0.25


def test_a_first_flush_that_opens_the_connection_does_not_count_for_long() -> None:
    estimator = CostEstimator()
    estimator.observe(1, 0.5)
    feed(estimator, LINE, 30)
    assert known(estimator).seconds(50) == pytest.approx(LINE.seconds(50), rel=0.25)


@pytest.mark.parametrize("factor", [5.0, 0.2])
def test_a_change_is_noticed_by_the_fifth_flush_and_learned_from_these(factor: float) -> None:
    estimator = CostEstimator()
    feed(estimator, LINE, 200)
    changed = PolynomialCost(LINE.alpha * factor, LINE.beta * factor)
    feed(estimator, changed, 3, seed=9)
    assert estimator.changes == 0
    feed(estimator, changed, 2, seed=10)
    assert estimator.changes == 1
    assert estimator.learned <= 6
    assert estimator.fit is None
    feed(estimator, changed, 40, seed=11)
    assert known(estimator).seconds(50) == pytest.approx(changed.seconds(50), rel=0.15)
    assert estimator.changes == 1


def test_a_bend_is_learned() -> None:
    bent = PolynomialCost(200e-6, 10e-6, 1e-6)
    estimator = CostEstimator()
    feed(estimator, bent, 300)
    assert known(estimator).bend > 0
    assert known(estimator).best_batch == pytest.approx(bent.best_batch, rel=0.5)
