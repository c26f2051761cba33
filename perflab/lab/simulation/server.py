"""A server that takes alpha + beta b + bend b^2 seconds for a flush, with noise, stalls and changes."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from perflab.batching.sizing.polynomial_cost import PolynomialCost
from perflab.database.values import check_number
from perflab.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Regime:
    """What flushes cost from some time on."""

    start_seconds: float
    cost: PolynomialCost


class SimulatedServer:
    """Says how long each flush takes.

    Args:
        regimes: a cost for the whole run, or costs with the times from which they hold; the first from 0.
        noise: standard deviation of the logarithm of the time of flushes of one size. The cost is the median.
        stall_chance: of each flush, to take `stall_seconds` longer, as where a checkpoint is written.
        stall_seconds: see there.
        too_much_items: larger batches run into a timeout: they take the time that so many take, and write nothing.
        random: where chance comes from.

    Raises:
        InvalidInput: a value is out of its range, or the regimes are not in order.
    """

    def __init__(
        self,
        regimes: PolynomialCost | Sequence[Regime],
        *,
        noise: float = 0.0,
        stall_chance: float = 0.0,
        stall_seconds: float = 0.0,
        too_much_items: float = math.inf,
        random: Random,
    ) -> None:
        regimes = [Regime(0.0, regimes)] if isinstance(regimes, PolynomialCost) else list(regimes)
        self._starts = [regime.start_seconds for regime in regimes]
        if not regimes or self._starts != sorted(self._starts) or self._starts[0] != 0:
            raise InvalidInput(f"the regimes start at {self._starts}: the first starts at 0, and the others in order")
        self._costs = [regime.cost for regime in regimes]
        self._noise = check_number(noise, "noise")
        self._stall_chance = check_number(stall_chance, "stall_chance", high=1.0)
        self._stall_seconds = check_number(stall_seconds, "stall_seconds")
        self._too_much_items = too_much_items
        self._random = random

    def cost(self, now: float) -> PolynomialCost:
        """What flushes cost at a time, without noise."""
        return self._costs[bisect_right(self._starts, now) - 1]

    def takes(self, items: int) -> bool:
        """Whether a batch of that size gets through."""
        return items <= self._too_much_items

    def seconds(self, items: int, now: float) -> float:
        """How long a flush takes that begins now."""
        median = self.cost(now).seconds(min(items, self._too_much_items))
        seconds = median * math.exp(self._random.gauss(0.0, self._noise)) if self._noise else median
        if self._stall_chance and self._random.random() < self._stall_chance:
            seconds += self._stall_seconds
        return seconds
