from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.errors import InvalidInput
from perflab.lab.statistics.percentiles import percentile, percentile_over_blocks, samples_needed


@pytest.mark.parametrize(("fraction", "needed"), [(0.5, 20), (0.9, 100), (0.99, 1000), (0.999, 10_000)])
def test_ten_samples_must_lie_beyond_the_percentile(fraction: float, needed: int) -> None:
    assert samples_needed(fraction) == needed


def test_nine_samples_have_no_p95() -> None:
    reading = percentile(np.arange(1.0, 10.0), 0.95)

    assert reading.estimate is None
    assert reading.reason == "p95 needs 200 samples; there are 9."


def test_the_value_is_the_sample_at_its_rank() -> None:
    reading = percentile(np.random.default_rng(1).permutation(np.arange(1.0, 1001.0)), 0.99)

    assert reading.estimate is not None
    assert reading.reason == ""
    # ranks 990 -+ 1.96 sqrt(9.9), rounded outwards
    assert (reading.estimate.low, reading.estimate.value, reading.estimate.high) == (983, 990, 998)


@pytest.mark.parametrize(("fraction", "n"), [(0.5, 40), (0.99, 1500)])
def test_the_interval_covers_the_true_percentile(fraction: float, n: int) -> None:
    rng = np.random.default_rng(4)
    truth = -math.log(1 - fraction)
    covered = 0
    for _ in range(500):
        estimate = percentile(rng.exponential(1, n), fraction).estimate
        assert estimate is not None
        covered += estimate.low <= truth <= estimate.high

    assert 0.93 * 500 <= covered <= 0.995 * 500


def test_a_high_level_may_have_no_upper_bound() -> None:
    estimate = percentile(np.arange(1000.0), 0.99, level=0.9999).estimate

    assert estimate is not None
    assert estimate.high == math.inf


@given(st.lists(st.floats(0, 100), min_size=20, max_size=60), st.floats(0.05, 0.5))
def test_the_value_lies_in_its_interval(samples: list[float], fraction: float) -> None:
    estimate = percentile(samples, fraction).estimate

    assert estimate is not None
    assert estimate.low <= estimate.value <= estimate.high
    assert estimate.value in samples


def test_blocks_are_the_unit_of_an_interval_over_blocks() -> None:
    rng = np.random.default_rng(6)
    # blocks differ by far more than the samples inside one
    levels = rng.lognormal(0, 0.3, 8)
    blocks = [level * rng.lognormal(0, 0.01, 200) for level in levels]

    over_blocks = percentile_over_blocks(blocks, 0.9).estimate
    pooled = percentile(np.concatenate(blocks), 0.9).estimate

    assert over_blocks is not None
    assert pooled is not None
    assert over_blocks.n == 8
    assert over_blocks.low < math.exp(np.log(levels).mean()) < over_blocks.high
    assert over_blocks.high / over_blocks.low > 1.4


def test_the_value_over_blocks_is_the_geometric_mean_of_theirs() -> None:
    ramp = np.arange(1.0, 101.0)

    estimate = percentile_over_blocks([ramp, 4 * ramp], 0.9).estimate

    assert estimate is not None
    assert estimate.value == pytest.approx(180)


def test_one_block_has_a_value_and_no_bounds() -> None:
    estimate = percentile_over_blocks([np.arange(1.0, 101.0)], 0.9).estimate

    assert estimate is not None
    assert (estimate.low, estimate.value, estimate.high) == (0, 90, math.inf)


def test_each_block_needs_its_samples() -> None:
    reading = percentile_over_blocks([np.ones(1000), np.ones(999)], 0.99)

    assert reading.estimate is None
    assert reading.reason == "p99 needs 1,000 samples in each block; block 2 of 2 has 999."


def test_broken_input_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least one block"):
        percentile_over_blocks([], 0.9)
    with pytest.raises(InvalidInput, match="Latencies of block 2 must be finite"):
        percentile_over_blocks([np.ones(100), np.full(100, math.nan)], 0.9)
    with pytest.raises(InvalidInput, match="A percentile must lie between 0 and 1"):
        percentile(np.ones(1000), 99)
    with pytest.raises(InvalidInput, match="Latencies must be finite"):
        percentile([math.inf], 0.5)
