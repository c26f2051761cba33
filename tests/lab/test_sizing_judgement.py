"""The promise of adaptive sizing, judged on given figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from perflab.lab.sizing_judgement import JudgedLoad, Judgement, judge, judgement_reading, judgement_table, met_under
from perflab.lab.sweep.measure import Measurement, Slice
from perflab.lab.sweep.plan import Cell, SweepPlan
from perflab.lab.sweep.run import run_sweep
from perflab.lab.sweep.sizing_findings import SizingFindings
from perflab.lab.sweep.store import ResultsStore
from perflab.lab.sweep.target import Target
from tests.lab.sweep.known_cost import KnownCost

TARGET = 0.020
PLAN = SweepPlan(
    name="a load",
    replay_batch_sizes=(10, 100),
    replay_flush_intervals=(0.0,),
    sizings=("adaptive",),
    latency_target=TARGET,
    blocks=6,
)
CLIENTS = replace(
    PLAN,
    name="clients",
    replay_batch_sizes=(),
    closed_loop_batch_sizes=(10, 100),
    closed_loop_items=400,
    closed_loop_clients=50,
)
STEADY = (1.0,) * 6


class GivenFigures(KnownCost):
    """Fixed settings write 1,000 items a second in 10 ms, 100 at a time 1 % more. The policy has so many times of that
    throughput and of the target, visit by visit; where it has no p99, it did not keep up."""

    def __init__(self, ratios: Sequence[float], p99s: Sequence[float | None], fixed_p99: float = 0.010) -> None:
        super().__init__()
        self._ratios, self._p99s, self._fixed_p99 = iter(ratios), iter(p99s), fixed_p99

    def __call__(self, cell: Cell, part: Slice, watches: Sequence[str], target: Target) -> Measurement:
        measured = super().__call__(cell, part, watches, target)
        throughput = 1_010.0 if cell.batch_size == 100 else 1_000.0
        if cell.sizing == "fixed":
            return replace(measured, items_per_second=throughput, p99=self._fixed_p99)
        p99 = next(self._p99s)
        return replace(
            measured,
            items_per_second=1_010.0 * next(self._ratios),
            p99=None if p99 is None else p99 * TARGET,
            stable=p99 is not None,
        )


def judged(
    path: Path, ratios: Sequence[float], p99s: Sequence[float | None], *, plan: SweepPlan = PLAN, fixed: float = 0.010
) -> JudgedLoad:
    with ResultsStore(path / "results.duckdb") as store:
        run_sweep(plan, store, progress=False, measure_cell=GivenFigures(ratios, p99s, fixed))
        (found,) = judge(SizingFindings({plan.name: plan}, store))
    return found


def around(middle: float, width: float) -> tuple[float, ...]:
    return (middle - width, middle + width) * 3


@pytest.mark.parametrize(
    ("ratios", "p99s", "verdicts"),
    [
        (around(0.97, 0.005), around(0.9, 0.01), ("met", "met", "met")),
        (around(0.94, 0.005), around(0.9, 0.01), ("not met", "met", "not met")),
        (around(0.95, 0.02), around(0.9, 0.01), ("cannot tell", "met", "cannot tell")),
        (around(0.97, 0.005), around(1.1, 0.01), ("met", "not met", "not met")),
        (around(0.97, 0.005), around(1.0, 0.05), ("met", "cannot tell", "cannot tell")),
        (around(0.95, 0.02), around(1.1, 0.01), ("cannot tell", "not met", "not met")),
        (around(0.97, 0.005), (None, 0.5, 0.5, 0.5, 0.5, 0.5), ("met", "not met", "not met")),
    ],
)
def test_a_promise_is_met_or_missed_by_a_whole_interval(
    tmp_path: Path,
    ratios: tuple[float, ...],
    p99s: tuple[float | None, ...],
    verdicts: tuple[str, str, str],
) -> None:
    found = judged(tmp_path, ratios, p99s)
    assert (found.reaches, found.in_time, found.verdict) == verdicts
    assert found.best.cell.batch_size == 100
    assert (found.fixed, found.fixed_within) == (2, 2)


def test_clients_that_wait_are_judged_like_a_replay(tmp_path: Path) -> None:
    found = judged(tmp_path, around(0.94, 0.005), around(0.9, 0.01), plan=CLIENTS)
    assert (found.reaches, found.in_time, found.verdict) == ("not met", "met", "not met")


def test_the_best_is_of_those_in_time_where_there_are_some(tmp_path: Path) -> None:
    class LateHundreds(GivenFigures):
        def __call__(self, cell: Cell, part: Slice, watches: Sequence[str], target: Target) -> Measurement:
            measured = super().__call__(cell, part, watches, target)
            return replace(measured, p99=1.0) if cell.batch_size == 100 else measured

    with ResultsStore(tmp_path / "results.duckdb") as store:
        run_sweep(PLAN, store, progress=False, measure_cell=LateHundreds(STEADY, (0.5,) * 6))
        (found,) = judge(SizingFindings({PLAN.name: PLAN}, store))
    assert found.best.label == "10 at 0 ms"
    assert found.throughput.value == pytest.approx(1.01)
    assert found.fixed_within == 1


def test_where_none_is_in_time_the_best_is_of_all_and_the_reading_says_so(tmp_path: Path) -> None:
    found = judged(tmp_path, STEADY, around(1.5, 0.01), fixed=0.030)
    assert found.best.label == "100 at 0 ms"
    assert judgement_reading([found]) == (
        "Adaptive sizing reaches 95.0% of the throughput of the best fixed setting, with a p99 within 20.0 ms, under 0 "
        "of 1 loads. a load: not met, for its p99 is 30.0 ms [29.8, 30.2] (the load itself came 100 µs late), and none "
        "of 2 fixed settings kept within the target."
    )


def test_the_table_and_the_reading_say_what_is_missing(tmp_path: Path) -> None:
    good = judged(tmp_path, STEADY, (0.5,) * 6)
    bad = replace(good, load="another", throughput=replace(good.throughput, value=0.9, low=0.8, high=0.94))
    assert good.verdict is Judgement.MET
    assert met_under([good, bad]) == "under 1 of 2 loads"
    first, second = judgement_table([good, bad]).splitlines()[2:]
    figures = "| 10.0 ms [10.0, 10.0] | 10.0 ms [10.0, 10.0] | 100 µs | 2 of 2 |"
    assert first == f"| a load | 1,010/s (100 at 0 ms) | 1,010/s | 1.00 [1.00, 1.00] {figures} **met** |"
    assert second == f"| another | 1,010/s (100 at 0 ms) | 1,010/s | 0.900 [0.800, 0.940] {figures} **not met** |"
    assert judgement_reading([good, bad]).endswith(
        "under 1 of 2 loads. another: not met, for it has 0.900 [0.800, 0.940] times the throughput of 100 at 0 ms."
    )
