from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from perflab.errors import InvalidInput, StoreError
from perflab.lab.gate.compare_runs import RunComparison, compare_runs
from perflab.lab.gate.judgement import Outcome, Thresholds, judge_cells
from perflab.lab.gate.measured_run import CellCosts, MeasuredRun, Unit
from perflab.lab.sweep.plan import SweepPlan
from tests.lab.gate.written_runs import drop_samples, write_bench_folder, write_store

PLAN = SweepPlan(
    closed_loop_batch_sizes=(1, 100),
    replay_batch_sizes=(100,),
    replay_flush_intervals=(0.010,),
    blocks=6,
    closed_loop_items=400,
    warm_up_items=50,
)


def compared(before: Path, after: Path, *, force: bool = False, margin: float = 0.10) -> RunComparison:
    return compare_runs(before, after, Thresholds(margin), force=force)


@pytest.mark.parametrize(
    ("factor", "outcome"),
    [(0.7, Outcome.PASS), (1.0, Outcome.PASS), (1.02, Outcome.PASS), (1.2, Outcome.REGRESSION)],
)
def test_the_outcome_follows_the_cost(tmp_path: Path, factor: float, outcome: Outcome) -> None:
    a = write_bench_folder(tmp_path / "a", seed=1)
    b = write_bench_folder(tmp_path / "b", seed=2, factor=factor)
    comparison = compared(a, b)
    assert comparison.outcome is outcome
    (cell,) = comparison.cells
    assert cell.ratio is not None
    assert cell.ratio.low < factor < cell.ratio.high


def test_what_noise_hides_is_inconclusive_and_not_a_pass(tmp_path: Path) -> None:
    a = write_bench_folder(tmp_path / "a", seed=1, noise=0.5)
    b = write_bench_folder(tmp_path / "b", seed=2, noise=0.5)
    comparison = compared(a, b)
    assert comparison.outcome is Outcome.INCONCLUSIVE
    assert "measure more blocks" in comparison.cells[0].reason


def test_what_the_machine_does_to_all_arms_of_a_block_cancels(tmp_path: Path) -> None:
    a = write_bench_folder(tmp_path / "a", seed=1)
    b = write_bench_folder(tmp_path / "b", seed=2, machine=3.0)
    comparison = compared(a, b)
    assert comparison.outcome is Outcome.PASS
    (cell,) = comparison.cells
    assert cell.before is not None
    assert cell.after is not None
    assert cell.after / cell.before > 1.5, "the seconds themselves went up"


def test_without_a_raw_form_the_seconds_are_compared(tmp_path: Path) -> None:
    a = write_bench_folder(tmp_path / "a", seed=1, raw=False)
    b = write_bench_folder(tmp_path / "b", seed=2, raw=False, factor=1.5)
    assert compared(a, b).outcome is Outcome.REGRESSION


def test_a_rise_below_the_floor_passes(tmp_path: Path) -> None:
    a = write_bench_folder(tmp_path / "a", seed=1)
    b = write_bench_folder(tmp_path / "b", seed=2, factor=1.3)
    assert compare_runs(a, b, Thresholds(0.1, floor_per_item_seconds=3e-6)).outcome is Outcome.PASS
    assert compare_runs(a, b, Thresholds(0.1, floor_per_item_seconds=1e-6)).outcome is Outcome.REGRESSION


def test_a_cell_that_was_planned_and_not_measured_is_no_pass(tmp_path: Path) -> None:
    a = write_bench_folder(tmp_path / "a", operations=("enqueue", "claim"))
    b = write_bench_folder(tmp_path / "b", operations=("enqueue", "claim"), seed=2)
    drop_samples(b, operation="claim", block=3)
    comparison = compared(a, b)
    assert comparison.outcome is Outcome.NOT_MEASURED
    by_name = {cell.name: cell for cell in comparison.cells}
    assert by_name["enqueue, sqlite"].outcome is Outcome.PASS
    assert by_name["claim, sqlite"].reason == "B has 11 of 12 planned blocks"


