from __future__ import annotations

import math

import numpy as np
import pytest

from perflab.errors import InvalidInput
from perflab.lab.statistics.bootstrap import bootstrap_interval, expanded_tail, resample_counts
from perflab.lab.statistics.inputs import FloatArray


def _mean(samples: FloatArray) -> FloatArray:
    return np.asarray(samples.mean(axis=1), dtype=np.float64)


def test_every_resample_draws_as_many_blocks_as_there_are() -> None:
    counts = resample_counts(7, 500, np.random.default_rng(1))

    assert counts.shape == (500, 7)
    assert (counts.sum(axis=1) == 7).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(7), abs=0.15)


@pytest.mark.parametrize(("blocks", "resamples"), [(0, 10), (3, 0)])
def test_nothing_to_draw_is_refused(blocks: int, resamples: int) -> None:
    with pytest.raises(InvalidInput, match="at least one block"):
        resample_counts(blocks, resamples, np.random.default_rng(1))


@pytest.mark.parametrize("blocks", [6, 12])
def test_the_interval_covers_the_true_mean_with_few_blocks(blocks: int) -> None:
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(400):
        estimate = bootstrap_interval(rng.normal(10, 1, blocks), _mean, rng=rng, resamples=1000)
        covered += estimate.low <= 10 <= estimate.high

    assert 0.91 * 400 <= covered <= 0.98 * 400


def test_many_blocks_cut_off_the_usual_share() -> None:
    assert expanded_tail(100_000, level=0.95) == pytest.approx(0.025, rel=1e-3)
    assert expanded_tail(6, level=0.95) < 0.005


def test_whole_blocks_are_drawn() -> None:
    # the halves of a block cancel: any statistic that mixes blocks inside a resample would scatter
    values = np.array([[offset, -offset] for offset in range(1, 9)], dtype=float)

    estimate = bootstrap_interval(values, lambda samples: samples.sum(axis=(1, 2)), rng=np.random.default_rng(1))

    assert (estimate.low, estimate.value, estimate.high) == (0, 0, 0)


def test_the_same_generator_gives_the_same_interval() -> None:
    values = np.arange(10.0)

    first, second = (bootstrap_interval(values, _mean, rng=np.random.default_rng(3)) for _ in range(2))

    assert first == second


def test_too_few_blocks_have_no_bounds() -> None:
    estimate = bootstrap_interval(np.arange(5.0), _mean, rng=np.random.default_rng(1))

    assert (estimate.low, estimate.value, estimate.high) == (-math.inf, 2.0, math.inf)


def test_a_statistic_that_fails_is_not_hidden() -> None:
    rng = np.random.default_rng(1)
    with pytest.raises(InvalidInput, match="NaN for some resample"):
        bootstrap_interval(np.arange(8.0), lambda samples: np.full(samples.shape[0], math.nan), rng=rng)
    with pytest.raises(InvalidInput, match="must return one number for each of 1 resamples"):
        bootstrap_interval(np.arange(8.0), lambda samples: samples, rng=rng)


@pytest.mark.parametrize("values", [[], [1.0, math.nan]])
def test_values_must_be_finite_and_there(values: list[float]) -> None:
    with pytest.raises(InvalidInput, match="at least one block of finite values"):
        bootstrap_interval(values, _mean, rng=np.random.default_rng(1))
