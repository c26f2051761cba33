"""Batches of the size and the interval that were stated, whatever they cost."""

from __future__ import annotations

from dataclasses import dataclass

from perflab.batching.limits import Limits
from perflab.batching.sizing.policy import Demand, Explanation, Observation, Surroundings, Target
from perflab.batching.sizing.waits import in_ms


@dataclass(frozen=True, slots=True)
class FixedSizing:
    """Leave at `batch_size` items, or when the oldest is `flush_interval` old."""

    def start(self, surroundings: Surroundings) -> FixedPolicy:
        return FixedPolicy(surroundings.limits)


class FixedPolicy:
    """See `FixedSizing`."""

    def __init__(self, limits: Limits) -> None:
        self._target = Target(limits.batch_size, limits.batch_size, limits.flush_interval)

    def target(self, demand: Demand) -> Target:  # noqa: ARG002  # whatever is wanted
        return self._target

    def observe(self, observation: Observation) -> None:
        """Nothing is learned."""

    def explain(self) -> Explanation:
        return Explanation(
            sizing="fixed",
            target=self._target,
            size_reason=f"Batches take up to {self._target.items:,} items, as stated.",
            wait_reason=f"They wait up to {in_ms(self._target.wait_seconds)}, as stated.",
        )
