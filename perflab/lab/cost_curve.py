"""What a flush of so many items costs: the curve alone, without its uncertainty."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from perflab.errors import InvalidInput
from perflab.lab.statistics.inputs import require_fraction


class Form(enum.StrEnum):
    """The shape of a cost curve, simplest first."""

    LINE = "line"
    BENT = "bent"
    ISOTONIC = "isotonic"


class CostCurve(Protocol):
    """Seconds per flush as a function of its items, and what follows from it."""

    def seconds(self, batch: float) -> float:
        """Cost of one flush of `batch` items."""

    @property
    def best_batch(self) -> float:
        """The batch with the highest throughput; infinity when throughput only approaches its limit."""

    @property
    def best_throughput(self) -> float:
        """Items per second at `best_batch`, or the limit."""

    def batch_for_efficiency(self, efficiency: float) -> float:
        """The smallest batch, at least one, with a share `efficiency` of the best throughput."""


@dataclass(frozen=True, slots=True)
class InterpolatedCost:
    """Costs at measured sizes, joined by straight lines; nothing is claimed outside of them.

    Attributes:
        batch_sizes: Items, rising.
        seconds_at_sizes: Seconds per flush at each size, never falling.
    """

    batch_sizes: tuple[float, ...]
    seconds_at_sizes: tuple[float, ...]

    def seconds(self, batch: float) -> float:
        """Cost of one flush of `batch` items.

        Raises:
            InvalidInput: The batch lies outside the measured sizes.
        """
        _require_batch(batch)
        for (left, cost_left), (right, cost_right) in pairwise(self._knots):
            if left <= batch <= right:
                return cost_left + (cost_right - cost_left) * (batch - left) / (right - left)
        raise InvalidInput(
            f"The cost of {batch:g} items is not known: it follows no formula, and was measured from "
            f"{self.batch_sizes[0]:g} to {self.batch_sizes[-1]:g} items. Measure that size."
        )

    @property
    def best_batch(self) -> float:
        """The measured size with the highest throughput, the smallest of them: between sizes it is never higher."""
        return max(self._knots, key=lambda knot: knot[0] / knot[1])[0]

    @property
    def best_throughput(self) -> float:
        """Items per second at `best_batch`."""
        return max(size / cost for size, cost in self._knots)

    def batch_for_efficiency(self, efficiency: float) -> float:
        """The smallest batch within the measured sizes with a share `efficiency` of the best throughput there.

        Raises:
            InvalidInput: The efficiency is outside (0, 1).
        """
        require_fraction(efficiency, "efficiency")
        wanted = efficiency * self.best_throughput
        first_size, first_cost = self._knots[0]
        if first_size / first_cost >= wanted:
            return first_size
        left, cost_left, right, cost_right = next(
            (left, cost_left, right, cost_right)
            for (left, cost_left), (right, cost_right) in pairwise(self._knots)
            if right / cost_right >= wanted
        )
        slope = (cost_right - cost_left) / (right - left)
        return wanted * (cost_left - slope * left) / (1 - wanted * slope)

    @property
    def _knots(self) -> list[tuple[float, float]]:
        return list(zip(self.batch_sizes, self.seconds_at_sizes, strict=True))


def _require_batch(batch: float) -> None:
    if not 0 < batch < math.inf:
        raise InvalidInput(f"A batch has a finite number of items above zero, got {batch!r}.")
