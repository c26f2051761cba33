from __future__ import annotations

from dataclasses import replace
from functools import partial
from random import Random

import numpy as np
import pandas as pd
import pytest

from perflab.errors import InvalidInput
from perflab.lab.statistics.looks import Looks, Stop
from perflab.lab.sweep.findings import Findings
from perflab.lab.sweep.measure import Measurement
from perflab.lab.sweep.plan import SweepPlan
from perflab.lab.sweep.precision import PreciseSweep, run_until_precise, widest_throughput
from perflab.lab.sweep.run import run_sweep
from perflab.lab.sweep.store import ResultsStore
from tests.lab.sweep.known_cost import KnownCost

LOOKS = Looks((6, 12, 18))


@pytest.fixture
def plan(plan: SweepPlan) -> SweepPlan:
    """Of few settings with large batches, because single items are many flushes to store."""
    return replace(plan, closed_loop_batch_sizes=(100, 400), replay_batch_sizes=(100,))


class NoisyCost(KnownCost):
    """Visits scatter by so much, and whole blocks by far more."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self._random = Random(7)
        self._deviation = deviation

    def __call__(self, *arguments: object) -> Measurement:
        found = super().__call__(*arguments)  # type: ignore[arg-type]
        factor = self._random.lognormvariate(0, self._deviation)
        return replace(found, items_per_writer_second=found.items_per_writer_second * factor)


def swept(
    plan: SweepPlan, store: ResultsStore, deviation: float, *, precision: float = 0.05, budget: float = 1e9
) -> tuple[PreciseSweep, NoisyCost]:
    cost = NoisyCost(deviation)
    visits = len(plan.cells)
    found = run_until_precise(
        plan,
        store,
        LOOKS,
        precision=precision,
        budget_seconds=budget,
        run=partial(run_sweep, progress=False, measure_cell=cost),
        clock=lambda: len(cost.visited) / visits,  # a block takes a second
    )
    return found, cost


def test_little_noise_takes_few_blocks(plan: SweepPlan, store: ResultsStore) -> None:
    found, cost = swept(plan, store, 0.01)
    assert (found.stop, found.plan.blocks) == (Stop.KNOWN, 6)
    assert found.width <= 0.05
    assert found.report.measured == len(cost.visited) == 6 * len(plan.cells)
    assert len(Findings(found.plan, store).visits) == 6 * len(plan.cells)


def test_more_noise_takes_more_blocks_and_much_noise_the_most(plan: SweepPlan, store: ResultsStore) -> None:
    found, cost = swept(plan, store, 0.20)
    assert (found.stop, found.plan.blocks) == (Stop.MOST, 18)
    assert found.width > 0.05
    assert found.report.measured == len(cost.visited) == 18 * len(plan.cells)
    again, nothing = swept(plan, store, 0.20)
    assert nothing.visited == []
    assert (again.plan, again.report.reused, again.width) == (found.plan, 6 * len(plan.cells), found.width)


def test_no_blocks_beyond_the_budget(plan: SweepPlan, store: ResultsStore) -> None:
    found, cost = swept(plan, store, 0.20, budget=13.0)
    assert (found.stop, found.plan.blocks) == (Stop.BUDGET, 12)
    assert len(cost.visited) == 12 * len(plan.cells)


def test_what_a_block_does_to_all_settings_is_no_noise() -> None:
    visits = pd.DataFrame(
        [
            {
                "mode": "closed loop",
                "flush_interval": 0.05,
                "added_latency": np.nan,
                "sizing": "fixed",
                "latency_target": 0.0,
                "block": block,
                "batch_size": size,
                "items_per_writer_second": (1 + block) * size * (1.01 if (block + size) % 2 else 1.0),
            }
            for block in range(6)
            for size in (1, 10)
        ]
    )
    assert widest_throughput(visits) < 0.02
    alone = visits[visits["batch_size"] == 1]
    assert widest_throughput(alone) < 1e-9  # a single setting differs from none


def test_a_precision_of_nothing_is_refused(plan: SweepPlan, store: ResultsStore) -> None:
    with pytest.raises(InvalidInput, match="precision must be finite and above zero"):
        swept(plan, store, 0.01, precision=0.0)
    assert store.visits(plan).empty
