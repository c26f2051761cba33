"""Two arms compared block by block: the ratio, its interval, and what could have been seen."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from perflab.errors import InvalidInput
from perflab.lab.quantities import format_factor, format_percent
from perflab.lab.statistics.inputs import FloatArray, positive_samples, require_fraction
from perflab.lab.statistics.intervals import (
    Estimate,
    exponential,
    mean_interval,
    median_interval,
    standard_error,
    student_t,
)
from perflab.lab.statistics.sign_flip import sign_flip_p_value


class Verdict(enum.StrEnum):
    """What the blocks say about a ratio A/B."""

    HIGHER = "higher"
    LOWER = "lower"
    NO_DIFFERENCE = "no difference"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Ratio:
    """The ratio A/B over paired blocks.

    Attributes:
        value: exp of the mean log ratio.
        low: Lower bound, by the t interval on the log ratios.
        high: Upper bound, likewise.
        median: Median of the ratios: the robust twin of `value`.
        median_low: Its lower bound by order statistics; 0 for five blocks or fewer.
        median_high: Its upper bound; infinity for five blocks or fewer.
        p_value: Of the sign-flip test of "no difference".
        minimum_detectable: The relative difference (0.05 is 5 %) that this many blocks of this noise would have
            found with the stated power. Infinite for a single block.
        n: Blocks.
        level: Confidence level of both intervals.
    """

    value: float
    low: float
    high: float
    median: float
    median_low: float
    median_high: float
    p_value: float
    minimum_detectable: float
    n: int
    level: float = 0.95

    @property
    def estimate(self) -> Estimate:
        """Value and t interval, without the rest."""
        return Estimate(self.value, self.low, self.high, self.n, self.level)

    @property
    def verdict(self) -> Verdict:
        """Higher or lower where both intervals leave out 1, no difference where neither does, else inconclusive."""
        by_mean = _side(self.low, self.high)
        return by_mean if by_mean is _side(self.median_low, self.median_high) else Verdict.INCONCLUSIVE

    @property
    def largest_unseen(self) -> float:
        """The largest relative difference that these blocks do not rule out.

        It is the minimum detectable difference, or the far end of the interval where that is farther.
        """
        farthest = max(self.high, 1 / self.low if self.low > 0 else math.inf) - 1
        return max(self.minimum_detectable, farthest)

    def inverted(self) -> Ratio:
        """The ratio B/A: for example of throughputs, when this one is of times."""
        return Ratio(
            value=1 / self.value,
            low=_inverse(self.high),
            high=_inverse(self.low),
            median=1 / self.median,
            median_low=_inverse(self.median_high),
            median_high=_inverse(self.median_low),
            p_value=self.p_value,
            minimum_detectable=self.minimum_detectable,
            n=self.n,
            level=self.level,
        )

    def describe(self, first: str = "A", second: str = "B") -> str:
        """One sentence for a reader, with the interval and the number of blocks."""
        numbers = (
            f"{first}/{second} {format_factor(self.value)} "
            f"[{format_factor(self.low)}, {format_factor(self.high)}], {self.n} block{'' if self.n == 1 else 's'}"
        )
        match self.verdict:
            case Verdict.HIGHER:
                return f"{first} is {format_percent(self.value - 1)} higher than {second} ({numbers})."
            case Verdict.LOWER:
                return f"{first} is {format_percent(1 - self.value)} lower than {second} ({numbers})."
            case Verdict.NO_DIFFERENCE if math.isfinite(self.largest_unseen):
                return (
                    f"No difference larger than {format_percent(self.largest_unseen)} "
                    f"between {first} and {second} ({numbers})."
                )
            case Verdict.NO_DIFFERENCE:
                return f"Nothing can be said about {first} and {second} ({numbers}): measure more blocks."
            case Verdict.INCONCLUSIVE:
                return (
                    f"{first} and {second} cannot be told apart safely: "
                    f"the intervals of mean and median disagree ({numbers}; "
                    f"median {format_factor(self.median)} "
                    f"[{format_factor(self.median_low)}, {format_factor(self.median_high)}]). Measure more blocks."
                )


def paired_ratio(
    numerator: npt.ArrayLike,
    denominator: npt.ArrayLike,
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    power: float = 0.8,
) -> Ratio:
    """The ratio of two arms that were measured in the same blocks.

    What a block does to both arms cancels in its ratio. The logarithms of the ratios get a t interval, which turns
    back into one for the ratio (T. Kalibera and R. Jones, "Quantifying Performance Changes with Effect Size
    Confidence Intervals", arXiv:2007.10899); the median with order statistics stands beside it as a check that one
    odd block did not decide.

    Args:
        numerator: Arm A, one positive number for each block.
        denominator: Arm B, same order of blocks.
        rng: For the sign-flip test above 16 blocks.
        level: Confidence level of the intervals.
        power: Chance with which the minimum detectable difference would have been found.

    Raises:
        InvalidInput: The arms differ in length or are empty, or a value is not finite and above zero.
    """
    above = positive_samples(numerator, "The numerator of a ratio")
    below = positive_samples(denominator, "The denominator of a ratio")
    if above.size != below.size:
        raise InvalidInput(
            f"A paired ratio needs both arms in every block; got {above.size} and {below.size} values. "
            "Drop the incomplete blocks."
        )
    differences = np.log(above) - np.log(below)
    mean = mean_interval(differences, level=level)
    median = median_interval(differences, level=level)
    return Ratio(
        value=exponential(mean.value),
        low=exponential(mean.low),
        high=exponential(mean.high),
        median=exponential(median.value),
        median_low=exponential(median.low),
        median_high=exponential(median.high),
        p_value=sign_flip_p_value(differences, rng=rng),
        minimum_detectable=minimum_detectable_difference(differences, level=level, power=power),
        n=mean.n,
        level=level,
    )


def minimum_detectable_difference(log_ratios: FloatArray, *, level: float = 0.95, power: float = 0.8) -> float:
    """The relative difference that a two-sided test at `level` finds with probability `power`.

    It is the one at which the t statistic of the log ratios, which is noncentral t, exceeds its critical value with
    that probability (J. Cohen, *Statistical Power Analysis for the Behavioral Sciences*, 2nd ed., section 2.2). For
    many blocks that is (1.96 + 0.84) s / sqrt(n), in logarithms. One block detects nothing: infinity.
    """
    require_fraction(level, "level")
    require_fraction(power, "power")
    n = log_ratios.size
    if n < 2:
        return math.inf
    shift = float(special.nctdtrinc(n - 1, 1 - power, student_t((1 + level) / 2, n - 1)))
    return exponential(shift * standard_error(log_ratios)) - 1


def _side(low: float, high: float) -> Verdict:
    if low > 1:
        return Verdict.HIGHER
    return Verdict.LOWER if high < 1 else Verdict.NO_DIFFERENCE


def _inverse(bound: float) -> float:
    return math.inf if bound == 0 else 1 / bound
