"""What is declared before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass

from perflab.database.pools import Durability
from perflab.database.values import check_integer
from perflab.lab.bench.comparison import FEWEST_BLOCKS
from perflab.lab.sweep.profiles import Profile

BATCH_SIZE = 200


@dataclass(frozen=True, slots=True)
class Phase:
    """Some runs in a row between which nothing changes.

    Attributes:
        durability: Of the database of both arms: it is around the runs, and a mark in the history.
        calls_per_batch: In how many calls of its own our arm writes a batch: it is in the code, and nothing marks it.
    """

    durability: Durability
    calls_per_batch: int


@dataclass(frozen=True, slots=True)
class TrendPlan:
    """Runs of a tiny bench: as it is; with full durability; and with a careless change of the code as well.

    Attributes:
        runs_per_phase: At least 4, so that a change is seen though a run is off.
        blocks: Of each run.
        calls_per_batch: After the change of the code; 1 changes nothing.
        seed: Of the orders, and of the histories that are drawn for what can be seen.
        drawn_histories: For each size of a change.

    Raises:
        InvalidInput: a value is out of its range.
    """

    runs_per_phase: int
    blocks: int
    calls_per_batch: int = 4
    seed: int = 20130705
    drawn_histories: int = 200

    def __post_init__(self) -> None:
        check_integer(self.runs_per_phase, "runs_per_phase", low=4, high=1_000)
        check_integer(self.blocks, "blocks", low=FEWEST_BLOCKS, high=1_000)
        check_integer(self.calls_per_batch, "calls_per_batch", low=1, high=BATCH_SIZE)
        check_integer(self.drawn_histories, "drawn_histories", low=20, high=100_000)

    @property
    def phases(self) -> tuple[Phase, ...]:
        return Phase("normal", 1), Phase("full", 1), Phase("full", self.calls_per_batch)

    @property
    def runs(self) -> int:
        return len(self.phases) * self.runs_per_phase

    @property
    def durability_changes_at(self) -> int:
        """The first run with the other durability."""
        return self.runs_per_phase

    @property
    def code_changes_at(self) -> int:
        """The first run with the change of the code."""
        return 2 * self.runs_per_phase

    def phase_of(self, run: int) -> Phase:
        return self.phases[run // self.runs_per_phase]


def trend_plan(profile: Profile, *, calls_per_batch: int = 4, seed: int = 20130705) -> TrendPlan:
    """The plan of a profile: 12 runs as smoke, 30 as quick, 60 as full."""
    runs, blocks, drawn = {"smoke": (4, 6, 40), "quick": (10, 8, 200), "full": (20, 12, 500)}[profile]
    return TrendPlan(runs, blocks, calls_per_batch, seed, drawn)
