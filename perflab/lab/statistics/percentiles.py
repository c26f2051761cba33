"""Percentiles of latencies, refused where there are too few samples to know them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import special

from perflab.batching.histogram import middle_of
from perflab.errors import InvalidInput
from perflab.lab.statistics.inputs import finite_samples, require_fraction
from perflab.lab.statistics.intervals import Estimate, geometric_mean_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perflab.batching.histogram import Histogram

SAMPLES_IN_THE_TAIL = 10


@dataclass(frozen=True, slots=True)
class PercentileReading:
    """A percentile with its interval, or the reason why there is none.

    Attributes:
        fraction: Which one: 0.99 for p99.
        estimate: Seconds with interval; None when the samples do not carry it.
        reason: Why it is None; empty otherwise.
    """

    fraction: float
    estimate: Estimate | None
    reason: str = ""


def samples_needed(fraction: float) -> int:
    """How many samples percentile `fraction` needs: ten in its tail, so 1,000 for p99 and 10,000 for p99.9."""
    require_fraction(fraction, "A percentile")
    # 10/(1 - 0.99) is a hair above 1000 in binary
    return math.ceil(round(SAMPLES_IN_THE_TAIL / (1 - fraction), 6))


def percentile(seconds: npt.ArrayLike, fraction: float, *, level: float = 0.95) -> PercentileReading:
    """Percentile `fraction` of one set of samples, with its order-statistic interval.

    The value is the smallest sample that a share `fraction` of all samples does not exceed. The number of samples
    under the true percentile is binomial(n, p); its normal approximation gives the ranks n p -+ z sqrt(n p (1 - p)),
    here rounded outwards (W. J. Conover, *Practical Nonparametric Statistics*, 3rd ed., section 3.2). The interval
    takes the samples for independent. Latencies of one run are not, quite: use `percentile_over_blocks` where there
    are blocks.

    Args:
        seconds: Latencies in any order.
        fraction: For example 0.99.
        level: Confidence level.

    Raises:
        InvalidInput: A sample is not finite, there is none, or a fraction is outside (0, 1).
    """
    require_fraction(level, "level")
    needed = samples_needed(fraction)
    samples = np.sort(finite_samples(seconds, "Latencies"))
    n = samples.size
    if n < needed:
        return PercentileReading(fraction, None, f"{_name(fraction)} needs {needed:,} samples; there are {n:,}.")
    value = _quantile(samples, fraction)
    low_rank, high_rank = _ranks(n, fraction, level)
    low = float(samples[low_rank - 1]) if low_rank >= 1 else -math.inf
    high = float(samples[high_rank - 1]) if high_rank <= n else math.inf
    return PercentileReading(fraction, Estimate(value, low, high, n, level))


def histogram_percentile(histogram: Histogram, fraction: float, *, level: float = 0.95) -> PercentileReading:
    """The same of a histogram: within `perflab.batching.histogram.RELATIVE_ERROR`, and its maximum is exact.

    Args:
        histogram: Of seconds; merge those of several processes first, for percentiles cannot be averaged.
        fraction: For example 0.99.
        level: Confidence level.

    Raises:
        InvalidInput: A fraction is outside (0, 1).
    """
    require_fraction(level, "level")
    needed = samples_needed(fraction)
    n = histogram.counts.total()
    if n < needed:
        return PercentileReading(fraction, None, f"{_name(fraction)} needs {needed:,} samples; there are {n:,}.")
    buckets = sorted(histogram.counts)
    reached = np.cumsum([histogram.counts[bucket] for bucket in buckets])

    def at(rank: int) -> float:
        if not 1 <= rank <= n:
            return -math.inf if rank < 1 else math.inf
        return min(histogram.maximum, middle_of(buckets[int(np.searchsorted(reached, rank))]))

    low_rank, high_rank = _ranks(n, fraction, level)
    value = at(math.ceil(round(n * fraction, 6)))
    return PercentileReading(fraction, Estimate(value, at(low_rank), at(high_rank), n, level))


def _ranks(n: int, fraction: float, level: float) -> tuple[int, int]:
    """The ranks, counted from 1, between which the percentile of the whole lies; they may be outside the samples."""
    spread = float(special.ndtri((1 + level) / 2)) * math.sqrt(n * fraction * (1 - fraction))
    return math.floor(n * fraction - spread), math.ceil(n * fraction + spread) + 1


def percentile_over_blocks(
    blocks: Sequence[npt.ArrayLike], fraction: float, *, level: float = 0.95
) -> PercentileReading:
    """The typical percentile of a block: geometric mean of the percentiles of the blocks, with a t interval.

    Whole blocks are the unit, so it holds however strongly the samples inside one depend on each other. Every block
    needs enough samples of its own. One block gives a value without bounds.

    Args:
        blocks: Latencies in seconds, one array for each block.
        fraction: For example 0.99.
        level: Confidence level.

    Raises:
        InvalidInput: No blocks, a sample that is not finite, or a percentile that is not above zero.
    """
    if len(blocks) == 0:
        raise InvalidInput("A percentile over blocks needs at least one block of latencies.")
    needed = samples_needed(fraction)
    percentiles = []
    for number, seconds in enumerate(blocks, start=1):
        samples = np.sort(finite_samples(seconds, f"Latencies of block {number}"))
        if samples.size < needed:
            reason = (
                f"{_name(fraction)} needs {needed:,} samples in each block; "
                f"block {number} of {len(blocks)} has {samples.size:,}."
            )
            return PercentileReading(fraction, None, reason)
        percentiles.append(_quantile(samples, fraction))
    return PercentileReading(fraction, geometric_mean_interval(percentiles, level=level))


def _quantile(samples: npt.NDArray[np.float64], fraction: float) -> float:
    return float(np.quantile(samples, fraction, method="inverted_cdf"))


def _name(fraction: float) -> str:
    return f"p{fraction * 100:g}"
