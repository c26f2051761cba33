"""Costs over many runs: where their level changed, and what changed around them at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from perflab.errors import StoreError
from perflab.lab.gate.environments import Difference, differences
from perflab.lab.gate.measured_run import CellCosts, MeasuredRun, Unit, geometric_mean
from perflab.lab.gate.read_runs import find_runs, read_one
from perflab.monitoring.change_points import ChangePoint, find_change_points


@dataclass(frozen=True, slots=True)
class EnvironmentMark:
    """That something around the runs changed between one and the next.

    Attributes:
        run: Number of the first run after it, in the order of time.
        differences: What.
    """

    run: int
    differences: Sequence[Difference]

    def __str__(self) -> str:
        return "; ".join(map(str, self.differences))


@dataclass(frozen=True, slots=True)
class CellChange:
    """A change of the level of a cell.

    Attributes:
        run: Number of the first run at the new level.
        point: The change, whose index counts the runs that measured the cell.
        mark: What changed around the runs at the same place; None if nothing did, so that the code is left.
    """

    run: int
    point: ChangePoint
    mark: EnvironmentMark | None


@dataclass(frozen=True, slots=True)
class CellHistory:
    """One cell over the runs that measured all of its blocks.

    Attributes:
        name: Of the cell.
        unit: Of the costs.
        relative: Whether values are shares of the raw forms of the same run, which all of its runs have, and not costs.
        runs: Their numbers.
        values: One for each of them: geometric means over blocks.
        changes: In their order.
    """

    name: str
    unit: Unit
    relative: bool
    runs: Sequence[int]
    values: Sequence[float]
    changes: Sequence[CellChange]


@dataclass(frozen=True, slots=True)
class RunHistory:
    """Many runs of the same.

    Attributes:
        runs: In the order of time.
        cells: In the order of their first run.
        marks: Where the environment changed.
        unreadable: Runs that could not be read, with the reason.
    """

    runs: Sequence[MeasuredRun]
    cells: Sequence[CellHistory]
    marks: Sequence[EnvironmentMark]
    unreadable: Sequence[str]

    def rises(self, since: datetime | None = None) -> list[tuple[CellHistory, CellChange]]:
        """Cells whose last change was a rise that no change around them explains.

        Args:
            since: Aware; rises before it are known, and left out.
        """
        last = [(cell, cell.changes[-1]) for cell in self.cells if cell.changes]
        return [
            (cell, change)
            for cell, change in last
            if change.point.after > change.point.before
            and change.mark is None
            and (since is None or self.runs[change.run].measured_at >= since)
        ]


def read_history(paths: Sequence[Path], *, min_relative_change: float = 0.03) -> RunHistory:
    """The runs at and below some paths, as a history.

    Args:
        paths: Results stores and folders of benches, or folders that have them at any depth.
        min_relative_change: Smaller changes of level than this share are left out.

    Raises:
        StoreError: there are fewer than two runs that can be read.
        InvalidInput: the share is below 0.
    """
    runs: list[MeasuredRun] = []
    unreadable: list[str] = []
    for found in dict.fromkeys(run for path in paths for run in find_runs(path)):
        try:
            runs.append(read_one(found))
        except StoreError as error:
            unreadable.append(str(error))
    if len(runs) < 2:
        places = ", ".join(repr(str(path)) for path in paths)
        raise StoreError(
            f"a history needs two runs, and there {'is one' if runs else 'are none'} at {places}"
            + "".join(f"; {reason}" for reason in unreadable)
        )
    return history_of(runs, unreadable, min_relative_change=min_relative_change)


def history_of(
    runs: Sequence[MeasuredRun], unreadable: Sequence[str] = (), *, min_relative_change: float = 0.03
) -> RunHistory:
    """Runs in any order as a history."""
    ordered = sorted(runs, key=lambda run: run.measured_at)
    changed = [(number, differences(ordered[number - 1], ordered[number])) for number in range(1, len(ordered))]
    marks = [EnvironmentMark(number, found) for number, found in changed if found]
    names = dict.fromkeys(name for run in ordered for name in run.cells)
    cells = [_cell_history(name, ordered, marks, min_relative_change) for name in names]
    return RunHistory(ordered, [cell for cell in cells if cell.values], marks, unreadable)


def _cell_history(
    name: str, runs: Sequence[MeasuredRun], marks: Sequence[EnvironmentMark], min_relative_change: float
) -> CellHistory:
    measured: dict[int, CellCosts] = {
        number: cell
        for number, run in enumerate(runs)
        if (cell := run.cells.get(name)) is not None and cell.costs and len(cell.costs) == cell.planned
    }
    arms = frozenset.intersection(*(cell.arms() for cell in measured.values())) if measured else frozenset()
    values = [geometric_mean([cell.relative(block, arms) for block in cell.costs]) for cell in measured.values()]
    numbers = list(measured)
    changes = []
    for point in find_change_points(values, min_relative_change=min_relative_change):
        before, first = numbers[point.index - 1], numbers[point.index]
        mark = next((mark for mark in marks if before < mark.run <= first), None)
        changes.append(CellChange(first, point, mark))
    unit = next(run.cells[name].unit for run in runs if name in run.cells)
    return CellHistory(name, unit, bool(arms), numbers, values, changes)
