"""The forms that a cost curve may have, fitted to a table of flush times, and how well they fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from perflab.lab.cost_curve import Form, InterpolatedCost
from perflab.lab.statistics.regression import (
    corrected_akaike,
    fit_free,
    fit_monotone,
    fit_non_negative,
    too_few_runs_p_value,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from perflab.lab.cost_table import CostTable
    from perflab.lab.statistics.inputs import FloatArray

WORTH_A_PARAMETER = 2.0
"""A bend must lower AICc by more than this (K. P. Burnham and D. R. Anderson, *Model Selection*, section 2.6)."""

EXACT = 1e-9
"""Relative residuals below this are rounding: no clock is that fine."""

DEGREES = {Form.LINE: 1, Form.BENT: 2}


@dataclass(frozen=True, slots=True)
class Residuals:
    """How well the closed form fits.

    Attributes:
        runs_p_value: Of the runs test over sizes and blocks, for the best closed form; below 0.01 it was given up.
        typical_relative: Median of |measured - predicted|/predicted over all cells, block effects removed.
        largest_relative: The largest of these, over the means of the sizes.
    """

    runs_p_value: float
    typical_relative: float
    largest_relative: float


@dataclass(frozen=True, slots=True)
class PolynomialFit:
    """One closed form, fitted.

    Attributes:
        coefficients: Of the powers 0, 1, ... of the batch size, none negative.
        by_block: The same without that constraint, one row for each block: they carry the uncertainty.
        shape: Values at the sizes of the table, fitted after the effects of the blocks were removed.
        aicc: Of that fit.
    """

    coefficients: FloatArray
    by_block: FloatArray
    shape: FloatArray
    aicc: float

    @classmethod
    def of(cls, table: CostTable, form: Form) -> PolynomialFit:
        degree = DEGREES[form]
        design = np.vander(table.batch_sizes, degree + 1, increasing=True)
        weights = table.weights
        level_means = table.without_block_effects.mean(axis=0)
        shape = design @ fit_non_negative(design, level_means, weights)
        return cls(
            coefficients=fit_non_negative(design, table.seconds.mean(axis=0), weights),
            by_block=fit_free(design, table.seconds, weights),
            shape=shape,
            aicc=_criterion(table, shape, degree + 1),
        )


def fit_closed_forms(table: CostTable) -> dict[Form, PolynomialFit]:
    """The closed forms that have fewer coefficients than the table has sizes."""
    return {form: PolynomialFit.of(table, form) for form in DEGREES if table.batch_sizes.size > DEGREES[form] + 1}


def choose_closed_form(fits: Mapping[Form, PolynomialFit]) -> Form:
    """The line, unless a bend is worth its parameter."""
    if Form.BENT not in fits or fits[Form.BENT].coefficients[2] == 0:
        return Form.LINE
    return Form.BENT if fits[Form.LINE].aicc - fits[Form.BENT].aicc > WORTH_A_PARAMETER else Form.LINE


def fit_isotonic(table: CostTable) -> tuple[InterpolatedCost, float]:
    """The nearest curve that never falls, and its AICc, in which each of its levels is a parameter."""
    weights = table.weights
    curve = fit_monotone(table.seconds.mean(axis=0), weights)
    shape = fit_monotone(table.without_block_effects.mean(axis=0), weights)
    levels = np.unique(shape).size
    knots = InterpolatedCost(tuple(table.batch_sizes.tolist()), tuple(curve.tolist()))
    return knots, _criterion(table, shape, levels)


def _criterion(table: CostTable, shape: FloatArray, coefficients: int) -> float:
    """AICc of a shape; the variance and the relative speeds of the blocks are parameters, too."""
    cells = table.without_block_effects
    # differences that rounding makes must not decide between forms that both fit exactly
    residuals = np.maximum(np.abs(cells - shape), EXACT * shape)
    squares = float((table.weights * np.square(residuals)).sum())
    return corrected_akaike(squares, cells.size, coefficients + 1 + cells.shape[0] - 1)


def residuals_of(table: CostTable, shape: FloatArray) -> Residuals:
    """Diagnostics of a shape, over all cells with the effects of the blocks removed."""
    cells = table.without_block_effects / shape - 1
    largest = float(np.abs(cells.mean(axis=0)).max())
    # what rounding leaves of an exact fit has a pattern, but no meaning
    exact = float(np.abs(cells).max()) < EXACT
    runs = 1.0 if exact else too_few_runs_p_value(cells.T.ravel())
    return Residuals(runs, float(np.median(np.abs(cells))), largest)
