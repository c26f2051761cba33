"""The smallest batch near the best throughput, from a cost that is fitted on line, within a latency target."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from perflab.batching.sizing.adaptive import AdaptivePolicy, Waiting
from perflab.batching.sizing.cost_estimator import CostEstimator
from perflab.batching.sizing.least_squares import Fit
from perflab.batching.sizing.policy import Lesson, Observation, Surroundings
from perflab.batching.sizing.polynomial_cost import PolynomialCost, check_efficiency
from perflab.batching.sizing.reach import Reach
from perflab.batching.sizing.waits import Wait, in_ms

FIRST_ITEMS = 64
"""The first batch, before anything is known."""
P99 = 2.326
"""Standard deviations above the mean that one in a hundred exceeds."""
ENOUGH_VARIATION = 0.5
"""Coefficient of variation of the sizes from which on the load itself shows what sizes cost."""
PROBE_CHANCE = 1 / 8
SMALLEST_PROBE = 1 / 8
LARGEST_PROBE = 1 / 2
"""Sizes of probes, as shares: small batches cost little, and tell the fixed cost from that of the items."""
NEAR = 4.0
"""Factor of the present size within which batches grow with care towards the efficient one."""
FALL = 1.25
"""Factor by which a size may fall from one batch to the next where only throughput asks for it."""


@dataclass(frozen=True, slots=True)
class CostModelSizing:
    """Fit what a flush costs, and take the smallest batch near the best throughput within the latency target.

    The cost is T(b) = alpha + beta b + bend b^2, by least squares over the flushes that were written at the first
    attempt. The size is the smallest with a share `efficiency` of the best throughput, and stays while it cannot be
    told from that by one standard error. An item that comes just as a batch has left waits for that one and is then
    written itself, so the p99 of a flush must stay within half of the target; the noise of the fit says what the p99
    is. Where more waits than such a batch takes, that no longer helps: items are written in their order, and in smaller
    batches the last of them would only be later.

    Full batches let it grow towards that size, far from it to twice of what was written, near to it by a quarter. Where
    sizes would not vary, one batch in eight is smaller than it might be.

    Raises:
        InvalidInput: a value is out of its range.
    """

    latency_target: float = 0.020
    """Seconds that an item may take from its arrival to its result."""
    efficiency: float = 0.97
    """Share of the best throughput that a batch must have."""
    wait: Wait = "self-clocking"
    patience: float | None = None
    """Fixed costs of a flush that may be spent on waiting; None: 4 for self-clocking, 1 for ski rental."""

    def __post_init__(self) -> None:
        self._waiting()
        check_efficiency(self.efficiency)

    def _waiting(self) -> Waiting:
        return Waiting(self.latency_target, self.wait, self.patience)

    def start(self, surroundings: Surroundings) -> AdaptivePolicy:
        rule = _CostModelRule(self, surroundings.limits.batch_size, surroundings.random)
        return AdaptivePolicy(rule, self._waiting(), surroundings)


class _CostModelRule:
    name = "cost model"

    def __init__(self, settings: CostModelSizing, largest: int, random: Callable[[], float]) -> None:
        self._budget = settings.latency_target / 2
        self._efficiency = settings.efficiency
        self._random = random
        self._reach = Reach(min(largest, FIRST_ITEMS), largest)
        self._size = self._reach.items
        self._choice = _Choice(math.inf)
        self._changes = 0

    def learn(self, observation: Observation, estimator: CostEstimator) -> None:
        if estimator.changes > self._changes:
            self._changes = estimator.changes
            self._reach.was_changed(self._size)
        if observation.lesson is Lesson.TOO_MUCH:
            self._reach.was_too_much(observation.items)
        elif observation.lesson is Lesson.COST and observation.items >= self._size:
            self._reach.was_written(observation.items, near=self._choice.items < NEAR * self._size)

    def choose(self, waiting: int, estimator: CostEstimator) -> int:
        fit = estimator.fit
        if fit is None:
            self._choice = self._blind(estimator, waiting)
        else:
            self._choice = self._informed(fit, estimator.noise, waiting)
        self._size = int(min(self._reach.items, max(1.0, self._choice.items)))
        return self._size

    def reason(self, estimator: CostEstimator) -> str:
        choice = self._choice
        size = f"Batches take up to {self._size:,} items"
        if self._size == self._reach.items and choice.items > self._size:
            size = f"{size}, {self._reach.reason}"
        if estimator.fit is None:
            return f"{size}. The fixed cost of a flush cannot be told from that of its items yet."
        cost = estimator.fit.cost
        rising = f", rising by {in_ms(cost.bend)} with each" if cost.bend else ""
        known = f"A flush costs {in_ms(cost.alpha)} and {in_ms(cost.beta)} per item{rising}"
        best = f"{_count(choice.efficient)} have {self._efficiency:.0%} of the best throughput"
        return f"{size}. {known}; {best}{self._limit(choice)}."

    def _limit(self, choice: _Choice) -> str:
        """What the latency target makes of the best size."""
        if choice.efficient <= choice.within:
            return f", and their p99 is under {in_ms(self._budget)}"
        if choice.waiting:
            return f", and {choice.waiting:,} wait, the last of which smaller ones would only make later"
        if choice.within < 1:
            return f", but the fixed cost alone leaves no room under {in_ms(self._budget)}: no size meets the target"
        return f", but more than {_count(choice.within)} would have a p99 over {in_ms(self._budget)}"

    def probe(self, size: int, estimator: CostEstimator) -> int:
        if estimator.spread >= ENOUGH_VARIATION or self._random() >= PROBE_CHANCE:
            return size
        share = SMALLEST_PROBE * (LARGEST_PROBE / SMALLEST_PROBE) ** self._random()
        return max(1, int(size * share))

    def _blind(self, estimator: CostEstimator, waiting: int) -> _Choice:
        """Before there is a fit: no more than the last costs per item allow, which fall as batches grow."""
        per_item = estimator.recent_seconds_per_item
        allowed = self._budget / per_item if per_item else math.inf
        return _Choice(allowed if waiting <= allowed else math.inf)

    def _informed(self, fit: Fit, noise: float, waiting: int) -> _Choice:
        cost = fit.cost
        efficient = self._held(fit)
        within = cost.largest_within(self._budget / math.exp(P99 * noise))
        if efficient <= within:
            return _Choice(efficient, efficient, within)
        # Where no size meets the target, half of the best throughput takes twice the least time.
        items = within if within >= 1 else min(efficient, cost.batch_for_efficiency(0.5), float(self._reach.items))
        if waiting > items:
            return _Choice(efficient, efficient, within, waiting)
        return _Choice(items, efficient, within)

    def _held(self, fit: Fit) -> float:
        """The efficient size; the present one while it cannot be told from it by one standard error of alpha.

        The optimum is flat and its estimate never rests, so that a size that follows it would not rest either.
        """
        cost = fit.cost
        least = cost.batch_for_efficiency(self._efficiency)
        if self._size <= least:
            return least
        cautious = PolynomialCost(cost.alpha + fit.alpha_error, cost.beta, cost.bend)
        most = cautious.batch_for_efficiency(self._efficiency)
        return max(min(float(self._size), most), self._size / FALL)


@dataclass(frozen=True, slots=True)
class _Choice:
    """A size, and what it was chosen from."""

    items: float
    efficient: float = math.inf
    """Items with the share of the best throughput that is asked for."""
    within: float = math.inf
    """Items that are written in time."""
    waiting: int = 0
    """Items that wait, where there are too many to care for latency."""


def _count(items: float) -> str:
    return f"{items:,.0f} items" if math.isfinite(items) else "only endless batches"
