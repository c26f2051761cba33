"""A number with its interval: mean, geometric mean, and median over blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from perflab.errors import InvalidInput
from perflab.lab.statistics.inputs import FloatArray, finite_samples, positive_samples, require_fraction


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and the interval that holds the true one in a share `level` of all repetitions of the experiment.

    Attributes:
        value: The point estimate, in the unit of the samples.
        low: Lower bound, same unit; minus infinity (or 0 for a positive quantity) when the data give none.
        high: Upper bound, same unit; infinity when the data give none.
        n: How many independent units (blocks, as a rule) it rests on.
        level: Confidence level, between 0 and 1.

    Raises:
        InvalidInput: The value lies outside its bounds, or one of the three is NaN.
    """

    value: float
    low: float
    high: float
    n: int
    level: float = 0.95

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high:
            raise InvalidInput(f"An estimate lies inside its interval; got {self.value} in [{self.low}, {self.high}].")
        if self.n < 1:
            raise InvalidInput(f"An estimate rests on at least one unit; got n={self.n}.")
        require_fraction(self.level, "level")

    @property
    def bounded(self) -> bool:
        """Whether the data gave both bounds."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def scaled(self, factor: float) -> Estimate:
        """The same estimate in another unit, or of a fixed multiple of the quantity.

        Raises:
            InvalidInput: `factor` is not finite and above zero.
        """
        if not 0 < factor < math.inf:
            raise InvalidInput(f"An estimate is scaled by a finite factor above zero; got {factor!r}.")
        return Estimate(self.value * factor, self.low * factor, self.high * factor, self.n, self.level)


def student_t(probability: float, degrees: int) -> float:
    """The quantile of Student's t distribution with `degrees` of freedom."""
    return float(special.stdtrit(degrees, probability))


def exponential(log: float) -> float:
    """exp(log), where too large a logarithm gives infinity: the bound of an interval may lie beyond every float."""
    return math.exp(log) if log < 709 else math.inf


def standard_error(samples: FloatArray) -> float:
    """Standard error of the mean of at least two samples."""
    return float(np.std(samples, ddof=1)) / math.sqrt(samples.size)


def mean_interval(values: npt.ArrayLike, *, level: float = 0.95) -> Estimate:
    """The mean with Student's t interval. One value has no interval: its bounds are infinite.

    Raises:
        InvalidInput: No values, one that is not finite, or a level outside (0, 1).
    """
    samples = finite_samples(values, "The values of a mean")
    require_fraction(level, "level")
    mean = float(np.mean(samples))
    if samples.size == 1:
        return Estimate(mean, -math.inf, math.inf, 1, level)
    margin = student_t((1 + level) / 2, samples.size - 1) * standard_error(samples)
    return Estimate(mean, mean - margin, mean + margin, samples.size, level)


def geometric_mean_interval(values: npt.ArrayLike, *, level: float = 0.95) -> Estimate:
    """The geometric mean with a t interval on the logarithms: for times, rates and ratios, whose noise multiplies.

    One value has no interval: its bounds are 0 and infinity.

    Raises:
        InvalidInput: No values, one that is not finite and above zero, or a level outside (0, 1).
    """
    samples = positive_samples(values, "The values of a geometric mean")
    logs = mean_interval(np.log(samples), level=level)
    return Estimate(exponential(logs.value), exponential(logs.low), exponential(logs.high), logs.n, level)


def median_rank(n: int, *, level: float = 0.95) -> int:
    """The largest k for which the k-th smallest and the k-th largest of `n` values enclose the median at `level`.

    The number of samples under the true median is binomial(n, 1/2), whatever the distribution, so the pair of order
    statistics misses it with probability 2 P(X < k) (H. A. David and H. N. Nagaraja, *Order Statistics*, 3rd ed.,
    section 7.1). Returns 0 when even the extremes are not wide enough: for n <= 5 at 95 %.
    """
    require_fraction(level, "level")
    ranks = np.arange(1, n // 2 + 1)
    covered = 1 - 2 * special.bdtr(ranks - 1, n, 0.5)
    return int(np.count_nonzero(covered >= level))


def median_interval(values: npt.ArrayLike, *, level: float = 0.95) -> Estimate:
    """The median with its order-statistic interval, which assumes nothing about the distribution.

    With too few values for the level (five or fewer at 95 %) the bounds are infinite.

    Raises:
        InvalidInput: No values, one that is not finite, or a level outside (0, 1).
    """
    samples = np.sort(finite_samples(values, "The values of a median"))
    median = float(np.median(samples))
    rank = median_rank(samples.size, level=level)
    if rank == 0:
        return Estimate(median, -math.inf, math.inf, samples.size, level)
    return Estimate(median, float(samples[rank - 1]), float(samples[-rank]), samples.size, level)
