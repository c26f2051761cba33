"""What a user asks `perflab tune`, checked before anything is opened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import get_args

from perflab.database.pools import Durability
from perflab.database.urls import redact_url
from perflab.database.values import check_integer, check_number
from perflab.errors import InvalidInput

LEAST_BUDGET_SECONDS = 5.0
MOST_TARGET_SECONDS = 60.0
FEWEST_BLOCKS = 3
"""With fewer, an interval says nothing."""
LEAST_ARRIVALS, MOST_ARRIVALS = 1.0, 100_000.0


@dataclass(frozen=True, slots=True)
class TuneRequest:
    """Which database, under which load, within which latency.

    Attributes:
        url: Of the database. Nothing in it is read or written outside of a scratch schema, or a scratch folder beside
            the file of SQLite.
        latency_target: Seconds that the p99 may reach, from when an item is due to its result.
        arrivals: Items per second, independent of each other; None for a third of what the database takes, and 5,000 at
            the most.
        budget: Seconds that measuring may take.
        durability: "normal" or "full".
        seed: Of orders, arrivals and resamples.
        blocks: How often a setting is replayed at the most, where the budget has time for it.

    Raises:
        InvalidInput: a value is out of its range.
    """

    url: str = field(repr=False)
    latency_target: float
    arrivals: float | None = None
    budget: float = 60.0
    durability: Durability = "normal"
    seed: int = 20130705
    blocks: int = 10

    def __post_init__(self) -> None:
        check_number(self.latency_target, "latency_target", above_low=True, high=MOST_TARGET_SECONDS)
        if self.arrivals is not None:
            check_number(self.arrivals, "arrivals", low=LEAST_ARRIVALS, high=MOST_ARRIVALS)
        check_number(self.budget, "budget", low=LEAST_BUDGET_SECONDS, high=86_400.0)
        check_integer(self.seed, "seed", low=0)
        check_integer(self.blocks, "blocks", low=FEWEST_BLOCKS)
        if self.durability not in get_args(Durability):
            raise InvalidInput(f"durability is {self.durability!r}: use 'normal' or 'full'")

    @property
    def shown_url(self) -> str:
        """The URL without its password."""
        return redact_url(self.url)
