"""The fleet's settings as a sizing: whatever a policy chooses, within what the fleet allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from perflab.batching.fleet.settings import FleetSettings
from perflab.batching.sizing.choice import SizingChoice, start_sizing
from perflab.batching.sizing.policy import Demand, Explanation, Observation, SizingPolicy, Surroundings, Target
from perflab.batching.sizing.waits import in_ms


@dataclass(frozen=True, slots=True)
class FleetSizing:
    """A sizing within the settings of a fleet, which may change at any time."""

    settings: Callable[[], FleetSettings]
    """The present ones."""
    within: SizingChoice = "fixed"
    """What chooses as long as they allow it."""

    def start(self, surroundings: Surroundings) -> FleetPolicy:
        policy = start_sizing(
            self.within,
            surroundings.limits,
            surroundings.random,
            writes_while_filling=surroundings.writes_while_filling,
        )
        return FleetPolicy(policy, self.settings, surroundings.random)


class FleetPolicy:
    """See `FleetSizing`."""

    def __init__(
        self, policy: SizingPolicy, settings: Callable[[], FleetSettings], random: Callable[[], float]
    ) -> None:
        self._policy = policy
        self._settings = settings
        self._random = random
        self._followed = FleetSettings()
        self._target = Target(1, 1, 0.0)

    def target(self, demand: Demand) -> Target:
        chosen = self._policy.target(demand)
        self._followed = settings = self._settings()
        items = chosen.items if settings.batch_size is None else min(chosen.items, settings.batch_size)
        wait = chosen.wait_seconds
        if settings.flush_interval is not None:
            wait = min(wait, settings.flush_interval)
        if settings.jitter:
            wait *= 1.0 - settings.jitter * self._random()
        self._target = replace(chosen, items=items, enough=min(chosen.enough, items), wait_seconds=wait)
        return self._target

    def observe(self, observation: Observation) -> None:
        self._policy.observe(observation)

    def explain(self) -> Explanation:
        explanation = self._policy.explain()
        size_reason, wait_reason = explanation.size_reason, explanation.wait_reason
        if self._target.items < explanation.target.items:
            size_reason += f" The fleet allows {self._target.items:,}."
        if self._target.wait_seconds < explanation.target.wait_seconds:
            wait_reason += f" The fleet's settings make that {in_ms(self._target.wait_seconds)}"
            wait_reason += ", jitter included." if self._followed.jitter else "."
        return replace(
            explanation,
            sizing=f"{explanation.sizing} in a fleet",
            target=self._target,
            size_reason=size_reason,
            wait_reason=wait_reason,
        )
