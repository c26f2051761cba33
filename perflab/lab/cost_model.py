"""The cost model T(b) = alpha + beta b: what one flush of b items costs, fitted to measured flushes.

Throughput follows: X(b) = b/T(b) rises towards 1/beta and has half of that at b = alpha/beta. Where the line does not
hold the model says so and takes the next simplest form that does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from perflab.batching.sizing.polynomial_cost import PolynomialCost
from perflab.lab.cost_curve import CostCurve, Form
from perflab.lab.cost_fit import choose_closed_form, fit_closed_forms, fit_isotonic, residuals_of
from perflab.lab.cost_table import tabulate
from perflab.lab.quantities import format_count, format_rate, format_seconds, format_seconds_interval
from perflab.lab.statistics.fieller import fieller_bounds
from perflab.lab.statistics.inputs import require_fraction
from perflab.lab.statistics.intervals import Estimate, mean_interval

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from perflab.lab.cost_fit import PolynomialFit, Residuals

RUNS_TEST_LIMIT = 0.01


@dataclass(frozen=True, slots=True)
class CostModel:
    """A fitted cost model.

    Attributes:
        alpha: Seconds per flush, whatever its size. For the isotonic form this and `beta` belong to the nearest line.
        beta: Seconds per item.
        half_batch: alpha/beta, the batch at which fixed and per-item cost are equal; for a line it has half of the
            limiting throughput. Its upper bound is infinite when beta could be zero: larger batches are needed.
        best_batch: Batch of highest throughput, for the bent form only.
        bend: Seconds per item squared; 0 for other forms.
        form: The form that was chosen.
        aicc: Corrected Akaike criterion of each form that was tried, lower is better.
        residuals: Diagnostics of the fit.
        curve: The fitted curve.
        batch_sizes: Items, rising: the sizes measured.
        seconds_by_block: Measured mean seconds per flush, one row for each block.
        coefficients_by_block: Coefficients of the curve fitted to each block alone, constant first; those of the
            nearest line for the isotonic form.
        blocks: How many blocks.
    """

    alpha: Estimate
    beta: Estimate
    half_batch: Estimate
    best_batch: Estimate | None
    bend: float
    form: Form
    aicc: Mapping[Form, float]
    residuals: Residuals
    curve: CostCurve
    batch_sizes: tuple[float, ...]
    seconds_by_block: tuple[tuple[float, ...], ...]
    coefficients_by_block: tuple[tuple[float, ...], ...]
    blocks: int

    def predict(self, batch: float) -> float:
        """Seconds that a flush of `batch` items costs.

        Raises:
            InvalidInput: The batch is not above zero, or outside the measured sizes where no formula holds.
        """
        return self.curve.seconds(batch)

    def predict_interval(self, batch: float) -> Estimate:
        """The same with its interval: where the mean cost of such flushes lies, not that of a single one.

        Raises:
            InvalidInput: As `predict`.
        """
        value = self.predict(batch)
        interval = mean_interval(self.predict_by_block(batch), level=self.alpha.level)
        return _around(value, interval.low, interval.high, interval.n, interval.level)

    def predict_by_block(self, batch: float) -> list[float]:
        """What each block alone predicts, seconds. Noise may bring one below zero.

        Raises:
            InvalidInput: As `predict`.
        """
        self.predict(batch)  # refuses what cannot be predicted
        if self.form is Form.ISOTONIC:
            return [float(np.interp(batch, self.batch_sizes, row)) for row in self.seconds_by_block]
        return [sum(c * batch**power for power, c in enumerate(row)) for row in self.coefficients_by_block]

    def throughput(self, batch: float) -> float:
        """Items per second of flushes of `batch` items, one after the other.

        Raises:
            InvalidInput: As `predict`.
        """
        return batch / self.curve.seconds(batch)

    def batch_for_efficiency(self, efficiency: float) -> float:
        """The smallest batch with a share `efficiency` of the best throughput; infinite when that has no limit.

        For the isotonic form the best throughput is the best one measured.

        Raises:
            InvalidInput: The efficiency is outside (0, 1).
        """
        return self.curve.batch_for_efficiency(efficiency)

    def describe(self) -> str:
        """One sentence with units and intervals, which claims no more than the data hold."""
        largest = f"{format_count(self.batch_sizes[-1])} items"
        if self.form is Form.ISOTONIC:
            first, last = self.batch_sizes[0], self.batch_sizes[-1]
            sentence = (
                f"The cost of a flush follows no line or parabola (runs test p = {self.residuals.runs_p_value:.2g}): "
                f"it rises from {format_seconds(self.predict(first))} for {_items(first)} to "
                f"{format_seconds(self.predict(last))} for {_items(last)}, and of the sizes measured "
                f"{_items(self.curve.best_batch)} has the highest throughput ({self._best_rate})"
            )
        elif self.beta.value == 0 and self.form is Form.LINE:
            sentence = (
                f"A flush costs {self._seconds(self.alpha)} whatever its size up to the {largest} measured "
                f"(at most {format_seconds(self.beta.high)} per item): the limit of throughput is "
                "unbounded: larger batches needed"
            )
        elif self.alpha.value == 0:
            sentence = (
                f"A flush costs {self._seconds(self.beta)} per item and no fixed part that could be seen "
                f"(at most {format_seconds(self.alpha.high)}): no gain from batches was seen"
            )
        elif self.form is Form.BENT:
            sentence = f"{self._two_parts} and a part that grows with the square of the batch; {self._peak(largest)}"
        else:
            sentence = (
                f"{self._two_parts}; half of the limiting throughput ({self._best_rate}) is reached "
                f"at {self._items(self.half_batch)}"
            )
        return f"{sentence} ({self._basis})."

    @property
    def _two_parts(self) -> str:
        return f"A flush costs {self._seconds(self.alpha)} plus {self._seconds(self.beta)} per item"

    @property
    def _best_rate(self) -> str:
        return format_rate(self.curve.best_throughput)

    @property
    def _basis(self) -> str:
        if self.blocks == 1:
            return "one block, so no interval"
        intervals = "" if self.form is Form.ISOTONIC else f"{self.alpha.level:.0%} intervals, "
        return f"{intervals}{self.blocks} blocks"

    def _peak(self, largest: str) -> str:
        if self.best_batch is None or self.best_batch.value > self.batch_sizes[-1]:
            return f"throughput still rises at the {largest} measured"
        return f"throughput is highest ({self._best_rate}) near {self._items(self.best_batch)}"

    def _seconds(self, estimate: Estimate) -> str:
        if self.blocks == 1:
            return format_seconds(estimate.value)
        return format_seconds_interval(estimate.value, estimate.low, estimate.high)

    def _items(self, estimate: Estimate) -> str:
        if self.blocks == 1:
            return _items(estimate.value)
        high = format_count(estimate.high) + ("" if estimate.bounded else ": larger batches needed")
        return f"{_items(estimate.value)} [{format_count(estimate.low)}, {high}]"


def fit_cost_model(
    batch_sizes: npt.ArrayLike, seconds: npt.ArrayLike, blocks: Sequence[Hashable], *, level: float = 0.95
) -> CostModel:
    """Fit the cost of a flush to flushes measured in blocks.

    Weighted least squares with alpha, beta, bend >= 0. The line is kept unless a bend lowers AICc by more than 2; when
    the residuals of the better one come in too few runs (p < 0.01), both are given up for the isotonic curve.

    All blocks have all sizes with the same weights, so the fit to the means is the mean of the fits to the blocks.
    The coefficients therefore have a t interval over the blocks, and alpha/beta has Fieller's. This needs no
    resampling, and keeps its level where a percentile bootstrap of few blocks is too short.

    Args:
        batch_sizes: Items of each flush.
        seconds: Duration of each flush.
        blocks: The block of each flush; blocks are the independent units.
        level: Confidence level of the intervals.

    Raises:
        InvalidInput: As `perflab.lab.cost_table.tabulate`, or a level outside (0, 1).
    """
    require_fraction(level, "level")
    table = tabulate(batch_sizes, seconds, blocks)
    fits = fit_closed_forms(table)
    closed = choose_closed_form(fits)
    residuals = residuals_of(table, fits[closed].shape)
    monotone, monotone_aicc = fit_isotonic(table)
    form = Form.ISOTONIC if residuals.runs_p_value < RUNS_TEST_LIMIT else closed
    best = fits[Form.LINE if form is Form.ISOTONIC else closed]
    return CostModel(
        alpha=_coefficient(best, 0, level),
        beta=_coefficient(best, 1, level),
        half_batch=_quotient(best, 0, 1, level),
        best_batch=_square_root(_quotient(best, 0, 2, level)) if form is Form.BENT else None,
        bend=float(best.coefficients[2]) if form is Form.BENT else 0.0,
        form=form,
        aicc={form: fit.aicc for form, fit in fits.items()} | {Form.ISOTONIC: monotone_aicc},
        residuals=residuals,
        curve=monotone if form is Form.ISOTONIC else PolynomialCost(*(float(c) for c in best.coefficients)),
        batch_sizes=tuple(table.batch_sizes.tolist()),
        seconds_by_block=tuple(tuple(row) for row in table.seconds.tolist()),
        coefficients_by_block=tuple(tuple(row) for row in best.by_block.tolist()),
        blocks=table.seconds.shape[0],
    )


def _coefficient(fit: PolynomialFit, power: int, level: float) -> Estimate:
    interval = mean_interval(fit.by_block[:, power], level=level)
    return _around(float(fit.coefficients[power]), interval.low, interval.high, interval.n, level)


def _quotient(fit: PolynomialFit, above: int, below: int, level: float) -> Estimate:
    low, high = fieller_bounds(fit.by_block[:, above], fit.by_block[:, below], level=level)
    divisor = float(fit.coefficients[below])
    value = float(fit.coefficients[above]) / divisor if divisor else math.inf
    return _around(value, low, high, fit.by_block.shape[0], level)


def _around(value: float, low: float, high: float, n: int, level: float) -> Estimate:
    """An interval of a quantity that is not negative, around a value that was held to that."""
    return Estimate(value, min(max(low, 0.0), value), max(high, value), n, level)


def _square_root(estimate: Estimate) -> Estimate:
    return Estimate(
        math.sqrt(estimate.value), math.sqrt(estimate.low), math.sqrt(estimate.high), estimate.n, estimate.level
    )


def _items(count: float) -> str:
    return f"{format_count(count)} item{'' if count == 1 else 's'}"
