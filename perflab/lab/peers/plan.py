"""What is declared before anything is measured, and what was promised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from perflab.database.values import check_integer, check_number
from perflab.lab.sweep.plan import Engine
from perflab.lab.sweep.profiles import Profile

Measure = Literal["enqueue_each", "enqueue_bulk", "drain"]
MEASURES: Mapping[Measure, str] = {
    "enqueue_each": "enqueued one by one",
    "enqueue_bulk": "enqueued in bulk",
    "drain": "drained by one worker process",
}


@dataclass(frozen=True, slots=True)
class PeersPlan:
    """One run on one engine.

    Attributes:
        engine: Where all queues keep their jobs.
        blocks: Complete blocks: each visits every queue once, in an order of its own.
        jobs: Of the visit to a fast queue; slow ones get a part, as their cards say.
        singles: Of these, enqueued one by one; all where there is no bulk call.
        latency_jobs: Sent to an idle worker, of queues whose workers are woken; 0: none.
        interval_seconds: Between them.
        seed: Of the orders.

    Raises:
        InvalidInput: a value is out of its range.
    """

    engine: Engine
    blocks: int
    jobs: int
    singles: int
    latency_jobs: int
    interval_seconds: float = 0.02
    seed: int = 20130705

    def __post_init__(self) -> None:
        check_integer(self.blocks, "blocks", low=2, high=1_000)
        check_integer(self.jobs, "jobs", low=LEAST_JOBS, high=10_000_000)
        check_integer(self.singles, "singles", low=1, high=LEAST_JOBS - 1)
        check_integer(self.latency_jobs, "latency_jobs", low=0, high=1_000_000)
        check_number(self.interval_seconds, "interval_seconds", high=60.0, above_low=True)

    def jobs_for(self, slowness: int) -> int:
        """Of one visit to a queue that is so slow."""
        return max(self.jobs // slowness, LEAST_JOBS)


LEAST_JOBS = 200


def peers_plan(profile: Profile, *, engine: Engine, seed: int = 20130705) -> PeersPlan:
    """The plan of a profile: a proof that it works, some minutes, or a quarter of an hour."""
    if profile == "smoke":
        return PeersPlan(engine, blocks=2, jobs=LEAST_JOBS, singles=20, latency_jobs=20, seed=seed)
    blocks = 6 if profile == "quick" else 15
    return PeersPlan(engine, blocks=blocks, jobs=20_000, singles=150, latency_jobs=170, seed=seed)


@dataclass(frozen=True, slots=True)
class Promise:
    """How much faster than a peer perflab promises to be.

    Attributes:
        measure: Of what.
        peer: The name of its card.
        ours: The name of ours: the one with the same durability, and that does the same with finished jobs.
        factor: At least so many times.
    """

    measure: Measure
    peer: str
    ours: str
    factor: float


PROMISES = (
    Promise("drain", "procrastinate", "perflab", 80),
    Promise("drain", "chancy", "perflab", 12),
    Promise("drain", "pgqueuer", "perflab", 3),
    Promise("drain", "pgqueuer", "perflab, kept", 2),
    Promise("enqueue_bulk", "pgqueuer", "perflab", 1.3),
    Promise("drain", "huey", "perflab, full", 25),
    Promise("drain", "persist-queue", "perflab, full", 25),
    Promise("drain", "litequeue", "perflab, normal", 25),
)
