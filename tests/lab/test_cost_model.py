from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.errors import InvalidInput
from perflab.lab.cost_curve import Form
from perflab.lab.cost_model import CostModel, fit_cost_model
from perflab.lab.statistics.inputs import FloatArray

ALPHA = 200e-6
BETA = 9e-6
SIZES = np.array([2.0**power for power in range(12)])


def _measured(
    rng: np.random.Generator,
    curve: FloatArray,
    *,
    sizes: FloatArray = SIZES,
    blocks: int = 8,
    noise: float = 0.03,
    block_noise: float = 0.05,
) -> CostModel:
    """Fit flushes whose true mean is `curve`; a block is fast or slow as a whole."""
    effects = np.exp(block_noise * rng.normal(size=(blocks, 1)) - block_noise**2 / 2)
    times = curve * effects * np.exp(noise * rng.normal(size=(blocks, sizes.size)) - noise**2 / 2)
    return fit_cost_model(np.tile(sizes, blocks), times.ravel(), np.repeat(np.arange(blocks), sizes.size).tolist())


def _line(sizes: FloatArray = SIZES) -> FloatArray:
    return ALPHA + BETA * sizes


def test_exact_times_give_back_the_costs() -> None:
    model = _measured(np.random.default_rng(1), _line(), noise=0, block_noise=0)

    assert model.form is Form.LINE
    assert model.alpha.value == pytest.approx(ALPHA)
    assert model.beta.value == pytest.approx(BETA)
    assert model.half_batch.value == pytest.approx(ALPHA / BETA)
    assert model.bend == 0
    assert model.predict(3000) == pytest.approx(ALPHA + 3000 * BETA)
    assert model.throughput(ALPHA / BETA) == pytest.approx(0.5 / BETA)
    assert model.batch_for_efficiency(0.9) == pytest.approx(9 * ALPHA / BETA)


def test_what_rounding_leaves_of_exact_times_is_no_pattern() -> None:
    rng = np.random.default_rng(12)
    for alpha in rng.lognormal(-9, 1, 20):
        assert _measured(rng, alpha + BETA * SIZES, noise=0, block_noise=0).form is Form.LINE


def test_the_criterion_is_that_of_the_weighted_line() -> None:
    sizes = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0])
    model = _measured(np.random.default_rng(13), _line(sizes), sizes=sizes, blocks=1)
    times = np.array(model.seconds_by_block[0])
    slope, intercept = np.polyfit(sizes, times, 1, w=1 / times)
    squares = float(np.square((times - intercept - slope * sizes) / times).sum())

    assert (model.alpha.value, model.beta.value) == pytest.approx((intercept, slope))
    # three parameters of seven observations: two coefficients and the variance
    assert model.aicc[Form.LINE] == pytest.approx(7 * math.log(squares / 7) + 6 + 24 / 3)


@pytest.mark.parametrize("blocks", [3, 6, 12])
def test_noisy_times_cover_the_true_costs_at_the_level(blocks: int) -> None:
    rng = np.random.default_rng(20_260_106)
    models = [_measured(rng, _line(), blocks=blocks) for _ in range(250)]

    for estimates, truth in (
        ([model.alpha for model in models], ALPHA),
        ([model.beta for model in models], BETA),
        ([model.half_batch for model in models], ALPHA / BETA),
    ):
        covered = np.mean([estimate.low <= truth <= estimate.high for estimate in estimates])
        assert 0.90 <= covered <= 0.985


@pytest.mark.parametrize("batch", [1.0, 22.0, 2048.0])
def test_the_band_covers_the_true_cost_at_the_level(batch: float) -> None:
    rng = np.random.default_rng(20_260_113)
    bands = [_measured(rng, _line(), blocks=6).predict_interval(batch) for _ in range(250)]

    covered = np.mean([band.low <= ALPHA + BETA * batch <= band.high for band in bands])
    assert 0.90 <= covered <= 0.985
    assert bands[0].n == 6


def test_a_line_is_rarely_taken_for_anything_else() -> None:
    rng = np.random.default_rng(20_260_107)
    forms = Counter(_measured(rng, _line()).form for _ in range(200))

    assert forms[Form.LINE] >= 0.92 * 200
    assert forms[Form.ISOTONIC] <= 0.03 * 200


