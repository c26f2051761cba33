"""Least squares with non-negative coefficients, and the questions one asks of a fit."""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize

from perflab.lab.statistics.inputs import FloatArray


def fit_non_negative(design: FloatArray, response: FloatArray, weights: FloatArray) -> FloatArray:
    """Coefficients c >= 0 that minimise sum w (y - X c)^2 (C. L. Lawson and R. J. Hanson, chapter 23).

    Args:
        design: X, shape (observations, coefficients).
        response: y, shape (observations,).
        weights: w, shape (observations,), above zero.

    Returns:
        Coefficients, shape (coefficients,).
    """
    root = np.sqrt(weights)[:, np.newaxis]
    # columns of one length each: powers of a batch size differ by orders of magnitude
    lengths = np.linalg.norm(design * root, axis=0)
    scaled, _ = optimize.nnls(design * root / lengths, response * root[:, 0])
    coefficients: FloatArray = scaled / lengths
    return coefficients


def fit_free(design: FloatArray, responses: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted least squares without a constraint, for many responses at once.

    Args:
        design: Shape (observations, coefficients).
        responses: Shape (fits, observations).
        weights: Shape (observations,), above zero, the same for every fit.

    Returns:
        Coefficients, shape (fits, coefficients).
    """
    root = np.sqrt(weights)[:, np.newaxis]
    lengths = np.linalg.norm(design * root, axis=0)
    scaled, *_ = np.linalg.lstsq(design * root / lengths, responses.T * root, rcond=None)
    coefficients: FloatArray = scaled.T / lengths
    return coefficients


def fit_monotone(response: FloatArray, weights: FloatArray) -> FloatArray:
    """The non-decreasing values nearest to `response` by weighted least squares (pool adjacent violators)."""
    fitted: FloatArray = optimize.isotonic_regression(response, weights=weights).x
    return fitted


def corrected_akaike(weighted_squares: float, observations: int, parameters: int) -> float:
    """AICc of a least-squares fit with unknown variance: n ln(S/n) + 2k + 2k(k + 1)/(n - k - 1).

    C. M. Hurvich and C.-L. Tsai, "Regression and Time Series Model Selection in Small Samples", *Biometrika* 76, 1989.

    Args:
        weighted_squares: S, the weighted sum of squared residuals.
        observations: n.
        parameters: k, all that were estimated, the variance included.

    Returns:
        The criterion, lower is better; infinity when there are too few observations for so many parameters, and minus
        infinity for a perfect fit.
    """
    spare = observations - parameters - 1
    if spare <= 0:
        return math.inf
    if weighted_squares <= 0:
        return -math.inf
    penalty = 2 * parameters + 2 * parameters * (parameters + 1) / spare
    return observations * math.log(weighted_squares / observations) + penalty


def too_few_runs_p_value(residuals: FloatArray) -> float:
    """One-sided p-value of the runs test: do residuals of one sign stand together?

    Under a right model the signs come in random order. The chance of so few runs or fewer is counted exactly (A. Wald
    and J. Wolfowitz, "On a Test Whether Two Samples are from the Same Population", 1940). Zeros are left out.
    """
    signs = np.sign(residuals[residuals != 0])
    above = int(np.count_nonzero(signs > 0))
    below = signs.size - above
    if above == 0 or below == 0:
        return 1.0
    runs = 1 + int(np.count_nonzero(signs[1:] != signs[:-1]))
    ways = sum(_arrangements(above, below, count) for count in range(2, runs + 1))
    return ways / math.comb(signs.size, above)


def _arrangements(above: int, below: int, runs: int) -> int:
    """In how many orders `above` pluses and `below` minuses form exactly `runs` runs."""
    half, odd = divmod(runs, 2)
    if not odd:
        return 2 * math.comb(above - 1, half - 1) * math.comb(below - 1, half - 1)
    longer, shorter = math.comb(above - 1, half), math.comb(above - 1, half - 1)
    return longer * math.comb(below - 1, half - 1) + shorter * math.comb(below - 1, half)
