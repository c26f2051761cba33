"""A plan and a store for sweeps without a database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from perflab.lab.sweep.plan import SweepPlan
from perflab.lab.sweep.store import ResultsStore


@pytest.fixture
def plan() -> SweepPlan:
    return SweepPlan(
        closed_loop_batch_sizes=(1, 10, 100, 400),
        replay_batch_sizes=(1, 10, 100),
        replay_flush_intervals=(0.0, 0.010),
        blocks=6,
        closed_loop_items=400,
        warm_up_items=50,
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ResultsStore]:
    with ResultsStore(tmp_path / "results.duckdb") as opened:
        yield opened
