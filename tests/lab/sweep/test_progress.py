from __future__ import annotations

from pathlib import Path

import pytest

from perflab.lab.sweep.plan import SweepPlan
from perflab.lab.sweep.progress import Progress
from perflab.monitoring.sweep_progress import SweepProgress


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


def test_how_far_it_is_stands_beside_the_store(plan: SweepPlan, tmp_path: Path) -> None:
    store = tmp_path / "sweep.duckdb"
    assert SweepProgress.read(store) is None
    visits = list(plan.visits())
    progress = Progress(visits, 3, stream=None, store=store, name="grid")
    progress.visited(visits[0], 2.0)
    noted = SweepProgress.read(store)
    assert noted is not None
    assert (noted.name, noted.done, noted.total, noted.has_ended) == ("grid", 4, len(visits) + 3, False)
    assert noted.seconds_left == progress.seconds_left() > 0
    progress.close()
    noted = SweepProgress.read(store)
    assert noted is not None
    assert noted.has_ended


def test_a_sweep_goes_on_where_it_cannot_be_noted(
    plan: SweepPlan, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    visits = list(plan.visits())
    progress = Progress(visits, 0, stream=None, store=tmp_path / "gone" / "sweep.duckdb")
    progress.visited(visits[0], 2.0)
    progress.close()
    assert len(caplog.records) == 1