def test_a_drift_over_blocks_is_no_pattern_of_the_curve() -> None:
    rng = np.random.default_rng(2)
    times = _line() * np.linspace(1, 2, 8)[:, np.newaxis] * np.exp(0.01 * rng.normal(size=(8, 12)))
    model = fit_cost_model(np.tile(SIZES, 8), times.ravel(), np.repeat(np.arange(8), 12).tolist())

    assert model.form is Form.LINE


def test_a_bend_is_detected_with_its_best_batch() -> None:
    rng = np.random.default_rng(20_260_108)
    bend = 1e-9  # a quarter more than the line at 2,048 items
    models = [_measured(rng, _line() + bend * SIZES**2) for _ in range(100)]
    bent = [model for model in models if model.form is Form.BENT]

    assert len(bent) >= 95
    assert np.mean([model.bend for model in bent]) == pytest.approx(bend, rel=0.05)
    best = [model.best_batch for model in bent if model.best_batch is not None]
    truth = math.sqrt(ALPHA / bend)
    assert np.mean([estimate.low <= truth <= estimate.high for estimate in best]) >= 0.88
    assert all(model.aicc[Form.BENT] < model.aicc[Form.LINE] - 2 for model in bent)


def test_a_curve_that_is_neither_falls_back_to_interpolation() -> None:
    # a cost per item that halves beyond 64 items: no parabola with positive coefficients bends that way
    curve = ALPHA + BETA * np.minimum(SIZES, 64) + BETA / 3 * np.maximum(SIZES - 64, 0)
    model = _measured(np.random.default_rng(3), curve)

    assert model.form is Form.ISOTONIC
    assert model.residuals.runs_p_value < 0.01
    assert model.predict(64) == pytest.approx(ALPHA + 64 * BETA, rel=0.06)
    assert model.predict(1.5) <= model.predict(2) <= model.predict(3)
    assert model.predict_interval(64).low < ALPHA + 64 * BETA < model.predict_interval(64).high
    assert model.bend == 0
    with pytest.raises(InvalidInput, match="was measured from 1 to 2048 items"):
        model.predict(4096)
    assert model.describe().startswith("The cost of a flush follows no line or parabola (runs test p = ")
    assert "2,048 items has the highest throughput" in model.describe()


def test_replication_reveals_a_misfit_that_noise_hides_in_each_block() -> None:
    rng = np.random.default_rng(20_260_112)
    curve = ALPHA + BETA * np.minimum(SIZES, 64) + 0.75 * BETA * np.maximum(SIZES - 64, 0)
    forms = Counter(_measured(rng, curve, blocks=12, noise=0.08).form for _ in range(60))

    assert forms[Form.ISOTONIC] >= 0.55 * 60


def test_small_batches_alone_leave_the_half_batch_unbounded() -> None:
    sizes = np.array([1.0, 2.0, 3.0])
    model = _measured(np.random.default_rng(5), _line(sizes), sizes=sizes, blocks=4, noise=0.1)

    assert model.half_batch.high == math.inf
    assert "unbounded: larger batches needed" in model.describe()


def test_costs_are_never_negative() -> None:
    rng = np.random.default_rng(6)
    free = [_measured(rng, BETA * SIZES) for _ in range(30)]
    flat = [_measured(rng, np.full(4, ALPHA), sizes=SIZES[:4]) for _ in range(30)]

    for model in free + flat:
        assert 0 <= model.alpha.low <= model.alpha.value
        assert 0 <= model.beta.low <= model.beta.value
        assert model.half_batch.low >= 0
    assert any(model.alpha.value == 0 for model in free)
    assert any(model.beta.value == 0 for model in flat)


def test_one_block_has_costs_and_no_intervals() -> None:
    model = _measured(np.random.default_rng(7), _line(), blocks=1)

    assert model.alpha.value == pytest.approx(ALPHA, rel=0.1)
    assert (model.alpha.low, model.alpha.high) == (0, math.inf)
    assert (model.predict_interval(8).low, model.predict_interval(8).high) == (0, math.inf)
    assert "[" not in model.describe()
    assert model.describe().endswith("(one block, so no interval).")


