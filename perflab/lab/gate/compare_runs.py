"""Two runs compared: one outcome for all of it, which is never slowness where a tool failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from perflab.errors import StoreError
from perflab.lab.gate.environments import Difference, differences, incomparable
from perflab.lab.gate.judgement import CellJudgement, Outcome, Thresholds, judge_cells
from perflab.lab.gate.measured_run import MeasuredRun, combine_rounds
from perflab.lab.gate.read_runs import read_rounds


@dataclass(frozen=True, slots=True)
class RunComparison:
    """What can be said about B against A.

    Attributes:
        before: A.
        after: B.
        cells: One for each cell of A.
        only_after: Names of the cells of B alone: new ones, which nothing is said about.
        differences: What is not the same around them.
        thresholds: By which it was judged.
    """

    before: MeasuredRun
    after: MeasuredRun
    cells: Sequence[CellJudgement]
    only_after: Sequence[str]
    differences: Sequence[Difference]
    thresholds: Thresholds

    @property
    def outcome(self) -> Outcome:
        """Regression if any cell has one, for that is proven; else could not measure, else inconclusive, else pass."""
        found = {cell.outcome for cell in self.cells}
        worst = (Outcome.REGRESSION, Outcome.NOT_MEASURED, Outcome.INCONCLUSIVE)
        return next((outcome for outcome in worst if outcome in found), Outcome.PASS)


def compare_runs(before: Path, after: Path, thresholds: Thresholds, *, force: bool = False) -> RunComparison:
    """Compare what stands at two paths.

    Args:
        before: A, see `read_rounds`.
        after: B.
        thresholds: What is too much.
        force: Compare what was measured on different machines or with different settings of the engine, too.

    Raises:
        StoreError: a run cannot be read, is the same as the other, lacks rounds or cells, or was measured elsewhere.
    """
    if before.resolve() == after.resolve():
        raise StoreError(f"{str(before)!r} is compared with itself: give two runs")
    rounds = read_rounds(before), read_rounds(after)
    if len(rounds[0]) != len(rounds[1]):
        raise StoreError(
            f"{str(before)!r} has {len(rounds[0])} runs and {str(after)!r} has {len(rounds[1])}: rounds are compared "
            "in pairs, so measure the missing ones"
        )
    if not force and (reasons := incomparable([*rounds[0], *rounds[1]])):
        raise StoreError(
            f"the runs were not measured under the same conditions ({'; '.join(map(str, reasons))}): measure both on "
            "one machine in one go, or add --force"
        )
    a, b = combine_rounds(rounds[0], str(before)), combine_rounds(rounds[1], str(after))
    if not a.cells:
        raise StoreError(f"the run at {str(before)!r} has no cell: nothing was measured")
    new = [name for name in b.cells if name not in a.cells]
    return RunComparison(a, b, judge_cells(a, b, thresholds), new, differences(a, b), thresholds)
