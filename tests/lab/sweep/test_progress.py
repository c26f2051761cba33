from __future__ import annotations

from perflab.lab.sweep.plan import SweepPlan
from perflab.lab.sweep.progress import Progress


def test_the_estimate_knows_what_each_cell_costs(plan: SweepPlan) -> None:
    visits = list(plan.visits())
    progress = Progress(visits, 0, stream=None)
    assert progress.seconds_left() == 0.0  # nothing is known yet
    for visit in visits[: len(plan.cells)]:
        progress.visited(visit, 1.0 if visit.cell.batch_size == 1 else 0.1)
    per_block = sum(1.0 if cell.batch_size == 1 else 0.1 for cell in plan.cells)
    assert abs(progress.seconds_left() - 5 * per_block) < 1e-9


def test_a_cell_that_was_not_visited_costs_the_mean(plan: SweepPlan) -> None:
    visits = list(plan.visits())
    progress = Progress(visits, 0, stream=None)
    progress.visited(visits[0], 2.0)
    assert progress.seconds_left() == 2.0 * (len(visits) - 1)
