"""What a gate needs to know of a run: its costs by cell and block, what was planned, and on what it ran."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from perflab.lab.sweep.environment import Environment


class Unit(StrEnum):
    """Of a cost; less is better in all of them."""

    SECONDS_PER_ITEM = "time per item"
    LATENCY_SECONDS = "latency"
    ROUND_TRIPS_PER_ITEM = "round trips per item"


@dataclass(frozen=True, slots=True)
class CellCosts:
    """What one cell cost.

    Attributes:
        unit: Of the costs.
        planned: In how many blocks it was to be measured.
        costs: By number of the block, above zero; planned blocks may be missing.
        references: Costs of other ways to do the same work in the same block, by their names: what the machine does to
            all of them cancels. May be empty.
    """

    unit: Unit
    planned: int
    costs: Mapping[int, float]
    references: Mapping[int, Mapping[str, float]] = field(default_factory=dict)

    def arms(self) -> frozenset[str]:
        """The references that every measured block has."""
        each = [frozenset(self.references.get(block, {})) for block in self.costs]
        return frozenset.intersection(*each) if each else frozenset()

    def relative(self, block: int, arms: frozenset[str]) -> float:
        """The cost in a block over the geometric mean of references there; the cost itself where there are none."""
        cost = self.costs[block]
        return cost / geometric_mean([self.references[block][arm] for arm in sorted(arms)]) if arms else cost


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """A run of a bench or of a sweep, or several rounds of one.

    Attributes:
        source: Where it was read from, for messages.
        measured_at: When, aware.
        environment: Of the machine and the interpreter.
        engines: Each with its version and its durability, or the plan's name for the server.
        cells: By name, those that were planned and not measured among them.
        rounds: How many runs it is made of; where there are several, each is a block.
    """

    source: str
    measured_at: datetime
    environment: Environment
    engines: tuple[str, ...]
    cells: Mapping[str, CellCosts]
    rounds: int = 1


def combine_rounds(rounds: Sequence[MeasuredRun], source: str) -> MeasuredRun:
    """Several runs of the same as one with each run as a block: what differs from process to process is noise then.

    A round that lacks a block of a cell has not measured it.
    """
    if len(rounds) == 1:
        return rounds[0]
    names = dict.fromkeys(name for run in rounds for name in run.cells)
    cells = {name: _combined([run.cells.get(name) for run in rounds]) for name in names}
    last = rounds[-1]
    return MeasuredRun(source, last.measured_at, last.environment, last.engines, cells, len(rounds))


def _combined(rounds: Sequence[CellCosts | None]) -> CellCosts:
    measured = {
        number: cell for number, cell in enumerate(rounds) if cell is not None and len(cell.costs) == cell.planned
    }
    unit = next(cell.unit for cell in rounds if cell is not None)
    return CellCosts(
        unit,
        len(rounds),
        {number: geometric_mean(list(cell.costs.values())) for number, cell in measured.items()},
        {
            number: {
                arm: geometric_mean([cell.references[block][arm] for block in cell.costs])
                for arm in sorted(cell.arms())
            }
            for number, cell in measured.items()
        },
    )


def geometric_mean(values: Sequence[float]) -> float:
    """Of numbers above zero, at least one."""
    return math.exp(math.fsum(map(math.log, values)) / len(values))
