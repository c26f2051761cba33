"""The figures of adaptive batching, of a world whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest

from perflab.lab.plots import adaptive_against_the_best, latency_and_cost_by_load, sizes_through_a_change
from perflab.lab.simulation.study import change_study
from perflab.lab.sweep.plan import SweepPlan
from perflab.lab.sweep.run import run_sweep
from perflab.lab.sweep.sizing_findings import SizingFindings
from perflab.lab.sweep.store import ResultsStore
from tests.lab.plots.drawn import text_of, x_of
from tests.lab.sweep.test_sizing_sweeps import CAPACITY, REPLAY, KnownPolicies


def found(store: ResultsStore, *plans: SweepPlan) -> SizingFindings:
    for plan in plans:
        run_sweep(plan, store, progress=False, measure_cell=KnownPolicies())
    return SizingFindings({plan.name: plan for plan in plans}, store)


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SizingFindings]:
    with ResultsStore(tmp_path_factory.mktemp("sizing") / "results.duckdb") as store:
        yield found(store, REPLAY, replace(REPLAY, name="quicker", seed=2), CAPACITY)


def test_the_title_counts_the_loads_within_the_target(findings: SizingFindings) -> None:
    plot = latency_and_cost_by_load(findings)
    assert plot.title == "Adaptive sizing keeps its p99 within 5.00 ms under 2 of 2 loads"
    assert plot.reading.count("of 4 fixed settings meet the target") == 2
    assert set(plot.data["load"]) == {"flights", "quicker"}


def test_what_did_not_keep_up_is_not_drawn(findings: SizingFindings) -> None:
    plot = latency_and_cost_by_load(findings)
    latency, cost = plot.figure.axes
    drawn = [x for line in latency.lines for x in x_of(line) if line.get_marker() == "o"]
    assert len(drawn) == 2, "adaptive under both loads, and no AIMD"
    adaptive = plot.data[plot.data["sizing"] == "adaptive"]
    assert sorted(drawn) == pytest.approx(sorted(adaptive["p99"] * 1e3))
    assert len([x for line in cost.lines for x in x_of(line) if line.get_marker() == "o"]) == 4
    marks = [x for line in latency.lines for x in x_of(line) if line.get_marker() == "|" and len(x_of(line)) == 4]
    fixed = plot.data[plot.data["sizing"] == "fixed"]["p99"]
    assert sorted(marks) == pytest.approx(sorted(fixed * 1e3))
    assert "flights" in text_of(latency.get_yticklabels())


def test_the_contest_says_where_it_wins_and_where_it_does_not(findings: SizingFindings) -> None:
    plot = adaptive_against_the_best(findings)
    data = plot.data.set_index(["load", "figure"])["verdict"].to_dict()
    assert data == {
        ("flights", "p99"): "better",
        ("flights", "writer's time"): "worse",
        ("quicker", "p99"): "better",
        ("quicker", "writer's time"): "worse",
        ("capacity", "throughput"): "worse",
    }
    assert plot.title.endswith("adaptive is better 2, worse 3 and not clearly different 0 times")
    assert "p99 0.250 [0.250, 0.250] times that of 10 at 0 ms (better)" in plot.reading
    assert [label.get_text() for label in plot.figure.axes[0].get_yticklabels()][-1] == (
        "flights: p99, against 10 at 0 ms"
    )


def test_a_policy_that_never_kept_up_has_no_latency_to_compare(findings: SizingFindings) -> None:
    plot = adaptive_against_the_best(findings, "AIMD")
    assert "p99" not in set(plot.data["figure"])
    nothing = adaptive_against_the_best(findings, "ski rental")
    assert nothing.data.empty
    assert "nothing can be compared" in nothing.reading


def test_the_change_is_told_by_its_flushes() -> None:
    study = change_study(0.020, flushes=100, seed=3)
    plot = sizes_through_a_change(study)
    adaptive = [change for change in study.changes if change.policy == "adaptive"]
    assert [change.slower for change in adaptive] == [True, False]
    assert [change.wanted for change in adaptive] == pytest.approx([178, 647], abs=1)
    taken = [change.flushes for change in adaptive]
    assert all(flushes is not None and flushes <= 60 for flushes in taken)
    within = max(flushes or 0 for flushes in taken)
    assert (
        plot.title == f"The adaptive size is near the right one again within {within} flushes of a change of the cost"
    )
    assert f"adaptive going down to 178 items took {taken[0]} flushes" in plot.reading
    assert [axes.get_title(loc="left") for axes in plot.figure.axes] == ["adaptive", "AIMD"]
    rows = plot.data[plot.data["policy"] == "AIMD"]
    assert x_of(plot.figure.axes[1].lines[1]).tolist() == rows["flush"].tolist()
    assert math.isclose(rows["wanted"].max(), 980)
