"""What is declared before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from perflab.database.pools import Durability
from perflab.database.values import check_integer, check_number
from perflab.errors import InvalidInput
from perflab.lab.cache_warming.board import SLOT_SECONDS
from perflab.lab.sweep.plan import Engine
from perflab.lab.sweep.profiles import Profile

LONGEST_HOURS = 12


class Arm(StrEnum):
    """How the cache is filled. It is the same cache in all of them."""

    COLD = "cold"
    """By those who ask."""
    WARMED = "warmed once"
    """And before the workers start, with what the watches will ask for while a row lives."""
    PREDICTED = "predicted"
    """And ahead of each tick, with what its watches will ask for."""


@dataclass(frozen=True, slots=True)
class WarmingPlan:
    """One contest of the arms.

    Raises:
        InvalidInput: a value is out of its range.
    """

    engine: Engine
    blocks: int
    """Complete blocks: each visits every arm once, in an order of its own, on the same day of the trace."""
    hours: int
    """Of the trace, in each visit; the clock of scheduler and cache jumps from tick to tick."""
    ttl_seconds: float
    """Of rows in the cache."""
    changes: int = 40
    """Rows that somebody else changes between two ticks, of those that polls look at."""
    durability: Durability = "normal"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.engine not in ("sqlite", "postgresql"):
            raise InvalidInput(f"engine is {self.engine!r}: use one of 'sqlite', 'postgresql'")
        check_integer(self.blocks, "blocks", low=1)
        check_integer(self.hours, "hours", low=1, high=LONGEST_HOURS)
        check_number(self.ttl_seconds, "ttl_seconds", low=SLOT_SECONDS, high=86_400.0)
        check_integer(self.changes, "changes", low=0, high=200)

    @property
    def ticks(self) -> int:
        return self.hours * 3_600 // SLOT_SECONDS


def warming_plan(
    profile: Profile, *, engine: Engine, ttl_seconds: float, durability: Durability = "normal", seed: int = 0
) -> WarmingPlan:
    """The plan of a profile."""
    blocks, hours = {"smoke": (3, 1), "quick": (5, 6), "full": (15, 12)}[profile]
    return WarmingPlan(engine, blocks, hours, ttl_seconds, durability=durability, seed=seed)
