"""Additive increase, multiplicative decrease: no model, only a latency target."""

from __future__ import annotations

from dataclasses import dataclass

from perflab.batching.limits import LARGEST_BATCH
from perflab.batching.sizing.adaptive import AdaptivePolicy, Waiting
from perflab.batching.sizing.cost_estimator import CostEstimator
from perflab.batching.sizing.policy import Lesson, Observation, Surroundings
from perflab.batching.sizing.waits import Wait, in_ms
from perflab.database.values import check_integer, check_number


@dataclass(frozen=True, slots=True)
class AimdSizing:
    """Let batches grow by a constant while they are written in time, and shrink by a share when they are not.

    An item that comes just as a batch has left waits for that one and is then written itself, so a flush may take half
    of the target. Batches that were not full say nothing about a larger one, and do not let it grow. The method is that
    of D. Crankshaw and others, "Clipper: A Low-Latency Online Prediction Serving System", NSDI 2017, whose cut is
    small, too, because the best size moves little.

    Raises:
        InvalidInput: a value is out of its range.
    """

    latency_target: float = 0.020
    """Seconds that an item may take from its arrival to its result."""
    increase: int | None = None
    """Items by which a batch may grow; None: a fiftieth of the batch size of the limits."""
    decrease: float = 0.9
    """Factor after a flush that took too long. One that was refused for its size, or ran into a timeout, halves it."""
    wait: Wait = "self-clocking"
    patience: float | None = None
    """Fixed costs of a flush that may be spent on waiting; None: 4 for self-clocking, 1 for ski rental."""

    def __post_init__(self) -> None:
        self._waiting()
        if self.increase is not None:
            check_integer(self.increase, "increase", low=1, high=LARGEST_BATCH)
        check_number(self.decrease, "decrease", above_low=True, high=0.999)

    def _waiting(self) -> Waiting:
        return Waiting(self.latency_target, self.wait, self.patience)

    def start(self, surroundings: Surroundings) -> AdaptivePolicy:
        return AdaptivePolicy(_AimdRule(self, surroundings.limits.batch_size), self._waiting(), surroundings)


class _AimdRule:
    name = "aimd"

    def __init__(self, settings: AimdSizing, largest: int) -> None:
        self._budget = settings.latency_target / 2
        self._decrease = settings.decrease
        self._increase = settings.increase or max(1, largest // 50)
        self._largest = largest
        self._size = float(min(largest, self._increase))
        self._last: Observation | None = None

    def learn(self, observation: Observation, estimator: CostEstimator) -> None:  # noqa: ARG002  # there is no model
        size = int(self._size)
        if observation.lesson is Lesson.TOO_MUCH:
            self._size = max(1.0, min(self._size, observation.items / 2))
        elif observation.lesson is Lesson.COST and observation.seconds > self._budget:
            self._size = max(1.0, self._size * self._decrease)
        elif observation.lesson is Lesson.COST and observation.items >= size:
            self._size = min(float(self._largest), self._size + self._increase)
        else:
            return
        self._last = observation

    def choose(self, waiting: int, estimator: CostEstimator) -> int:  # noqa: ARG002
        return int(self._size)

    def reason(self, estimator: CostEstimator) -> str:  # noqa: ARG002
        size = int(self._size)
        bound = ", the batch_size that was stated" if size == self._largest else ""
        return f"Batches take up to {size:,} items{bound}: {self._last_flush()}, and {in_ms(self._budget)} are allowed."

    def _last_flush(self) -> str:
        last = self._last
        if last is None:
            return "no full one was written yet"
        if last.lesson is Lesson.TOO_MUCH:
            return f"one of {last.items:,} was too much"
        return f"the last one that taught something had {last.items:,} and took {in_ms(last.seconds)}"

    def probe(self, size: int, estimator: CostEstimator) -> int:  # noqa: ARG002
        return size
