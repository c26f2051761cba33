"""Histories with changes at known places, and what would have been seen in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from perflab.errors import InvalidInput, WrongAnswer
from perflab.lab.gate.measured_run import CellCosts, MeasuredRun, Unit
from perflab.lab.gate.run_history import history_of
from perflab.lab.plots import rises_seen
from perflab.lab.trend_study.findings import RISES, RUNS_AFTER, TrendFindings
from perflab.lab.trend_study.measure import BulkEnqueue, ByHand, prepared
from perflab.lab.trend_study.plan import BATCH_SIZE, Phase, TrendPlan, trend_plan

PLAN = TrendPlan(runs_per_phase=5, blocks=6, drawn_histories=30)


def findings(
    plan: TrendPlan | None = PLAN, *, noise: float = 0.02, factor: float = 3.0, cell: str = ""
) -> TrendFindings:
    """Runs as the plan has them: full durability makes both ways four times slower, the change of the code ours."""
    rng, runs = Random(5), []
    for number in range(PLAN.runs):
        phase = PLAN.phase_of(number)
        machine = 1.0 if phase.durability == "normal" else 4.0
        ours = machine * (factor if phase.calls_per_batch > 1 else 1.0) * rng.lognormvariate(0, noise)
        costs = CellCosts(Unit.SECONDS_PER_ITEM, 1, {0: 5e-6 * ours}, {0: {"by hand": 4e-6 * machine}})
        steady = replace(costs, costs={0: 5e-6 * machine})
        moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)
        runs.append(MeasuredRun(str(number), moment, {"commit": "c"}, (phase.durability,), {"a": costs, "b": steady}))
    return TrendFindings(history_of(runs), plan, cell=cell)


@pytest.fixture(scope="module")
def usual() -> TrendFindings:
    """What it has drawn serves all tests."""
    return findings(noise=0.05)


def places(found: TrendFindings) -> Sequence[int]:
    return [change.run for change in found.cell.changes]


def test_each_phase_has_as_many_runs_and_changes_one_thing() -> None:
    phases = [PLAN.phase_of(run) for run in range(PLAN.runs)]
    assert phases == [Phase("normal", 1)] * 5 + [Phase("full", 1)] * 5 + [Phase("full", 4)] * 5
    assert (PLAN.durability_changes_at, PLAN.code_changes_at) == (5, 10)
    assert [trend_plan(profile).runs for profile in ("smoke", "quick", "full")] == [12, 30, 60]


@pytest.mark.parametrize(
    "values", [{"runs_per_phase": 3}, {"blocks": 5}, {"calls_per_batch": 0}, {"drawn_histories": 1}]
)
def test_a_plan_that_cannot_be_is_refused(values: dict[str, int]) -> None:
    (name,) = values
    with pytest.raises(InvalidInput, match=name):
        replace(PLAN, **values)


def test_the_change_of_the_code_is_found_and_the_one_around_it_cancels() -> None:
    found = findings()
    assert (found.cell.name, places(found)) == ("a", [10])
    assert found.rise is not None
    assert found.rise.run == 10
    assert "durability was changed before run 5, and the code was changed before run 10" in found.describe()
    assert "a rise that nothing explains is found at run 10" in found.describe()


def test_in_time_the_change_around_the_runs_is_a_step_too() -> None:
    found = findings().in_time
    assert places(found) == [5, 10]
    assert [change.mark is None for change in found.cell.changes] == [False, True]


def test_where_the_code_did_not_change_nothing_is_left_to_it() -> None:
    found = findings(replace(PLAN, calls_per_batch=1), factor=1.0)
    assert (found.rise, places(found)) == (None, [])
    assert "the code was not changed; nothing is found" in found.describe()


def test_noise_is_that_around_the_levels() -> None:
    assert findings(noise=0.02).noise == pytest.approx(0.02, rel=0.5)
    assert findings(noise=0.0).noise == pytest.approx(0.0, abs=1e-9)


def test_a_large_rise_is_seen_soon_a_small_one_later_and_none_is_no_alarm(usual: TrendFindings) -> None:
    seen = usual.seen
    assert len(seen) == len(RISES) * len(RUNS_AFTER)
    shares = seen.pivot_table(index="rise", columns="runs_after", values="found")
    assert (shares.loc[0.0] <= 0.05).all()
    assert (shares.loc[1.0] > 0.8).all()
    assert shares.loc[[0.1], [3]].to_numpy()[0, 0] < shares.loc[[0.1], [10]].to_numpy()[0, 0]
    assert ((seen["low"] <= seen["found"]) & (seen["found"] <= seen["high"])).all()


def test_the_figure_says_what_is_sure_to_be_seen(usual: TrendFindings) -> None:
    smallest = usual.smallest_seen(5)
    assert smallest is not None
    assert rises_seen(usual).title == f"A rise of {smallest:.1%} is seen within 5 runs"
    assert rises_seen(usual).data is usual.seen
    loud = findings(noise=0.8, factor=60.0)
    assert loud.smallest_seen(5) is None
    assert rises_seen(loud).title == "No rise up to 100% is sure to be seen within 5 runs"


def test_a_cell_is_chosen_by_name_and_an_unknown_one_is_refused() -> None:
    assert findings(cell="b").cell.name == "b"
    with pytest.raises(InvalidInput, match="there is no cell 'c': use one of 'a', 'b'"):
        findings(cell="c")


def test_runs_without_a_plan_say_nothing_about_what_was_done() -> None:
    assert "known" not in findings(None).describe()


def test_the_headline_has_where_it_was_changed_where_that_was_found_and_what_would_be(usual: TrendFindings) -> None:
    assert usual.headline() == {
        "runs": 15,
        "changes_of_level": 1,
        "changed_at_run": 10,
        "unexplained_rise_at_run": 10,
        "noise_fraction": usual.noise,
        "seen_after_5_runs_fraction": usual.smallest_seen(5),
    }


def test_both_arms_write_all_jobs_however_many_calls_it_takes() -> None:
    with prepared() as work:
        for arm in (BulkEnqueue(Phase("full", 7), work), ByHand("full", work)):
            assert arm.visit(0) > 0


def test_lost_jobs_are_a_wrong_answer() -> None:
    with prepared() as work:
        less = replace(work, jobs=work.jobs[:-1])
        with pytest.raises(WrongAnswer, match=f"{5 * BATCH_SIZE} jobs are ready, and {6 * BATCH_SIZE} were written"):
            BulkEnqueue(Phase("normal", 1), less).visit(0)
