from __future__ import annotations

import numpy as np
import pytest

from perflab.errors import InvalidInput
from perflab.lab.statistics.inputs import FloatArray
from perflab.lab.statistics.tails import tail_ratio


def arms(
    rng: np.random.Generator, *, ratio: float, blocks: int, samples: int = 200, stalls: float = 0.3
) -> tuple[list[FloatArray], list[FloatArray]]:
    """Two arms with exponential latencies; what a block does to a whole arm is not seen in its single samples."""

    def arm(scale: float) -> list[FloatArray]:
        return [
            scale * rng.lognormal(0, stalls / 2) * shared * rng.exponential(1.0, samples) + 1e-9 for shared in effects
        ]

    effects = rng.lognormal(0, stalls, blocks)
    return arm(ratio), arm(1.0)


def test_a_constant_factor_is_found_exactly() -> None:
    _, below = arms(np.random.default_rng(1), ratio=1.0, blocks=12)
    found = tail_ratio([2 * block for block in below], below, 0.95, rng=np.random.default_rng(2))
    assert (found.low, found.value, found.high) == pytest.approx((2, 2, 2))


def test_all_samples_make_the_percentile_together() -> None:
    above = [np.full(100, float(number)) for number in range(1, 11)]
    found = tail_ratio(above, [np.ones(100)] * 10, 0.90, rng=np.random.default_rng(2))
    assert found.value == pytest.approx(9)  # the 900th of a thousand
    assert found.low < 9 <= found.high <= 10 + 1e-9


@pytest.mark.parametrize("blocks", [6, 15])
def test_the_interval_covers_the_true_ratio(blocks: int) -> None:
    rng = np.random.default_rng(11)
    covered = []
    for _ in range(150):
        above, below = arms(rng, ratio=1.2, blocks=blocks)
        found = tail_ratio(above, below, 0.95, rng=rng, resamples=300)
        covered.append(found.low <= 1.2 <= found.high)
    # a resample of few blocks shows their scatter a little too small
    assert 0.88 <= np.mean(covered) <= 0.99


def test_drawing_single_requests_would_be_far_too_sure() -> None:
    """The reason for blocks: with the same samples dealt out to blocks at random, the interval is too short."""
    rng = np.random.default_rng(12)
    widths = []
    for _ in range(12):
        above, below = arms(rng, ratio=1.0, blocks=12)
        found = tail_ratio(above, below, 0.95, rng=rng, resamples=400)
        mixed_above, mixed_below = (np.array_split(rng.permutation(np.concatenate(arm)), 12) for arm in (above, below))
        apart = tail_ratio(mixed_above, mixed_below, 0.95, rng=rng, resamples=400)
        widths.append(np.log(found.high / found.low) / np.log(apart.high / apart.low))
    assert np.median(widths) > 1.3


@pytest.mark.parametrize(
    ("above", "below", "message"),
    [
        ([np.ones(1_000)] * 3, [np.ones(1_000)] * 2, "both arms in at least two blocks; got 3 and 2"),
        ([np.ones(1_000)], [np.ones(1_000)], "at least two blocks"),
        ([np.ones(999)] * 2, [np.ones(1_000)] * 2, "Latencies of block 1 needs at least 1000 values, got 999"),
        ([np.ones(1_000)] * 2, [np.zeros(1_000)] * 2, "above zero"),
    ],
)
def test_what_carries_no_tail_is_refused(above: list[FloatArray], below: list[FloatArray], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        tail_ratio(above, below, 0.99, rng=np.random.default_rng(1))