def test_residuals_report_the_size_of_the_noise() -> None:
    model = _measured(np.random.default_rng(8), _line(), noise=0.03)

    # the median of |normal| is 0.674 standard deviations
    assert model.residuals.typical_relative == pytest.approx(0.674 * 0.03, rel=0.25)
    assert model.residuals.largest_relative < 0.05
    assert model.residuals.runs_p_value > 0.01


def test_one_slow_flush_time_is_part_of_the_cost() -> None:
    times = np.repeat(_line(), 10)
    times[5] += 10 * ALPHA
    model = fit_cost_model(np.repeat(SIZES, 10), times, [0] * 120)

    assert model.seconds_by_block[0][0] == pytest.approx(ALPHA + BETA + ALPHA)


def test_a_line_is_described_with_units_and_intervals() -> None:
    rng = np.random.default_rng(9)
    model = _measured(rng, _line(), noise=0.01, block_noise=0.01)
    text = model.describe()

    assert text.startswith("A flush costs 20")
    assert " µs per item" not in text.split("plus", maxsplit=1)[0]
    assert "] per item; half of the limiting throughput (11" in text
    assert text.endswith("(95% intervals, 8 blocks).")
    assert text.count("[") == 3


def test_the_other_forms_are_described_by_what_they_are() -> None:
    rng = np.random.default_rng(10)
    bent = _measured(rng, _line() + 1e-9 * SIZES**2, noise=0.01)
    far = _measured(rng, 100 * ALPHA + BETA * SIZES + 2e-9 * SIZES**2, noise=0.0, block_noise=0.0)
    free = _measured(rng, BETA * SIZES, noise=0.0, block_noise=0.0)
    flat = _measured(rng, np.full(12, ALPHA), noise=0.0, block_noise=0.0)

    assert "grows with the square of the batch; throughput is highest (10" in bent.describe()
    assert "throughput still rises at the 2,048 items measured" in far.describe()
    assert "no fixed part that could be seen" in free.describe()
    assert "whatever its size up to the 2,048 items measured" in flat.describe()
    assert "unbounded: larger batches needed" in flat.describe()


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.floats(1e-3, 1e3))
def test_another_unit_of_time_scales_the_costs(seed: int, factor: float) -> None:
    before = _measured(np.random.default_rng(seed), _line())
    after = _measured(np.random.default_rng(seed), _line() * factor)

    assert after.form is before.form
    assert after.alpha.value == pytest.approx(before.alpha.value * factor, rel=1e-6)
    assert after.beta.high == pytest.approx(before.beta.high * factor, rel=1e-6)
    assert after.half_batch.value == pytest.approx(before.half_batch.value, rel=1e-6)


@settings(max_examples=20)
@given(st.permutations(range(36)))
def test_the_order_of_flushes_does_not_matter(order: list[int]) -> None:
    rng = np.random.default_rng(11)
    sizes, blocks = np.tile(SIZES, 3), np.repeat(np.arange(3), 12)
    times = np.tile(_line(), 3) * np.exp(0.05 * rng.normal(size=36))
    sorted_model = fit_cost_model(sizes, times, blocks.tolist())
    shuffled = fit_cost_model(sizes[order], times[order], blocks[order].tolist())

    assert shuffled.alpha.value == pytest.approx(sorted_model.alpha.value)
    assert shuffled.beta.low == pytest.approx(sorted_model.beta.low)
    assert shuffled.half_batch.high == pytest.approx(sorted_model.half_batch.high)


def test_a_constant_batch_size_has_no_model() -> None:
    with pytest.raises(InvalidInput, match=r"at least 3 different batch sizes; got 100\. Measure for example"):
        fit_cost_model([100] * 20, [1e-3] * 20, list(range(20)))


def test_the_level_is_a_fraction() -> None:
    with pytest.raises(InvalidInput, match="level must lie between 0 and 1"):
        fit_cost_model([1, 2, 4], [1.0, 2.0, 3.0], [1, 1, 1], level=95)
