"""Whether B costs more than A: pass and regression are both proofs, and what is neither is said to be neither."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from scipy import special

from perflab.errors import InvalidInput
from perflab.lab.gate.measured_run import CellCosts, MeasuredRun, Unit, geometric_mean
from perflab.lab.quantities import format_count, format_seconds
from perflab.lab.statistics.families import holm
from perflab.lab.statistics.inputs import require_fraction
from perflab.lab.statistics.intervals import standard_error
from perflab.lab.statistics.ratio import Ratio, paired_ratio

LEAST_BLOCKS = 6
"""Fewer have no interval of the median at 95 %."""


class Outcome(StrEnum):
    """Of a cell, and of a whole comparison."""

    PASS = "pass"  # noqa: S105  # no password
    REGRESSION = "regression"
    INCONCLUSIVE = "inconclusive"
    NOT_MEASURED = "could not measure"

    @property
    def exit_code(self) -> int:
        return list(Outcome).index(self)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What is too much.

    Attributes:
        margin: Largest acceptable rise, as a share; 0.10 is 10 %.
        floor_per_item_seconds: Smaller rises of a time per item are acceptable whatever their share.
        floor_latency_seconds: The same for a latency.
        level: Of the intervals, and of all claims of a regression together.

    Raises:
        InvalidInput: a value is out of its range.
    """

    margin: float = 0.10
    floor_per_item_seconds: float = 50e-9
    floor_latency_seconds: float = 0.5e-3
    level: float = 0.95

    def __post_init__(self) -> None:
        require_fraction(self.level, "level")
        for name in ("margin", "floor_per_item_seconds", "floor_latency_seconds"):
            value = getattr(self, name)
            if not (0 <= value < math.inf):
                raise InvalidInput(f"{name} is {value!r}: give 0 or more")

    def floor(self, unit: Unit) -> float:
        """Of a cost in a unit; any rise of a count counts."""
        floors = {
            Unit.SECONDS_PER_ITEM: self.floor_per_item_seconds,
            Unit.LATENCY_SECONDS: self.floor_latency_seconds,
        }
        return floors.get(unit, 0.0)


@dataclass(frozen=True, slots=True)
class CellJudgement:
    """One cell in both runs.

    Attributes:
        name: Of the cell.
        unit: Of the costs.
        outcome: What can be said.
        reason: Why, where the numbers do not say it themselves.
        before: Geometric mean of the cost in A; None if it was not measured.
        after: Of that in B.
        ratio: B over A, by block, each over what references they share; None if it was not measured.
        p_value: Of "no rise beyond the margin", raised for all cells together (Holm); None as above.
    """

    name: str
    unit: Unit
    outcome: Outcome
    reason: str = ""
    before: float | None = None
    after: float | None = None
    ratio: Ratio | None = None
    p_value: float | None = None


def judge_cells(before: MeasuredRun, after: MeasuredRun, thresholds: Thresholds) -> list[CellJudgement]:
    """Judge each cell of A. A regression must hold in the family of all of them, a pass for itself.

    That all cells pass is claimed only if each one does, which needs no correction (R. L. Berger, "Multiparameter
    Hypothesis Testing and Acceptance Sampling", *Technometrics* 24, 1982).
    """
    measured = {name: _measure(name, cell, after.cells.get(name), thresholds) for name, cell in before.cells.items()}
    tested = [name for name, cell in measured.items() if cell.p_value is not None]
    raised = holm([measured[name].p_value or 0.0 for name in tested]) if tested else ()
    for name, p_value in zip(tested, raised, strict=True):
        measured[name] = _decided(replace(measured[name], p_value=float(p_value)), thresholds)
    return list(measured.values())


def _measure(name: str, before: CellCosts, after: CellCosts | None, thresholds: Thresholds) -> CellJudgement:
    unmeasured = CellJudgement(name, before.unit, Outcome.NOT_MEASURED)
    if after is None:
        return replace(unmeasured, reason="B does not have it")
    for side, cell in (("A", before), ("B", after)):
        if len(cell.costs) < cell.planned:
            return replace(unmeasured, reason=f"{side} has {len(cell.costs)} of {cell.planned} planned blocks")
    blocks = sorted(before.costs.keys() & after.costs.keys())
    if len(blocks) < LEAST_BLOCKS:
        reason = f"{len(blocks)} blocks in both: {LEAST_BLOCKS} are needed for a verdict"
        return replace(unmeasured, outcome=Outcome.INCONCLUSIVE, reason=reason)
    arms = before.arms() & after.arms()
    old, new = ([cell.relative(block, arms) for block in blocks] for cell in (before, after))
    return CellJudgement(
        name,
        before.unit,
        Outcome.INCONCLUSIVE,
        before=geometric_mean(list(before.costs.values())),
        after=geometric_mean(list(after.costs.values())),
        ratio=paired_ratio(new, old, rng=np.random.default_rng(0), level=thresholds.level),
        p_value=_p_of_no_rise(old, new, thresholds.margin),
    )


def _p_of_no_rise(old: Sequence[float], new: Sequence[float], margin: float) -> float:
    """One-sided p of the t test that the mean log ratio is at most that of the margin."""
    excess = np.log(new) - np.log(old) - math.log1p(margin)
    error = standard_error(excess)
    if error == 0:
        return float(excess[0] <= 0)
    return float(special.stdtr(excess.size - 1, -float(np.mean(excess)) / error))


def _decided(cell: CellJudgement, thresholds: Thresholds) -> CellJudgement:
    assert cell.ratio is not None
    assert cell.before is not None
    assert cell.p_value is not None
    ratio, limit = cell.ratio, 1 + thresholds.margin
    harmless = 1 + thresholds.floor(cell.unit) / cell.before
    if max(ratio.high, ratio.median_high) <= max(limit, harmless):
        return replace(cell, outcome=Outcome.PASS)
    beyond = ratio.value > harmless and cell.p_value <= (1 - thresholds.level) / 2
    if beyond and ratio.median_low > limit:
        return replace(cell, outcome=Outcome.REGRESSION)
    if beyond:
        return replace(cell, reason="mean and median disagree: measure more blocks")
    return replace(cell, reason="the interval holds the margin: measure more blocks")


def in_unit(value: float | None, unit: Unit) -> str:
    """A cost as people read it."""
    if value is None:
        return "-"
    return format_count(value) if unit is Unit.ROUND_TRIPS_PER_ITEM else format_seconds(value)
