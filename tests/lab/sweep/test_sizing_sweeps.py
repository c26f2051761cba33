"""Sweeps with sizing policies: what is planned, stored and found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perflab.batching.sizing.aimd import AimdSizing
from perflab.batching.sizing.cost_model import CostModelSizing
from perflab.errors import InvalidInput, StoreError
from perflab.lab.sweep.findings import Findings
from perflab.lab.sweep.measure import Measurement, Slice, measure
from perflab.lab.sweep.plan import Cell, Mode, SweepPlan
from perflab.lab.sweep.run import Slices, run_sweep
from perflab.lab.sweep.sizing_findings import SizingFindings
from perflab.lab.sweep.sizing_study import AS_FAST_AS_POSSIBLE, SATURATED, SHARES, SizingStudy, run_sizing_study
from perflab.lab.sweep.sizings import sizing_named
from perflab.lab.sweep.sqlite_target import SQLiteTarget
from perflab.lab.sweep.store import ResultsStore
from perflab.lab.sweep.subject import ingest_events, watch_names
from perflab.lab.sweep.target import Target
from perflab.lab.workloads.flights import load_flights
from perflab.lab.workloads.request_traces import TRACES_VARIABLE
from tests.lab.sweep.known_cost import KnownCost

REPLAY = SweepPlan(
    name="flights",
    replay_batch_sizes=(10, 100),
    replay_flush_intervals=(0.0, 0.010),
    sizings=("adaptive", "AIMD"),
    latency_target=0.005,
    blocks=6,
)
CAPACITY = replace(
    REPLAY,
    name="capacity",
    replay_batch_sizes=(),
    replay_flush_intervals=(),
    closed_loop_batch_sizes=(10, 100),
    closed_loop_items=400,
)


class KnownPolicies(KnownCost):
    """As `KnownCost`; the adaptive policy has a quarter of the latency, twice the cost and half the throughput of the
    fixed 10 at 0 ms, and AIMD does not keep up."""

    def __call__(self, cell: Cell, part: Slice, watches: Sequence[str], target: Target) -> Measurement:
        if cell.sizing == "fixed":
            return super().__call__(cell, part, watches, target)
        like = replace(cell, batch_size=10, flush_interval=0.0, sizing="fixed")
        measured = super().__call__(like, part, watches, target)
        return replace(
            measured,
            p99=None if measured.p99 is None or cell.sizing == "AIMD" else measured.p99 / 4,
            stable=cell.sizing != "AIMD",
            writer_seconds=measured.writer_seconds * 2,
            items_per_second=measured.items_per_second / 2,
        )


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ResultsStore]:
    with ResultsStore(tmp_path_factory.mktemp("policies") / "results.duckdb") as opened:
        for plan in (REPLAY, CAPACITY):
            run_sweep(plan, opened, progress=False, measure_cell=KnownPolicies())
        yield opened


@pytest.fixture(scope="module")
def findings(measured: ResultsStore) -> SizingFindings:
    return SizingFindings({plan.name: plan for plan in (REPLAY, CAPACITY)}, measured)


# -- plans -------------------------------------------------------------------------------------------------------------


def test_each_policy_is_a_cell_of_each_mode_that_is_measured() -> None:
    both = replace(REPLAY, closed_loop_batch_sizes=(10,))
    adaptive = [cell for cell in both.cells if cell.sizing != "fixed"]
    assert [(cell.mode, cell.sizing) for cell in adaptive] == [
        (Mode.CLOSED_LOOP, "adaptive"),
        (Mode.CLOSED_LOOP, "AIMD"),
        (Mode.REPLAY, "adaptive"),
        (Mode.REPLAY, "AIMD"),
    ]
    assert {(cell.batch_size, cell.flush_interval, cell.latency_target) for cell in adaptive} == {(5_000, 0.010, 0.005)}
    assert str(adaptive[0]) == "closed loop, adaptive, latency target 5 ms"


def test_the_target_is_part_of_what_a_policy_measures_and_of_nothing_else() -> None:
    other = replace(REPLAY, latency_target=0.010)
    for mine, theirs in zip(REPLAY.visits(), other.visits(), strict=True):
        same = REPLAY.visit_key(mine) == other.visit_key(theirs)
        assert same is (mine.cell.sizing == "fixed")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizings": ("fixed",)}, "fixed settings are given by batch size and flush interval"),
        ({"sizings": ("best",)}, "a sizing is 'best': use one of 'fixed', 'adaptive', 'ski rental', 'AIMD'"),
        ({"sizings": ("adaptive", "adaptive")}, "names a cell twice"),
        ({"latency_target": 0.0}, "latency_target is 0.0"),
        ({"arrivals": "trains"}, "arrivals is 'trains': use one of 'flights', 'independent', 'azure code'"),
        ({"closed_loop_clients": 0}, "closed_loop_clients is 0"),
    ],
)
def test_plans_that_cannot_be_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        replace(REPLAY, **change)


def test_names_are_policies() -> None:
    assert sizing_named("fixed", 0.01) == "fixed"
    assert sizing_named("adaptive", 0.01) == CostModelSizing(latency_target=0.01)
    assert sizing_named("ski rental", 0.01) == CostModelSizing(latency_target=0.01, wait="ski-rental")
    assert sizing_named("AIMD", 0.01) == AimdSizing(latency_target=0.01)


@pytest.mark.parametrize("profile", ["smoke", "quick", "full"])
def test_profiles_leave_out_the_traces_that_are_not_there(profile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TRACES_VARIABLE, raising=False)
    plans = SizingStudy(profile, 0.030).replays(40_000.0)
    assert list(plans) == [
        *("10% of capacity", "30% of capacity", "60% of capacity", "85% of capacity"),
        "flights, 100,000-fold",
    ]
    assert all("adaptive" in plan.sizings and plan.latency_target == 0.030 for plan in plans.values())


def test_there_is_no_huge_profile() -> None:
    with pytest.raises(InvalidInput, match="profile is 'huge': use one of 'smoke', 'quick', 'full'"):
        SizingStudy("huge", 0.030)  # type: ignore[arg-type]


def test_a_study_does_not_show_the_url() -> None:
    study = SizingStudy("smoke", 0.030, "postgresql", "postgresql://me:secret@db.example/lab")
    assert "secret" not in f"{study!r} {study.as_fast_as_possible()!r}"


@pytest.mark.parametrize("capacity", [400.0, 12_345.0, 99_999.0, 3e6])
def test_loads_are_shares_of_the_capacity_with_enough_items_for_a_p99(
    capacity: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TRACES_VARIABLE, raising=False)
    plans = SizingStudy("quick", 0.020).replays(capacity)
    for share in SHARES:
        plan = plans[f"{share:.0%} of capacity"]
        assert plan.speed_up == pytest.approx(share * capacity, rel=0.05), "two digits"
        assert plan.arrivals == "independent"
        assert 1_100 < plan.speed_up * plan.replay_seconds < 16_000


def test_a_study_measures_the_capacity_first_and_goes_on_where_it_stopped(
    store: ResultsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TRACES_VARIABLE, raising=False)
    study, measured = SizingStudy("smoke", 0.020), KnownPolicies()
    report, findings = run_sizing_study(study, store, measure_cell=measured)
    assert report.measured == sum(plan.blocks * len(plan.cells) for plan in findings.plans.values())
    assert list(findings.plans)[-2:] == [SATURATED, AS_FAST_AS_POSSIBLE]
    # the one fixed setting of the profile writes 100 items in 1.2 ms, and clients wait for a quarter of 20 ms
    assert findings.plans[SATURATED].closed_loop_clients == pytest.approx(100 / 1.2e-3 * 0.005, rel=0.05)
    assert findings.plans["10% of capacity"].speed_up == pytest.approx(0.1 * 100 / 1.2e-3, rel=0.05)
    again, same = run_sizing_study(study, store, measure_cell=measured)
    assert (again.measured, again.reused) == (0, report.measured)
    assert same.plans == findings.plans


# -- measuring ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizing", ["adaptive", "ski rental", "AIMD"])
def test_a_policy_is_measured_with_right_answers(sizing: Any) -> None:
    plan = replace(REPLAY, replay_seconds=0.2, speed_up=200_000.0, sizings=(sizing,))
    events = ingest_events(load_flights("week"))
    visit = next(visit for visit in plan.visits() if visit.cell.sizing == sizing)
    part = Slices(plan, events).of(visit)
    result = measure(visit.cell, part, watch_names(events), SQLiteTarget("normal"))
    assert result.items == len(part.measured)
    assert sum(flush.items for flush in result.flushes) == result.items
    assert {flush.cause for flush in result.flushes} <= {"count", "idle", "age", "barrier"}
    assert len({flush.items for flush in result.flushes}) > 1


def test_events_of_the_flights_come_at_the_times_of_another_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ["TIMESTAMP", *(f"{0.01 * request:.4f}" for request in range(20_000))]
    for name in ("code", "conv"):
        (tmp_path / f"azure_llm_2023_{name}.csv").write_text("\n".join(rows), encoding="utf-8")
    monkeypatch.setenv(TRACES_VARIABLE, str(tmp_path))
    plan = replace(REPLAY, arrivals="azure code", speed_up=20.0, replay_seconds=1.0)
    slices = Slices(plan, ingest_events(load_flights("week")))
    first, second = (slices.of(next(visit for visit in plan.visits() if visit.block == block)) for block in range(2))
    assert first.offsets is not None
    assert len(first.measured) == len(first.offsets) == pytest.approx(2_000, abs=2)
    assert np.diff(first.offsets) == pytest.approx(0.01 / 20)
    assert 0 <= first.offsets[0] < 0.001
    assert len(first.warm_up) == plan.warm_up_items
    assert second.offsets is not None
    assert first.offsets[0] != second.offsets[0], "another block takes another stretch"
    for speed_up, message in ((1_000.0, "too few to replay 1 s at a speed-up of 1,000"), (5.0, "a p99 needs 1,000")):
        short = replace(plan, speed_up=speed_up)
        with pytest.raises(InvalidInput, match=message):
            Slices(short, ingest_events(load_flights("week"))).of(next(short.visits()))


def test_independent_arrivals_come_at_their_rate_and_otherwise_in_each_block() -> None:
    plan = replace(REPLAY, arrivals="independent", speed_up=5_000.0, replay_seconds=1.0)
    slices = Slices(plan, ingest_events(load_flights("week")))
    first, second = (slices.of(next(visit for visit in plan.visits() if visit.block == block)) for block in range(2))
    assert first.offsets is not None
    assert second.offsets is not None
    assert len(first.measured) == len(first.offsets) == pytest.approx(5_000, abs=4 * 5_000**0.5)
    assert 0 < first.offsets[0] < first.offsets[-1] < 1.0
    assert first.offsets[0] != second.offsets[0]
    again = Slices(plan, ingest_events(load_flights("week"))).of(next(plan.visits()))
    assert again.offsets is not None
    assert again.offsets.tolist() == first.offsets.tolist()


@pytest.mark.parametrize("sizing", ["fixed", "adaptive"])
def test_clients_wait_for_their_results_and_have_latencies(sizing: Any) -> None:
    plan = replace(CAPACITY, closed_loop_batch_sizes=(100,), closed_loop_items=2_000, closed_loop_clients=10)
    plan = replace(plan, closed_loop_flush_interval=0.005, sizing_batch_size=100)
    events = ingest_events(load_flights("week"))
    visit = next(visit for visit in plan.visits() if visit.cell.sizing == sizing)
    part = Slices(plan, events).of(visit)
    result = measure(visit.cell, part, watch_names(events), SQLiteTarget("normal"))
    assert result.items == len(part.measured) == 2_000
    assert max(flush.items for flush in result.flushes) <= 10
    assert result.p99 is not None
    assert result.p50 is not None
    assert 0 < result.p50 <= result.p99 <= result.seconds
    if sizing == "fixed":  # ten of a hundred never fill a batch: everybody waits for the interval
        assert result.p50 >= visit.cell.flush_interval


# -- findings ----------------------------------------------------------------------------------------------------------


def test_each_arm_has_its_figures(findings: SizingFindings) -> None:
    rows: dict[tuple[Any, Any], dict[Any, Any]] = {
        (row["load"], row["arm"]): row for row in findings.table.to_dict("records")
    }
    replayed = ["10 at 0 ms", "10 at 10 ms", "100 at 0 ms", "100 at 10 ms", "adaptive", "AIMD"]
    assert [arm for load, arm in rows if load == "flights"] == replayed
    assert [arm for load, arm in rows if load == "capacity"] == ["10", "100", "adaptive", "AIMD"]
    fixed, adaptive = rows["flights", "10 at 0 ms"], rows["flights", "adaptive"]
    assert adaptive["p99"] == pytest.approx(fixed["p99"] / 4)
    assert adaptive["writer_seconds_per_item"] == pytest.approx(2 * fixed["writer_seconds_per_item"])
    assert fixed["p99_low"] <= fixed["p99"] <= fixed["p99_high"]
    assert np.isnan(rows["flights", "AIMD"]["p99"]), "it did not keep up"
    assert np.isnan(rows["capacity", "adaptive"]["p99"]), "there are no intended times"
    assert (findings.answers["checksums"] == 1).all()
    assert findings.offered("flights") > 1_000
    assert findings.target == 0.005


def test_policies_are_held_against_the_best_fixed_setting_of_each_load(findings: SizingFindings) -> None:
    contests = {(one.load, one.sizing, one.figure): one for one in findings.contests}
    latency = contests["flights", "adaptive", "p99"]
    assert latency.best == "10 at 0 ms"
    assert latency.ratio is not None
    assert latency.ratio.value == pytest.approx(0.25)
    assert contests["flights", "AIMD", "p99"].ratio is None
    cost = contests["flights", "adaptive", "writer_seconds_per_item"]
    assert cost.best == "100 at 0 ms", "with 10 ms of waiting the target of 5 ms is missed"
    assert cost.ratio is not None
    assert cost.ratio.value > 2
    throughput = contests["capacity", "adaptive", "items_per_second"]
    assert throughput.best == "100"
    assert throughput.ratio is not None
    assert throughput.ratio.high < 1


def test_loads_that_are_not_measured_are_missed(store: ResultsStore) -> None:
    run_sweep(replace(REPLAY, blocks=5), store, progress=False, measure_cell=KnownPolicies())
    with pytest.raises(StoreError, match="30 of 36 visits of the load 'flights' are measured"):
        SizingFindings({"flights": REPLAY}, store)


def test_findings_of_fixed_settings_refuse_policies(measured: ResultsStore) -> None:
    with pytest.raises(InvalidInput, match="take its SizingFindings"):
        Findings(REPLAY, measured)
