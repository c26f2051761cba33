"""What all policies that learn have in common: the cost, the load and the wait. They differ in the size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, get_args

from perflab.batching.sizing.arrival_rate import ArrivalRate
from perflab.batching.sizing.cost_estimator import CostEstimator
from perflab.batching.sizing.policy import Demand, Explanation, Lesson, Observation, Surroundings, Target
from perflab.batching.sizing.waits import PATIENCE, RULES, Situation, Wait
from perflab.database.values import check_number
from perflab.errors import InvalidInput

SHORTEST_FLUSH_SECONDS = 1e-9
LONGEST_FLUSH_SECONDS = 86_400.0
FORGET_PENDING = 0.9
"""What a flush leaves of the most that was pending: threads that have gone are not waited for much longer."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How an adaptive policy waits.

    Raises:
        InvalidInput: a value is out of its range.
    """

    latency_target: float
    """Seconds that an item may take from its arrival to its result."""
    wait: Wait
    patience: float | None = None
    """Fixed costs of a flush that may be spent on waiting: by the age of the oldest item, or of all with ski rental.
    None: that of the rule, 4 for self-clocking and 1 for ski rental."""

    def __post_init__(self) -> None:
        check_number(self.latency_target, "latency_target", above_low=True)
        if self.patience is not None:
            check_number(self.patience, "patience", high=1_000.0)
        if self.wait not in get_args(Wait):
            raise InvalidInput(f"wait is {self.wait!r}: use one of {', '.join(map(repr, get_args(Wait)))}")


class SizeRule(Protocol):
    """Chooses how many items a batch may take."""

    name: str

    def learn(self, observation: Observation, estimator: CostEstimator) -> None:
        """Take in one flush, which the estimator has taken in already."""

    def choose(self, waiting: int, estimator: CostEstimator) -> int:
        """The size, from 1 to the batch size of the limits, for so many items that wait."""

    def reason(self, estimator: CostEstimator) -> str:
        """Why the last size was chosen, in a sentence."""

    def probe(self, size: int, estimator: CostEstimator) -> int:
        """The size for the next batch alone: now and then another one, where sizes would not vary otherwise."""


class AdaptivePolicy:
    """A `SizingPolicy` of a size rule and a wait rule."""

    def __init__(self, rule: SizeRule, waiting: Waiting, surroundings: Surroundings) -> None:
        self._rule = rule
        self._waiting = waiting
        self._flush_interval = surroundings.limits.flush_interval
        # Whoever writes while nothing arrives cannot be its own clock: in inline mode only a wait makes batches.
        wait: Wait = waiting.wait if surroundings.writes_while_filling else "interval"
        self._wait_rule = RULES[wait]
        self._patience = PATIENCE[wait] if waiting.patience is None else waiting.patience
        self._estimator = CostEstimator()
        self._rate = ArrivalRate()
        self._written = 0
        self._most_pending = 0.0
        self._situation = Situation(1, 0.0, None, None, 0.0, self._patience)
        self._target = Target(1, 1, 0.0)

    def observe(self, observation: Observation) -> None:
        """Learn from one flush."""
        self._written = observation.items
        seconds = observation.seconds
        if observation.lesson is Lesson.COST:
            if not seconds <= LONGEST_FLUSH_SECONDS:  # no number, or a clock that was set
                return
            if seconds >= SHORTEST_FLUSH_SECONDS:  # otherwise the clock stood still, or is too coarse
                self._estimator.observe(observation.items, seconds)
        self._rule.learn(observation, self._estimator)

    def target(self, demand: Demand) -> Target:
        """The target for the next batch."""
        self._rate.update(demand.arrived, demand.now)
        self._most_pending = max(self._most_pending * FORGET_PENDING, self._written + demand.waiting)
        size = self._rule.choose(demand.waiting, self._estimator)
        items = self._rule.probe(size, self._estimator)
        fit = self._estimator.fit
        written = fit.cost.seconds(items) if fit else 0.0
        self._situation = Situation(
            items=items,
            longest_seconds=min(self._flush_interval, max(0.0, self._waiting.latency_target - written)),
            fixed_cost_seconds=fit.cost.alpha if fit else None,
            arrivals_per_second=self._rate.per_second,
            most_pending=self._most_pending,
            patience=self._patience,
        )
        self._target = self._wait_rule.target(self._situation)
        return self._target

    def explain(self) -> Explanation:
        """Why the last target is what it is."""
        fit = self._estimator.fit
        return Explanation(
            sizing=self._rule.name,
            target=self._target,
            size_reason=self._rule.reason(self._estimator),
            wait_reason=self._wait_rule.reason(self._situation),
            flushes_learned=self._estimator.learned,
            alpha_seconds=fit.cost.alpha if fit else None,
            beta_seconds=fit.cost.beta if fit else None,
            bend_seconds=fit.cost.bend if fit else None,
            noise=self._estimator.noise if fit else None,
            arrivals_per_second=self._rate.per_second,
            cost_changes=self._estimator.changes,
        )