def test_a_cell_that_vanished_is_no_pass_and_a_new_one_is_named(tmp_path: Path) -> None:
    a = write_bench_folder(tmp_path / "a", operations=("enqueue", "claim"))
    b = write_bench_folder(tmp_path / "b", operations=("enqueue", "done"))
    comparison = compared(a, b)
    assert comparison.outcome is Outcome.NOT_MEASURED
    assert comparison.cells[1].reason == "B does not have it"
    assert comparison.only_after == ["done, sqlite"]


def test_a_proven_regression_stays_one_beside_a_missing_cell(tmp_path: Path) -> None:
    a = write_bench_folder(tmp_path / "a", operations=("enqueue", "claim"))
    b = write_bench_folder(tmp_path / "b", factor=1.4, operations=("enqueue",), seed=2)
    assert compared(a, b).outcome is Outcome.REGRESSION


def test_five_blocks_are_too_few_for_a_verdict(tmp_path: Path) -> None:
    a, b = (write_bench_folder(tmp_path / name, blocks=5) for name in "ab")
    comparison = compared(a, b)
    assert comparison.outcome is Outcome.INCONCLUSIVE
    assert comparison.cells[0].reason == "5 blocks in both: 6 are needed for a verdict"


def test_among_many_cells_one_that_is_barely_beyond_is_not_proven() -> None:
    """The same cell regresses alone, and cannot be told from chance among forty."""
    rng = Random(4)

    def run(factor: float, others: int) -> MeasuredRun:
        noise = Random(4 + (factor > 1))
        odd = CellCosts(
            Unit.SECONDS_PER_ITEM, 12, {n: 5e-6 * factor * noise.lognormvariate(0, 0.03) for n in range(12)}
        )
        same = CellCosts(Unit.SECONDS_PER_ITEM, 12, {n: 5e-6 * rng.lognormvariate(0, 0.03) for n in range(12)})
        cells = {"odd": odd, **{f"same {number}": same for number in range(others)}}
        return MeasuredRun("", datetime(2026, 1, 1, tzinfo=UTC), {}, (), cells)

    alone, among = (judge_cells(run(1, others), run(1.15, others), Thresholds(0.1))[0] for others in (0, 39))
    assert alone.outcome is Outcome.REGRESSION
    assert among.outcome is Outcome.INCONCLUSIVE
    assert among.ratio == alone.ratio
    assert among.p_value == pytest.approx((alone.p_value or 0) * 40)


def test_rounds_are_the_blocks_of_a_comparison(tmp_path: Path) -> None:
    for number in range(8):
        drift = 1 + number / 4  # the machine gets slower and slower, and both sides with it
        write_bench_folder(tmp_path / "a" / f"{number}", seed=number, factor=drift, blocks=6, raw=False)
        write_bench_folder(tmp_path / "b" / f"{number}", seed=100 + number, factor=drift, blocks=6, raw=False)
        write_bench_folder(tmp_path / "c" / f"{number}", seed=200 + number, factor=1.2 * drift, blocks=6, raw=False)
    same, slower = compared(tmp_path / "a", tmp_path / "b"), compared(tmp_path / "a", tmp_path / "c")
    assert (same.outcome, slower.outcome) == (Outcome.PASS, Outcome.REGRESSION)
    ratio = slower.cells[0].ratio
    assert ratio is not None
    assert ratio.n == 8


def test_a_round_that_is_not_complete_is_told(tmp_path: Path) -> None:
    for number in range(6):
        write_bench_folder(tmp_path / "a" / f"{number}", seed=number)
        write_bench_folder(tmp_path / "b" / f"{number}", seed=number)
    drop_samples(tmp_path / "b" / "4", block=2)
    comparison = compared(tmp_path / "a", tmp_path / "b")
    assert comparison.outcome is Outcome.NOT_MEASURED
    assert comparison.cells[0].reason == "B has 5 of 6 planned blocks"


