"""The ratio of two tails: what happens to the p99 when something changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import special

from perflab.errors import InvalidInput
from perflab.lab.statistics.bootstrap import expanded_tail, resample_counts
from perflab.lab.statistics.inputs import FloatArray, IntArray, positive_samples, require_fraction
from perflab.lab.statistics.intervals import Estimate
from perflab.lab.statistics.percentiles import samples_needed
from perflab.lab.statistics.ratio import paired_ratio

FEWEST_BLOCKS_TO_RESAMPLE = 10
_CHUNK = 100
"""Resamples at once: ten blocks of a thousand latencies take 8 MB then."""


def tail_ratio(
    numerator: Sequence[npt.ArrayLike],
    denominator: Sequence[npt.ArrayLike],
    fraction: float,
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2_000,
) -> Estimate:
    """Percentile `fraction` of arm A over that of arm B, each of the samples of all blocks together.

    Whole blocks are drawn again, the same ones for both arms, because what stalls one request stalls its neighbours:
    drawing single requests would take a stall of the machine for many independent ones. The interval is bias-corrected
    and accelerated (B. Efron, "Better Bootstrap Confidence Intervals", *JASA* 82, 1987), with the acceleration from
    leaving out each block in turn, and expanded as `bootstrap_interval` is. Below ten blocks a resample shows too
    little of the scatter; there it is the t interval of the ratios of the blocks' own percentiles.

    Args:
        numerator: Seconds, one array for each block.
        denominator: The same blocks in the same order.
        fraction: For example 0.99.
        rng: Source of the resamples.
        level: Confidence level.
        resamples: How many to draw.

    Raises:
        InvalidInput: The arms differ in their number of blocks, there are fewer than two, a time is not finite and
            above zero, or a block has too few samples for the percentile.
    """
    require_fraction(level, "level")
    needed = samples_needed(fraction)
    if len(numerator) != len(denominator) or len(numerator) < 2:
        raise InvalidInput(
            f"A ratio of tails needs both arms in at least two blocks; got {len(numerator)} and {len(denominator)}."
        )
    arms = [
        [positive_samples(block, f"Latencies of block {number}", minimum=needed) for number, block in enumerate(arm, 1)]
        for arm in (numerator, denominator)
    ]
    blocks = len(numerator)
    if blocks < FEWEST_BLOCKS_TO_RESAMPLE:
        own = [[_Pool([block]).percentiles(fraction, np.ones((1, 1), np.int64))[0] for block in arm] for arm in arms]
        return paired_ratio(*own, rng=rng, level=level).estimate
    above, below = map(_Pool, arms)

    def log_ratios(counts: IntArray) -> FloatArray:
        ratios: FloatArray = np.log(above.percentiles(fraction, counts) / below.percentiles(fraction, counts))
        return ratios

    value = float(log_ratios(np.ones((1, blocks), np.int64))[0])
    replicates = log_ratios(resample_counts(blocks, resamples, rng))
    left_out = log_ratios(1 - np.eye(blocks, dtype=np.int64))
    tail = expanded_tail(blocks, level=level)
    low, high = np.quantile(replicates, _corrected_tails(value, replicates, left_out, tail))
    bounds = np.exp([min(low, value), value, max(high, value)])
    return Estimate(float(bounds[1]), float(bounds[0]), float(bounds[2]), blocks, level)


def _corrected_tails(value: float, replicates: FloatArray, left_out: FloatArray, tail: float) -> FloatArray:
    """The shares of the replicates at which the interval begins and ends."""
    # half of the equal ones count as smaller; one resample keeps the share off 0 and 1
    smaller = np.count_nonzero(replicates < value) + 0.5 * np.count_nonzero(replicates == value)
    bias = special.ndtri((smaller + 0.5) / (replicates.size + 1))
    distances = left_out.mean() - left_out
    spread = float(np.square(distances).sum()) ** 1.5
    acceleration = float((distances**3).sum()) / (6 * spread) if spread else 0.0
    places = bias + special.ndtri([tail, 1 - tail])
    tails: FloatArray = special.ndtr(bias + places / (1 - acceleration * places))
    return tails


class _Pool:
    """The samples of all blocks in one row, sorted once for all resamples."""

    def __init__(self, blocks: Sequence[FloatArray]) -> None:
        samples = np.concatenate(blocks)
        owners = np.repeat(np.arange(len(blocks)), [block.size for block in blocks])
        order = np.argsort(samples, kind="stable")
        self._samples = samples[order]
        self._owners = owners[order]

    def percentiles(self, fraction: float, counts: IntArray) -> FloatArray:
        """The smallest sample that a share `fraction` does not exceed, for each row of counts of the blocks."""
        found = np.empty(counts.shape[0])
        for start in range(0, counts.shape[0], _CHUNK):
            upto = np.cumsum(counts[start : start + _CHUNK, self._owners], axis=1)
            # a hair less, for a product such as 0.99 * 1,000 may come out above the whole number it is
            wanted = upto[:, -1:] * fraction - 1e-6
            found[start : start + _CHUNK] = self._samples[(upto >= wanted).argmax(axis=1)]
        return found
