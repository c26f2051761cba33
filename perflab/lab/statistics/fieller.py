"""The interval of a ratio of two means that were measured together."""

from __future__ import annotations

import math

import numpy as np

from perflab.lab.statistics.inputs import FloatArray, require_fraction
from perflab.lab.statistics.intervals import student_t


def fieller_bounds(numerators: FloatArray, denominators: FloatArray, *, level: float = 0.95) -> tuple[float, float]:
    """Bounds of mean(numerators)/mean(denominators), of two quantities that cannot be negative.

    A ratio r is kept when F - r V could be zero: (F - r V)^2 <= t^2 var(F - r V), a quadratic inequality in r. When
    V itself could be zero there is no upper bound, and none is made up (E. C. Fieller, "Some Problems in Interval
    Estimation", *Journal of the Royal Statistical Society B* 16, 1954).

    Args:
        numerators: One for each block.
        denominators: One for each block, in the same order.
        level: Confidence level.

    Returns:
        Lower and upper bound, 0 <= low <= high <= infinity. A single block gives 0 and infinity.
    """
    require_fraction(level, "level")
    blocks = numerators.size
    if blocks < 2:
        return 0.0, math.inf
    above, below = float(numerators.mean()), float(denominators.mean())
    covariance = np.cov(numerators, denominators) * student_t((1 + level) / 2, blocks - 1) ** 2 / blocks
    square = below**2 - float(covariance[1, 1])
    middle = above * below - float(covariance[0, 1])
    constant = above**2 - float(covariance[0, 0])
    root = math.sqrt(max(0.0, middle**2 - square * constant))
    if square > 0:
        return max(0.0, (middle - root) / square), max(0.0, (middle + root) / square)
    return (constant / (middle + root) if constant > 0 else 0.0), math.inf