def test_rounds_without_their_twin_are_refused(tmp_path: Path) -> None:
    for number in range(8):
        write_bench_folder(tmp_path / "a" / f"{number}", seed=number)
        write_bench_folder(tmp_path / "b" / f"{number}", seed=number)
    shutil.rmtree(tmp_path / "b" / "3")
    with pytest.raises(StoreError, match=r"has 8 runs and .* has 7: rounds are compared in pairs"):
        compared(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cpu": "another"}, "cpu: one → another"),
        ({"cores": 64}, "cores: 2 → 64"),
        ({"engine": "SQLite 3.45 (WAL, synchronous=FULL)"}, "synchronous=FULL"),
    ],
)
def test_another_machine_or_durability_is_refused_unless_forced(
    tmp_path: Path, changed: dict[str, object], message: str
) -> None:
    a, b = write_bench_folder(tmp_path / "a"), write_bench_folder(tmp_path / "b", seed=2, **changed)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match=f"not measured under the same conditions.*{message}.*--force"):
        compared(a, b)
    forced = compared(a, b, force=True)
    assert forced.outcome is Outcome.PASS
    assert any(message in str(difference) for difference in forced.differences)


def test_another_python_is_told_and_load_and_commit_are_not(tmp_path: Path) -> None:
    a = write_bench_folder(tmp_path / "a")
    b = write_bench_folder(tmp_path / "b", seed=2, python="3.13.0", load_average=9.0, commit="def")
    comparison = compared(a, b)
    assert comparison.outcome is Outcome.PASS
    assert [str(difference) for difference in comparison.differences] == ["python: 3.12.1 → 3.13.0"]


def test_one_odd_round_among_several_is_another_machine(tmp_path: Path) -> None:
    for number in range(6):
        write_bench_folder(tmp_path / "a" / f"{number}")
        write_bench_folder(tmp_path / "b" / f"{number}", cpu="another" if number == 3 else "one")
    with pytest.raises(StoreError, match="cpu: one → another"):
        compared(tmp_path / "a", tmp_path / "b")


def test_two_sweeps_are_compared_in_time_latency_and_round_trips(tmp_path: Path) -> None:
    a = write_store(tmp_path / "a.duckdb", PLAN)
    b = write_store(tmp_path / "b.duckdb", PLAN, factor=1.3)
    comparison = compared(a, b)
    found = {cell.name.rpartition(": ")[2]: cell.outcome for cell in comparison.cells}
    assert len(comparison.cells) == 5
    assert found == {
        "writer time": Outcome.REGRESSION,
        "round trips": Outcome.PASS,
        "p99": Outcome.REGRESSION,
    }


def test_a_sweep_that_is_not_at_its_end_could_not_be_measured(tmp_path: Path) -> None:
    a = write_store(tmp_path / "a.duckdb", replace(PLAN, blocks=8))
    b = tmp_path / "b.duckdb"
    write_store(b, replace(PLAN, blocks=7))
    assert compared(a, b).outcome is Outcome.PASS, "seven complete blocks are a plan of their own"

    import duckdb

    with duckdb.connect(str(b)) as connection:
        connection.execute("DELETE FROM visits WHERE block = 6 AND batch_size = 100")
    comparison = compared(a, b)
    assert comparison.outcome is Outcome.NOT_MEASURED
    assert comparison.cells[-1].reason == "B has 6 of 7 planned blocks"


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    a = write_bench_folder(tmp_path / "a")
    (tmp_path / "empty").mkdir()
    broken = write_bench_folder(tmp_path / "broken")
    (broken / "bench.json").write_text("{")
    for other, message in (
        (tmp_path / "missing", "there is no run at"),
        (tmp_path / "missing.duckdb", "there is no run at"),
        (tmp_path / "empty", "there is no run at"),
        (broken, "cannot be read .*: measure it again"),
        (a, "is compared with itself"),
    ):
        with pytest.raises(StoreError, match=message):
            compared(a, other)
    assert not (tmp_path / "missing.duckdb").exists()


def test_bad_thresholds_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"margin is -0\.1"):
        Thresholds(-0.1)
    with pytest.raises(InvalidInput, match="level must lie between 0 and 1"):
        Thresholds(level=95)
