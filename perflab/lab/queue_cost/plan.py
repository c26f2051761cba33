"""What is declared before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from perflab.database.pools import Durability
from perflab.database.values import check_integer
from perflab.errors import InvalidInput
from perflab.lab.sweep.plan import Engine
from perflab.lab.sweep.profiles import Profile

QUEUE = "flights"
PRIORITIES = 4
"""Of the rows that the database makes: they take turns."""
CLAIM_LIMIT = 100
SMALLEST_DEPTH = 10_000
MOST_READY = 10_000_000


class Handler(StrEnum):
    """What the handler of a job does."""

    NOTHING = "does nothing"
    """The queue is all there is to do, and shares the cores with its workers."""
    WAITS = "waits"
    """As one does that asks another service: it sleeps, and needs no core."""


class Hold(StrEnum):
    """Whether somebody else looks at the database as it was."""

    BEFORE = "before"
    HELD = "snapshot held"
    AFTER = "released"


@dataclass(frozen=True, slots=True)
class Depth:
    """What stands in a queue when it is claimed from."""

    ready: int
    scheduled: int = 0
    """Jobs whose time has not come; their priority would put them before all others."""

    def __str__(self) -> str:
        behind = f" behind {self.scheduled:,} for later" if self.scheduled else ""
        return f"{self.ready:,} ready{behind}"


@dataclass(frozen=True, slots=True)
class QueuePlan:
    """One measurement of a queue. Every block visits all cells of a part once, in an order of its own.

    Raises:
        InvalidInput: a value is out of its range.
    """

    engine: Engine
    batch_sizes: tuple[int, ...]
    """Of enqueue, claim and mark_done; rising from 1."""
    most_calls: int
    """Of each kind in a visit: as many as `most_jobs` allows, at least three."""
    most_jobs: int
    workers: tuple[int, ...]
    """Processes; rising from 1."""
    idle_jobs: int
    """That workers drain whose handler does nothing."""
    waiting_jobs: int
    """That workers drain whose handler waits."""
    handler_seconds: float
    """That it waits."""
    ready: tuple[int, ...]
    """Jobs in a queue that is claimed from; rising."""
    claims: int
    """Of `CLAIM_LIMIT` jobs, in a visit."""
    steps: int
    """Before, while and after a snapshot is held, each."""
    step_jobs: int
    """That come and go in a step."""
    blocks: int
    deep_blocks: int
    """Of the claims and the snapshot, which take longer."""
    durability: Durability = "normal"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.engine not in ("sqlite", "postgresql"):
            raise InvalidInput(f"engine is {self.engine!r}: use one of 'sqlite', 'postgresql'")
        for name in ("most_calls", "most_jobs", "idle_jobs", "waiting_jobs", "claims", "steps", "step_jobs"):
            check_integer(getattr(self, name), name, low=1)
        check_integer(self.blocks, "blocks", low=1)
        check_integer(self.deep_blocks, "deep_blocks", low=1)
        for name, first in (("batch_sizes", 1), ("workers", 1), ("ready", SMALLEST_DEPTH)):
            values = getattr(self, name)
            if not values or list(values) != sorted(set(values)) or values[0] != first:
                raise InvalidInput(f"{name} are {values}: give numbers that rise from {first:,}, each once")
        if len(self.ready) < 2:
            raise InvalidInput(f"ready is {self.ready}: add a deeper queue, to be compared with the smallest one")
        if self.ready[-1] > MOST_READY:
            raise InvalidInput(f"{self.ready[-1]:,} ready jobs are too many: {MOST_READY:,} at the most")
        if self.claims * CLAIM_LIMIT * PRIORITIES > SMALLEST_DEPTH:
            raise InvalidInput(
                f"{self.claims} claims are too many: {SMALLEST_DEPTH // CLAIM_LIMIT // PRIORITIES} at the most, so "
                "that the smallest queue does not come to its next priority, whose jobs stand in the same pages"
            )
        if self.step_jobs % CLAIM_LIMIT:
            raise InvalidInput(f"step_jobs is {self.step_jobs}: make it a multiple of {CLAIM_LIMIT}")

    @property
    def drains(self) -> list[tuple[Handler, int]]:
        """Handlers and numbers of workers."""
        return [(handler, workers) for handler in Handler for workers in self.workers]

    @property
    def depths(self) -> list[Depth]:
        """Queues that are claimed from: each, and the smallest again behind up to a million jobs for later."""
        clutter = max(ready for ready in self.ready if ready <= 1_000_000)
        return [*map(Depth, self.ready), Depth(SMALLEST_DEPTH, clutter)]

    @property
    def visits(self) -> dict[str, int]:
        """How many each part has."""
        return {
            "calls": self.blocks * len(self.batch_sizes),
            "depth": self.deep_blocks * len(self.depths),
            "drain": self.blocks * len(self.drains),
            "snapshot": self.deep_blocks,
        }


_PLANS = {
    "smoke": partial(
        QueuePlan,
        batch_sizes=(1, 10, 100),
        most_calls=20,
        most_jobs=1_000,
        workers=(1, 2),
        idle_jobs=1_000,
        waiting_jobs=200,
        claims=10,
        steps=2,
        step_jobs=500,
        blocks=2,
        deep_blocks=2,
    ),
    "quick": partial(
        QueuePlan,
        batch_sizes=(1, 10, 100, 1_000),
        most_calls=200,
        most_jobs=10_000,
        workers=(1, 2, 4),
        idle_jobs=40_000,
        waiting_jobs=2_000,
        claims=25,
        steps=6,
        step_jobs=10_000,
        blocks=5,
        deep_blocks=5,
    ),
    "full": partial(
        QueuePlan,
        batch_sizes=(1, 10, 100, 1_000, 10_000),
        most_calls=500,
        most_jobs=50_000,
        workers=(1, 2, 4, 8, 16),
        idle_jobs=200_000,
        waiting_jobs=10_000,
        claims=25,
        steps=20,
        step_jobs=20_000,
        blocks=15,
        deep_blocks=7,
    ),
}
_DEEPEST = {"smoke": 50_000, "quick": 1_000_000, "full": MOST_READY}
_HANDLER_SECONDS = 0.005


def queue_plan(
    profile: Profile, *, engine: Engine, most_ready: int, durability: Durability = "normal", seed: int = 0
) -> QueuePlan:
    """The plan of a profile. It claims from queues of 10,000 and of 1,000,000 ready jobs, and of `most_ready`.

    Args:
        profile: smoke stops at 50,000 ready jobs, and quick at a million.
        engine: sqlite or postgresql.
        most_ready: jobs in the deepest queue, 20,000 to 10,000,000.
        durability: of commits.
        seed: of the order of the visits.

    Raises:
        InvalidInput: a value is out of its range.
    """
    check_integer(most_ready, "most_ready", low=2 * SMALLEST_DEPTH, high=MOST_READY)
    deepest = min(most_ready, _DEEPEST[profile])
    ready = tuple(sorted({SMALLEST_DEPTH, min(1_000_000, deepest), deepest}))
    return _PLANS[profile](
        engine=engine, ready=ready, handler_seconds=_HANDLER_SECONDS, durability=durability, seed=seed
    )
