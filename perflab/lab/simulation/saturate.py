"""A policy alone under an endless backlog: every batch is full, and only flushes are counted."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from perflab.batching.limits import Limits
from perflab.batching.sizing.choice import SizingChoice, start_sizing
from perflab.batching.sizing.policy import Demand, Explanation, Lesson, Observation
from perflab.lab.simulation.server import SimulatedServer


@dataclass(frozen=True, slots=True)
class SaturatedFlush:
    """One flush."""

    left: float
    """Virtual seconds."""
    size: int
    """What the policy asked for."""
    seconds: float


@dataclass(frozen=True, slots=True)
class SaturatedRun:
    """What a policy asked for, flush by flush, and what it made of it."""

    flushes: tuple[SaturatedFlush, ...]
    explanation: Explanation

    def sizes(self, *, after: int = 0, window: int = 8) -> list[int]:
        """The largest size of each window of flushes: the policy's size, without the smaller ones that probe."""
        asked = [flush.size for flush in self.flushes[after:]]
        return [max(asked[i : i + window]) for i in range(0, len(asked) - window + 1, window)]


def saturate(
    server: SimulatedServer,
    limits: Limits,
    sizing: SizingChoice,
    *,
    flushes: int,
    waiting: int = 0,
    seed: int = 1,
) -> SaturatedRun:
    """Ask a policy for targets and let the server take full batches of that size.

    Args:
        server: what flushes cost.
        limits: of the batcher.
        sizing: as for a `RequestBatcher`.
        flushes: how many.
        waiting: items that the policy is told to be waiting; with many, latency is lost and only throughput counts.
        seed: of the chance that the policy uses.
    """
    policy = start_sizing(sizing, limits, Random(seed).random)
    now, arrived = 0.0, 0
    done: list[SaturatedFlush] = []
    for _ in range(flushes):
        items = policy.target(Demand(now, arrived, waiting)).items
        seconds = server.seconds(items, now)
        done.append(SaturatedFlush(now, items, seconds))
        now, arrived = now + seconds, arrived + items
        policy.observe(Observation(items, 0, seconds, Lesson.COST if server.takes(items) else Lesson.TOO_MUCH))
    return SaturatedRun(tuple(done), policy.explain())
