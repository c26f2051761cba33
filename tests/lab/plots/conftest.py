"""Findings of worlds whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perflab.lab.sweep.findings import Findings
from perflab.lab.sweep.plan import SweepPlan
from perflab.lab.sweep.run import run_sweep
from perflab.lab.sweep.store import ResultsStore
from tests.lab.plots.known_world import KnownWorld

Find = Callable[..., Findings]

PLAN = SweepPlan(
    closed_loop_batch_sizes=(1, 5, 20, 100, 400),
    replay_batch_sizes=(1, 10, 100),
    replay_flush_intervals=(0.0, 0.010, 0.050),
    blocks=6,
    closed_loop_items=400,
    warm_up_items=50,
)


CAPACITY_ALONE: dict[str, Any] = {"replay_batch_sizes": ()}
REPLAY_ALONE: dict[str, Any] = {"closed_loop_batch_sizes": ()}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ResultsStore]:
    """For what is measured again."""
    with ResultsStore(tmp_path / "results.duckdb") as opened:
        yield opened


@pytest.fixture(scope="session")
def find(tmp_path_factory: pytest.TempPathFactory) -> Find:
    """What a sweep of a plan finds in a world, each in a store of its own: no test sees what others measured."""

    def measured(world: KnownWorld, plan: SweepPlan = PLAN, **changes: Any) -> Findings:
        own = replace(plan, **changes)
        with ResultsStore(tmp_path_factory.mktemp("plots") / "results.duckdb") as store:
            run_sweep(own, store, progress=False, measure_cell=world)
            return Findings(own, store)

    return measured


@pytest.fixture(scope="session")
def world() -> KnownWorld:
    return KnownWorld(stable=lambda cell: not (cell.batch_size == 10 and cell.flush_interval == 0.050))


@pytest.fixture(scope="session")
def findings(find: Find, world: KnownWorld) -> Findings:
    """Of a world in which batches of ten cannot keep up at the longest interval."""
    return find(world)


@pytest.fixture(scope="session")
def overload(find: Find) -> Findings:
    """Of a world in which nothing keeps up."""
    return find(KnownWorld(stable=lambda _cell: False), blocks=2, **REPLAY_ALONE)
