"""What the runs say: where the level changed, whether that is where something was changed, and what would be missed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import pandas as pd

from perflab.errors import InvalidInput
from perflab.lab.gate.history_text import history_text
from perflab.lab.gate.run_history import CellChange, CellHistory, RunHistory, history_of
from perflab.lab.report.headline import HeadlineValue
from perflab.lab.statistics.proportion import proportion_interval
from perflab.lab.sweep.environment import Environment
from perflab.lab.trend_study.plan import TrendPlan
from perflab.monitoring.change_points import find_change_points

RUNS_BEFORE = 20
RUNS_AFTER = (3, 5, 10)
RISES = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)


class TrendFindings:
    """A history, and what is known about it.

    Attributes:
        history: Of all cells.
        cell: The one that is looked at.
        plan: What was done to it; None for runs of somebody else.

    Raises:
        InvalidInput: there is no cell of the name, or none that all blocks of a run have measured.
    """

    def __init__(self, history: RunHistory, plan: TrendPlan | None = None, *, cell: str = "") -> None:
        self.history = history
        self.plan = plan
        self.cell = _chosen(history, cell)

    @property
    def environment(self) -> Environment:
        """Of the last run."""
        return self.history.runs[-1].environment

    @cached_property
    def visits(self) -> pd.DataFrame:
        """The runs: measured_at and source."""
        return pd.DataFrame([{"measured_at": run.measured_at, "source": run.source} for run in self.history.runs])

    @cached_property
    def in_time(self) -> TrendFindings:
        """The same runs without what was measured beside ours: costs as they are."""
        runs = [
            replace(run, cells={name: replace(each, references={}) for name, each in run.cells.items()})
            for run in self.history.runs
        ]
        return TrendFindings(history_of(runs, self.history.unreadable), self.plan, cell=self.cell.name)

    @property
    def rise(self) -> CellChange | None:
        """The last change, where it is a rise that nothing around it explains: `perflab history` exits with 1 then."""
        return next((change for cell, change in self.history.rises() if cell is self.cell), None)

    @cached_property
    def noise(self) -> float:
        """Standard deviation of the logarithms of runs around their level: about the relative one."""
        bounds = [0, *(change.point.index for change in self.cell.changes), len(self.cell.values)]
        logs = np.log(np.array(self.cell.values))
        squares = sum(
            float(((part := logs[start:stop]) - part.mean()) @ (part - part.mean())) for start, stop in pairwise(bounds)
        )
        return math.sqrt(squares / max(1, len(logs) - len(bounds) + 1))

    @cached_property
    def seen(self) -> pd.DataFrame:
        """Drawn histories with this noise, a rise after `RUNS_BEFORE` runs, and some runs after it.

        One row for each size and number of runs after: rise (0.1 for 10 %), runs_after, found (share of histories with
        a change point; for no rise, a false alarm), low and high (95 % Clopper-Pearson), histories.
        """
        drawn = 200 if self.plan is None else self.plan.drawn_histories
        rng = np.random.default_rng(0 if self.plan is None else self.plan.seed)
        noises = np.exp(rng.normal(0.0, self.noise, (drawn, RUNS_BEFORE + max(RUNS_AFTER))))
        rows = []
        for rise in RISES:
            level = np.where(np.arange(noises.shape[1]) < RUNS_BEFORE, 1.0, 1.0 + rise)
            for after in RUNS_AFTER:
                values = (noises * level)[:, : RUNS_BEFORE + after].tolist()
                share = proportion_interval(sum(map(_has_changed, values)), drawn)
                rows.append((rise, after, share.value, share.low, share.high, drawn))
        return pd.DataFrame(rows, columns=["rise", "runs_after", "found", "low", "high", "histories"])

    def smallest_seen(self, runs_after: int, share: float = 0.8) -> float | None:
        """The smallest rise of those drawn that is found so soon in such a share of histories; None if none is."""
        found = self.seen[
            (self.seen["runs_after"] == runs_after) & (self.seen["found"] >= share) & (self.seen["rise"] > 0)
        ]
        return None if found.empty else float(found["rise"].min())

    def describe(self) -> str:
        """The history as text, and where something was changed, if that is known."""
        text = history_text(self.history)
        if self.plan is None:
            return text
        change = (
            f"the code was changed before run {self.plan.code_changes_at}"
            if self.plan.calls_per_batch > 1
            else "the code was not changed"
        )
        found = (
            "nothing is found that the environment does not explain"
            if self.rise is None
            else f"a rise that nothing explains is found at run {self.rise.run}"
        )
        return (
            f"{text}\nknown: durability was changed before run {self.plan.durability_changes_at}, and {change}; {found}"
        )

    def headline(self) -> dict[str, HeadlineValue]:
        found: dict[str, HeadlineValue] = {"runs": len(self.cell.runs), "changes_of_level": len(self.cell.changes)}
        if self.plan is not None and self.plan.calls_per_batch > 1:
            found["changed_at_run"] = self.plan.code_changes_at
        found["unexplained_rise_at_run"] = "none" if self.rise is None else self.rise.run
        found["noise_fraction"] = self.noise
        seen = self.smallest_seen(RUNS_AFTER[1])
        if seen is not None:
            found[f"seen_after_{RUNS_AFTER[1]}_runs_fraction"] = seen
        return found


def _has_changed(values: Sequence[float]) -> bool:
    return bool(find_change_points(values))


def _chosen(history: RunHistory, name: str) -> CellHistory:
    """The cell of a name; without one, the cell that has changed most."""
    if not history.cells:
        raise InvalidInput("no run has measured all blocks of any cell: measure the runs to their end")
    if not name:
        return max(history.cells, key=_largest_change)
    found = next((cell for cell in history.cells if cell.name == name), None)
    if found is None:
        names = ", ".join(repr(cell.name) for cell in history.cells)
        raise InvalidInput(f"there is no cell {name!r}: use one of {names}")
    return found


def _largest_change(cell: CellHistory) -> float:
    ratios = [change.point.ratio for change in cell.changes]
    return max((abs(math.log(ratio)) for ratio in ratios if 0 < ratio < math.inf), default=0.0)
