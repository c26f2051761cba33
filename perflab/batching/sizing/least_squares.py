"""Exponentially weighted least squares of flush times on powers of the batch size, with relative errors.

Only sums are kept, so that a flush costs the same however many came before. Each observation weighs 1/T^2 of the time
that was expected for it: a flush of 10 s is not known better to the millisecond than one of 10 ms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from perflab.batching.sizing.polynomial_cost import PolynomialCost

WORTH_A_PARAMETER = 4.0
"""A bend must lower n ln(RSS) by more than this: 2 for its parameter, and 2 more before a difference counts (K. P.
Burnham and D. R. Anderson, *Model Selection*, section 2.6)."""
SMALLEST_RELATIVE_ERROR = 1e-6
"""Below it, residuals are the rounding of sums."""

_LINES: tuple[tuple[int, ...], ...] = ((0, 1), (0,), (1,))
_BENDS: tuple[tuple[int, ...], ...] = ((0, 1, 2), (0, 2), (1, 2))


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted cost."""

    cost: PolynomialCost
    noise: float
    """Standard deviation of a relative residual."""
    alpha_error: float
    """Standard error of alpha, in seconds."""


@dataclass(frozen=True, slots=True)
class _Solution:
    coefficients: tuple[float, float, float]
    squares: float
    alpha_variance: float
    """In units of the variance of the noise."""


class CostSums:
    """The sums of one regression.

    Args:
        half_life: flushes after which an observation has half its weight.
    """

    def __init__(self, half_life: float) -> None:
        self._keep: float = 0.5 ** (1 / half_life)
        self._count = 0.0
        self._sizes = self._squared_sizes = 0.0
        self._powers = [0.0] * 5  # of b, weighted: the normal matrix
        self._products = [0.0] * 3  # of b^k t, weighted: the right-hand side
        self._squared_times = 0.0

    @property
    def count(self) -> float:
        """Effective number of observations."""
        return self._count

    @property
    def spread(self) -> float:
        """Coefficient of variation of the batch sizes: without some, fixed and variable cost cannot be told apart."""
        if self._count < 1:
            return 0.0
        mean = self._sizes / self._count
        return math.sqrt(max(0.0, self._squared_sizes / self._count - mean * mean)) / mean

    @property
    def usual_items(self) -> float:
        """Two standard deviations above the mean size: what is larger is beyond what the fit was made from."""
        return self._sizes / self._count * (1 + 2 * self.spread) if self._count else 0.0

    def add(self, items: int, seconds: float, expected: float) -> None:
        """Add the time of one flush.

        Args:
            items: of the batch, at least 1.
            seconds: it took, above 0.
            expected: seconds that it should have taken; its own time where nothing is expected yet.
        """
        keep, weight, size = self._keep, 1 / (expected * expected), float(items)
        self._count = self._count * keep + 1
        self._sizes = self._sizes * keep + size
        self._squared_sizes = self._squared_sizes * keep + size * size
        power = weight
        for degree in range(5):
            self._powers[degree] = self._powers[degree] * keep + power
            if degree < 3:
                self._products[degree] = self._products[degree] * keep + power * seconds
            power *= size
        self._squared_times = self._squared_times * keep + weight * seconds * seconds

    def fit(self) -> Fit:
        """The best cost with no negative coefficient. There must be observations of more than one size."""
        line = min(self._solutions(_LINES), key=lambda solution: solution.squares)
        best = line
        bends = self._solutions(_BENDS)
        if bends:
            bent = min(bends, key=lambda solution: solution.squares)
            if self._count * math.log(line.squares / bent.squares) > WORTH_A_PARAMETER:
                best = bent
        parameters = sum(coefficient > 0 for coefficient in best.coefficients)
        noise = math.sqrt(best.squares / max(1.0, self._count - parameters))
        return Fit(PolynomialCost(*best.coefficients), noise, noise * math.sqrt(best.alpha_variance))

    def _solutions(self, supports: Sequence[tuple[int, ...]]) -> list[_Solution]:
        """Least squares on each set of powers, where it has no negative coefficient.

        The best of all sets is the best under the constraint, because there its set is that of the positive ones.
        """
        found = [self._solve(support) for support in supports]
        return [solution for solution in found if solution is not None]

    def _solve(self, support: tuple[int, ...]) -> _Solution | None:
        # In units of the typical size all columns are of one length: the matrix is as well-conditioned as it can be.
        unit = math.sqrt(self._powers[2] / self._powers[0])
        matrix = [[self._powers[i + j] / unit ** (i + j) for j in support] for i in support]
        right = [self._products[i] / unit**i for i in support]
        inverse = _inverse(matrix)
        if inverse is None:
            return None
        scaled = [sum(a * b for a, b in zip(row, right, strict=True)) for row in inverse]
        if min(scaled) < 0:
            return None
        explained = sum(a * b for a, b in zip(scaled, right, strict=True))
        least = self._count * SMALLEST_RELATIVE_ERROR**2
        coefficients = [0.0, 0.0, 0.0]
        for power, value in zip(support, scaled, strict=True):
            coefficients[power] = value / unit**power
        # Where alpha was held at zero it is no better known than the line says.
        variance = inverse[0][0] if support[0] == 0 else 1 / self._powers[0]
        a, b, c = coefficients
        return _Solution((a, b, c), max(least, self._squared_times - explained), variance)


def _inverse(matrix: list[list[float]]) -> list[list[float]] | None:
    """Of a small symmetric positive definite matrix, by Gauss and Jordan; None where it is singular."""
    size = len(matrix)
    rows = [[*row, *(float(i == j) for j in range(size))] for i, row in enumerate(matrix)]
    for i in range(size):
        if rows[i][i] <= 1e-9 * matrix[i][i]:
            return None
        pivot = rows[i][i]
        rows[i] = [value / pivot for value in rows[i]]
        for j in range(size):
            if j != i and rows[j][i]:
                factor = rows[j][i]
                rows[j] = [value - factor * above for value, above in zip(rows[j], rows[i], strict=True)]
    return [row[size:] for row in rows]
