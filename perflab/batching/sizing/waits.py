"""How long a batch waits for more items while the writer is idle. While it is busy, batches fill by themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from types import MappingProxyType
from typing import Literal, Protocol

from perflab.batching.sizing.policy import Target

Wait = Literal["self-clocking", "ski-rental", "interval"]
"""Names of the rules below."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What a wait is chosen from."""

    items: int
    """The most that the batch takes."""
    longest_seconds: float
    """The longest wait that the flush interval and the latency target allow."""
    fixed_cost_seconds: float | None
    """alpha, as fitted; None while it is not known."""
    arrivals_per_second: float | None
    most_pending: float
    """The most items that were pending at once lately."""
    patience: float
    """Fixed costs that may be spent on waiting."""


class WaitRule(Protocol):
    """A way to wait."""

    def target(self, situation: Situation) -> Target:
        """The target with the most that the batch takes, and the wait."""

    def reason(self, situation: Situation) -> str:
        """Why it waits that long, in a sentence."""


class SelfClocking:
    """Send at once, unless others are expected within so many fixed costs; then gather them first.

    Under load the writer itself is the clock: while it writes, the next batch fills, up to rate * alpha/(1 - rate *
    beta) items. The wait comes on top of that and bounds the share of the writer's time that goes into fixed costs:
    with a patience of 4 it is a quarter. No more items are waited for than were pending at once lately: where all of
    some threads wait for their results, nobody is left who could send another one.
    """

    def target(self, situation: Situation) -> Target:
        wait, enough = self._wait(situation), self._enough(situation)
        return Target(situation.items, enough, wait if enough > 1 else 0.0)

    def reason(self, situation: Situation) -> str:
        wait, enough = self._wait(situation), self._enough(situation)
        if not wait:
            return "An idle writer sends at once, because nothing is known yet that it should wait for."
        expected = f"{wait * (situation.arrivals_per_second or 0.0):.2g} more are expected in {in_ms(wait)}"
        pending = f", and no more than {ceil(situation.most_pending):,} were pending at once lately"
        if enough == 1:
            return f"An idle writer sends at once: {expected}{pending}."
        return f"An idle writer waits for {enough:,} items, at the longest {in_ms(wait)}: {expected}{pending}."

    def _wait(self, situation: Situation) -> float:
        return min(situation.longest_seconds, situation.patience * (situation.fixed_cost_seconds or 0.0))

    def _enough(self, situation: Situation) -> int:
        expected = self._wait(situation) * (situation.arrivals_per_second or 0.0)
        return max(1, min(situation.items, 1 + int(expected), ceil(situation.most_pending)))


class SkiRental:
    """Send when the summed age of what waits reaches the fixed cost of a flush.

    Whatever the arrivals do, fixed costs and waiting together are at most twice what a clairvoyant would have paid.
    Source: D. R. Dooly, S. A. Goldman and S. D. Scott, "On-line analysis of the TCP acknowledgment delay problem",
    JACM 48, 2001.
    """

    def target(self, situation: Situation) -> Target:
        if situation.fixed_cost_seconds is None:
            return Target(situation.items, 1, 0.0)
        bound = situation.patience * situation.fixed_cost_seconds
        return Target(situation.items, situation.items, situation.longest_seconds, bound)

    def reason(self, situation: Situation) -> str:
        if situation.fixed_cost_seconds is None:
            return "An idle writer sends at once, because the fixed cost of a flush is not known yet."
        bound = situation.patience * situation.fixed_cost_seconds
        times = f"{situation.patience:.3g} times the fixed cost of a flush"
        return f"They leave when the ages of all that waits add up to {in_ms(bound)}, {times}."


class Interval:
    """Wait for a full batch as long as the flush interval and the latency target allow."""

    def target(self, situation: Situation) -> Target:
        return Target(situation.items, situation.items, situation.longest_seconds)

    def reason(self, situation: Situation) -> str:
        return f"They wait up to {in_ms(situation.longest_seconds)}."


PATIENCE: Mapping[Wait, float] = MappingProxyType({"self-clocking": 4.0, "ski-rental": 1.0, "interval": 0.0})
"""The patience of each rule where none is stated."""

RULES: Mapping[Wait, WaitRule] = MappingProxyType(
    {"self-clocking": SelfClocking(), "ski-rental": SkiRental(), "interval": Interval()}
)


def in_ms(seconds: float) -> str:
    """`"0.212 ms"`."""
    return f"{seconds * 1e3:.3g} ms"
