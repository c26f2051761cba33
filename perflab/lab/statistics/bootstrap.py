"""The bootstrap over blocks: whole blocks are drawn again, because what lies inside one is not independent."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import special

from perflab.errors import InvalidInput
from perflab.lab.statistics.inputs import FloatArray, IntArray, require_fraction
from perflab.lab.statistics.intervals import Estimate, median_rank, student_t

if TYPE_CHECKING:
    from collections.abc import Callable


def resample_counts(blocks: int, resamples: int, rng: np.random.Generator) -> IntArray:
    """How often each block is drawn in each resample.

    Any statistic that is a function of weighted means needs no more than these counts, and then costs one matrix
    product for all resamples.

    Returns:
        Counts of shape (resamples, blocks); each row sums to `blocks`.

    Raises:
        InvalidInput: No block, or no resample.
    """
    if blocks < 1 or resamples < 1:
        raise InvalidInput(f"Resampling needs at least one block and one resample; got {blocks} and {resamples}.")
    return rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=resamples)


def bootstrap_interval(
    values: npt.ArrayLike,
    statistic: Callable[[FloatArray], FloatArray],
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2000,
) -> Estimate:
    """A statistic of blocks with its expanded percentile interval.

    The plain percentile interval is too short for few blocks by about sqrt((n - 1)/n) times z/t. It is widened to the
    percentile that a t interval of a mean would have (T. Hesterberg, "What Teachers Should Know About the Bootstrap",
    *The American Statistician* 69, 2015). Even so a resample cannot reach beyond the data: below the number of blocks
    whose extremes enclose a median at this level (six at 95 %) the bounds are infinite.

    Args:
        values: Shape (blocks, ...); the first axis is resampled.
        statistic: Takes resampled values of shape (resamples, blocks, ...), returns one number for each resample.
        rng: Source of the resamples.
        level: Confidence level.
        resamples: How many to draw.

    Raises:
        InvalidInput: No blocks, values that are not finite, or a statistic that is NaN or has the wrong shape.
    """
    require_fraction(level, "level")
    data = np.asarray(values, dtype=np.float64)
    if data.ndim == 0 or data.shape[0] == 0 or not np.isfinite(data).all():
        raise InvalidInput("The bootstrap needs at least one block of finite values.")
    blocks = data.shape[0]
    value = _evaluated(statistic, data[np.newaxis])[0]
    if median_rank(blocks, level=level) == 0:
        return Estimate(float(value), -math.inf, math.inf, blocks, level)
    chosen = rng.integers(blocks, size=(resamples, blocks))
    replicates = _evaluated(statistic, data[chosen])
    tail = expanded_tail(blocks, level=level)
    low, high = np.quantile(replicates, [tail, 1 - tail])
    return Estimate(float(value), float(min(low, value)), float(max(high, value)), blocks, level)


def expanded_tail(blocks: int, *, level: float) -> float:
    """The share of resamples to cut off at each end, made smaller so that `blocks` blocks cover at `level`."""
    return float(special.ndtr(-math.sqrt(blocks / (blocks - 1)) * student_t((1 + level) / 2, blocks - 1)))


def _evaluated(statistic: Callable[[FloatArray], FloatArray], samples: FloatArray) -> FloatArray:
    replicates = statistic(samples)
    if replicates.shape != samples.shape[:1]:
        raise InvalidInput(
            f"The statistic must return one number for each of {samples.shape[0]} resamples; "
            f"it returned shape {replicates.shape}."
        )
    if np.isnan(replicates).any():
        raise InvalidInput("The statistic is NaN for some resample; choose one that is defined for every draw.")
    return replicates
