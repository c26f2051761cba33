"""How throughput grows with workers: the universal scalability law, and where more of them make it worse.

X(N) = gamma N / (1 + contention (N - 1) + coherency N (N - 1)): what one worker does, times their number, less what
they wait for each other, and less what every pair of them costs (N. J. Gunther, *Guerrilla Capacity Planning*, 2007,
chapter 4).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perflab.errors import InvalidInput
from perflab.lab.cost_table import tabulate
from perflab.lab.quantities import format_count, format_factor, format_percent, format_rate
from perflab.lab.statistics.fieller import fieller_bounds
from perflab.lab.statistics.inputs import FloatArray, positive_samples, require_positive
from perflab.lab.statistics.intervals import Estimate, geometric_mean_interval
from perflab.lab.statistics.regression import fit_free, fit_non_negative

FEWEST_LEVELS = 6
"""Numbers of workers: three coefficients, and as many to doubt them by."""


@dataclass(frozen=True, slots=True)
class ScalingModel:
    """The fitted law.

    Attributes:
        gamma: Items per second of one worker.
        contention: Share of the work that is done one after the other (alpha).
        coherency: Share of the work that each pair of workers makes for each other (beta).
        workers: The numbers measured, rising.
    """

    gamma: Estimate
    contention: Estimate
    coherency: Estimate
    workers: tuple[float, ...]

    def throughput(self, workers: float) -> float:
        """Items per second of so many workers.

        Raises:
            InvalidInput: The number is not above zero.
        """
        require_positive(workers, "workers")
        waits = self.contention.value * (workers - 1) + self.coherency.value * workers * (workers - 1)
        return self.gamma.value * workers / (1 + waits)

    @property
    def peak(self) -> float | None:
        """The number of workers beyond which throughput falls, sqrt((1 - contention)/coherency), at least one.

        None where the data do not show that there is one: the interval of the coherency reaches zero.
        """
        if self.coherency.low <= 0:
            return None
        return max(1.0, math.sqrt(max(0.0, 1 - self.contention.value) / self.coherency.value))

    def describe(self) -> str:
        """One sentence, which claims no more than the data hold."""
        parts = (
            f"One worker does {format_rate(self.gamma.value)}; {_share(self.contention)} of the work is done one after "
            f"the other, and each pair of workers adds {_share(self.coherency)}"
        )
        largest = self.workers[-1]
        if self.peak is None:
            most = format_count(largest)
            return (
                f"{parts}; up to the {most} measured no number of workers is known beyond which throughput falls: "
                f"{most} do {format_factor(self._gain(largest))} times the work of one."
            )
        where = "" if self.peak <= largest else f", beyond the {format_count(largest)} measured"
        return (
            f"{parts}; throughput is highest near {format_count(round(self.peak))} workers{where}, with "
            f"{format_factor(self._gain(self.peak))} times that of one."
        )

    def _gain(self, workers: float) -> float:
        return self.throughput(workers) / self.throughput(1)


def fit_scaling(
    workers: npt.ArrayLike, items_per_second: npt.ArrayLike, blocks: Sequence[Hashable], *, level: float = 0.95
) -> ScalingModel:
    """Fit the law to throughputs measured in complete blocks.

    N/X(N), the time that an item takes one of N workers, is linear in the three coefficients 1/gamma, contention/gamma
    and coherency/gamma. So it is fitted by weighted least squares with all of them not negative, weights of equal
    relative noise, to the means; and to each block alone for the intervals: t over the blocks for gamma, Fieller's for
    the two quotients.

    Args:
        workers: Their number, for each measurement.
        items_per_second: Throughput of all of them together.
        blocks: The block of each measurement.
        level: Confidence level of the intervals.

    Raises:
        InvalidInput: The three differ in length, a number is not finite and above zero, a block lacks a number of
            workers, or there are fewer than six different ones.
    """
    counts = positive_samples(workers, "Numbers of workers")
    rates = positive_samples(items_per_second, "Throughputs")
    levels = np.unique(counts).size
    if levels < FEWEST_LEVELS:
        raise InvalidInput(
            f"A scaling model needs at least {FEWEST_LEVELS} different numbers of workers, got {levels}: measure for "
            "example 1, 2, 3, 4, 6, 8."
        )
    if counts.size != rates.size:
        raise InvalidInput(f"Every throughput needs a number of workers; got {rates.size} and {counts.size}.")
    for block in dict.fromkeys(blocks):
        measured = counts[[each == block for each in blocks]] if len(blocks) == counts.size else counts
        if np.unique(measured).size < levels:
            raise InvalidInput(
                f"Block {block!r} lacks a number of workers; every block must have all {levels} of them."
            )
    table = tabulate(counts, counts / rates, blocks)
    number = table.batch_sizes
    design = np.column_stack([np.ones_like(number), number - 1, number * (number - 1)])
    fitted = fit_non_negative(design, table.seconds.mean(axis=0), table.weights)
    if fitted[0] == 0:
        raise InvalidInput("The throughput of one worker cannot be told from these measurements: measure more blocks.")
    by_block = fit_free(design, table.seconds, table.weights)
    return ScalingModel(
        gamma=_rate(fitted[0], by_block[:, 0], level),
        contention=_quotient(fitted, by_block, 1, level),
        coherency=_quotient(fitted, by_block, 2, level),
        workers=tuple(number.tolist()),
    )


def _rate(seconds: float, by_block: FloatArray, level: float) -> Estimate:
    value = 1 / float(seconds)
    if (by_block <= 0).any():  # a block too noisy to tell: then there is no interval either
        return Estimate(value, 0.0, math.inf, by_block.size, level)
    interval = geometric_mean_interval(1 / by_block, level=level)
    return Estimate(value, min(interval.low, value), max(interval.high, value), interval.n, level)


def _quotient(fitted: FloatArray, by_block: FloatArray, which: int, level: float) -> Estimate:
    value = float(fitted[which] / fitted[0])
    low, high = fieller_bounds(by_block[:, which], by_block[:, 0], level=level)
    return Estimate(value, min(low, value), max(high, value), by_block.shape[0], level)


def _share(estimate: Estimate) -> str:
    low, high = format_percent(estimate.low), format_percent(estimate.high)
    return f"{format_percent(estimate.value)} [{low}, {high}]"
