"""What is declared before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from perflab.database.pools import Durability
from perflab.database.values import check_integer
from perflab.errors import InvalidInput
from perflab.lab.sweep.plan import Engine
from perflab.lab.sweep.profiles import Profile

MOST_DUE = 1_000_000
MOST_ONE_BY_ONE = 1_000
"""Beyond it, so many transactions would only cost time."""


class Way(StrEnum):
    """How what is due is ticked."""

    INTERVAL = "interval watches"
    """All in one tick."""
    CRON = "cron watches"
    """All in one tick; they share one expression."""
    ONE_BY_ONE = "one by one"
    """Interval watches, each in a tick of its own: what a scheduler pays that claims one slot at a time."""


@dataclass(frozen=True, slots=True)
class TickPlan:
    """One measurement of ticks.

    Raises:
        InvalidInput: a value is out of its range.
    """

    engine: Engine
    blocks: int
    """Complete blocks: each visits every way with every number of due watches once, in an order of its own."""
    due: tuple[int, ...]
    """Watches that are due at once, rising."""
    durability: Durability = "normal"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.engine not in ("sqlite", "postgresql"):
            raise InvalidInput(f"engine is {self.engine!r}: use one of 'sqlite', 'postgresql'")
        check_integer(self.blocks, "blocks", low=1)
        for count in self.due:
            check_integer(count, "a number of due watches", low=1, high=MOST_DUE)
        if not self.due or list(self.due) != sorted(set(self.due)):
            raise InvalidInput(f"the numbers of due watches are {self.due}: give at least one, rising, each once")
        if self.due[0] > MOST_ONE_BY_ONE:
            raise InvalidInput(
                f"the smallest number of due watches is {self.due[0]:,}: begin with {MOST_ONE_BY_ONE:,} at the most, "
                "so that single ticks can be compared"
            )

    @property
    def cells(self) -> list[tuple[Way, int]]:
        """All that one block visits."""
        return [(way, due) for way in Way for due in self.due if way is not Way.ONE_BY_ONE or due <= MOST_ONE_BY_ONE]


def tick_plan(
    profile: Profile, *, engine: Engine, largest: int, durability: Durability = "normal", seed: int = 0
) -> TickPlan:
    """The plan of a profile: powers of ten up to the largest number, which is 1,000 at the most in smoke."""
    blocks, most = {"smoke": (3, 1_000), "quick": (5, MOST_DUE), "full": (15, MOST_DUE)}[profile]
    check_integer(largest, "the largest number of due watches", low=1, high=MOST_DUE)
    bound = min(largest, most)
    due = {10**power for power in range(7) if 10**power <= bound} | {bound}
    return TickPlan(engine, blocks, tuple(sorted(due)), durability, seed)
