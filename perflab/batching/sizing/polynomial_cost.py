"""What a flush of so many items costs, as a polynomial, and what follows from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from perflab.database.values import check_number
from perflab.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class PolynomialCost:
    """alpha + beta b + bend b^2 seconds for a flush of b items; none of them negative.

    Attributes:
        alpha: Seconds per flush.
        beta: Seconds per item.
        bend: Seconds per item squared: caches and sorts that grow faster than the batch. 0 for a line.
    """

    alpha: float
    beta: float
    bend: float = 0.0

    def seconds(self, batch: float) -> float:
        """Cost of one flush of `batch` items.

        Raises:
            InvalidInput: The batch is not finite and above zero.
        """
        check_number(batch, "batch", above_low=True)
        return self.alpha + self.beta * batch + self.bend * batch**2

    @property
    def best_batch(self) -> float:
        """sqrt(alpha/bend), where the fixed share saved equals the bend paid; infinity for a line."""
        return math.sqrt(self.alpha / self.bend) if self.bend else math.inf

    @property
    def best_throughput(self) -> float:
        """1/(beta + 2 sqrt(alpha bend)); the limit 1/beta for a line."""
        dearest = self.beta + 2 * math.sqrt(self.alpha * self.bend)
        return 1 / dearest if dearest else math.inf

    def batch_for_efficiency(self, efficiency: float) -> float:
        """The smallest batch with a share `efficiency` of the best throughput.

        For a line e/(1 - e) alpha/beta. With a bend, the smaller root of b/T(b) = e X. Infinity when the cost per item
        is zero, because throughput then has no limit.

        Raises:
            InvalidInput: The efficiency is outside (0, 1).
        """
        check_efficiency(efficiency)
        slope = 1 / (efficiency * self.best_throughput) - self.beta
        if slope <= 0:
            return math.inf
        # the root in the form that also holds for bend = 0
        root = 2 * self.alpha / (slope + math.sqrt(max(0.0, slope**2 - 4 * self.alpha * self.bend)))
        return max(1.0, root)

    def largest_within(self, seconds: float) -> float:
        """The largest batch that is written within so many seconds; 0 where the fixed cost alone takes them."""
        left = seconds - self.alpha
        if left <= 0:
            return 0.0
        divisor = self.beta + math.sqrt(self.beta**2 + 4 * self.bend * left)
        return 2 * left / divisor if divisor else math.inf


def check_efficiency(efficiency: float) -> float:
    """Refuse what is not a share of the best throughput that some batch can have: 0 < efficiency < 1."""
    if not 0 < efficiency < 1:
        raise InvalidInput(f"efficiency must lie between 0 and 1, for example 0.95; got {efficiency!r}")
    return efficiency
