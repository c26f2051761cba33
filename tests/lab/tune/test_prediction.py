"""Predictions where the truth is known, and what measurements make of them."""

from __future__ import annotations

import math

import pytest

from perflab.lab.arrivals_model import Arrivals
from perflab.lab.cost_model import CostModel, fit_cost_model
from perflab.lab.statistics.intervals import Estimate
from perflab.lab.tune.prediction import Prediction, batch_limit, choose, corrected, noise_of, predict_intervals

ALPHA, BETA = 400e-6, 8e-6
TARGET = 0.020


@pytest.fixture(scope="module")
def model() -> CostModel:
    sizes = [1, 10, 100, 1_000] * 3
    return fit_cost_model(sizes, [ALPHA + BETA * size for size in sizes], [block for block in "abc" for _ in range(4)])


def predictions(*p99: float) -> tuple[Prediction, ...]:
    """Intervals of 0, 1, 2, … ms, each with twice the throughput of the one before."""
    return tuple(Prediction(place / 1_000, value, 100.0 * 2**place, 1.0) for place, value in enumerate(p99))


def p99(value: float, high: float | None = None) -> Estimate:
    return Estimate(value, value, value if high is None else high, 6, 0.95)


def test_batches_and_latencies_are_those_of_the_formulas(model: CostModel) -> None:
    found = predict_intervals(model, 0.0, 3_000.0, TARGET, 200, seed=1)
    assert [one.flush_interval for one in found] == sorted(one.flush_interval for one in found)
    assert found[0].flush_interval == 0.0
    for one in found[3:]:
        expected = Arrivals(3_000.0, 200, one.flush_interval).mean_batch
        assert one.mean_batch == pytest.approx(expected, rel=0.15)  # those who come during a flush join the next one
        assert one.throughput == pytest.approx(one.mean_batch / (ALPHA + BETA * one.mean_batch), rel=0.01)
        assert one.flush_interval < one.p99 < one.flush_interval + 2 * (ALPHA + BETA * 200)


def test_noise_is_found_again(model: CostModel) -> None:
    sizes = [float(size) for size in (1, 10, 100, 1_000) for _ in range(50)]
    seconds = [(ALPHA + BETA * size) * math.exp(0.2 * (-1) ** place) for place, size in enumerate(sizes)]
    assert noise_of(seconds, sizes, model) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("arrivals", "target", "limit"),
    [
        (10.0, 0.020, 10),  # hardly two come together
        (3_000.0, 0.020, 200),  # 60 come within the target
        (100_000.0, 1.0, 1_000),  # larger ones were not measured
    ],
)
def test_a_batch_is_as_large_as_it_may_have_to_be(model: CostModel, arrivals: float, target: float, limit: int) -> None:
    assert batch_limit(model, arrivals, target) == limit


def test_the_shortest_interval_near_the_best_is_chosen() -> None:
    flat = tuple(Prediction(place / 1_000, place / 1_000, 1_000.0 + place, 1.0) for place in range(10))
    assert choose(flat, TARGET).flush_interval == 0.0
    rising = predictions(0.001, 0.010, 0.019, 0.021)
    assert choose(rising, TARGET) is rising[2]


def test_where_none_is_within_the_target_the_least_latency_is_chosen() -> None:
    assert choose(predictions(0.030, 0.025, 0.040), TARGET).flush_interval == 0.001


def test_a_correction_shifts_what_was_not_measured_and_bounds_what_was() -> None:
    found = corrected(predictions(0.001, 0.004, 0.007, 0.010), {0.001: p99(0.007, high=0.009)}, TARGET)
    assert [one.p99 for one in found] == pytest.approx([0.004, 0.009, 0.010, 0.013])


def test_none_longer_than_one_that_missed_is_tried() -> None:
    found = corrected(predictions(0.001, 0.004, 0.007, 0.010), {0.001: p99(0.004, high=0.021)}, TARGET)
    assert [one.p99 for one in found] == [0.001, 0.021, math.inf, math.inf]


def test_an_interval_that_did_not_keep_up_says_nothing_of_others() -> None:
    measured = {0.001: None, 0.002: p99(0.008)}
    found = corrected(predictions(0.001, 0.004, 0.007, 0.010), measured, TARGET)
    assert [one.p99 for one in found] == pytest.approx([0.002, math.inf, 0.008, 0.011])


def test_where_none_kept_up_nothing_is_promised() -> None:
    found = corrected(predictions(0.001, 0.004), {0.001: None}, TARGET)
    assert [one.p99 for one in found] == pytest.approx([0.021, math.inf])
