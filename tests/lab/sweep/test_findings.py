from __future__ import annotations

import math
from dataclasses import replace

import pytest

from perflab.errors import InvalidInput, StoreError
from perflab.lab.recommend import NoRecommendation, Recommendation
from perflab.lab.sweep.findings import Findings, confirm
from perflab.lab.sweep.plan import SweepPlan
from perflab.lab.sweep.run import run_sweep
from perflab.lab.sweep.store import ResultsStore
from tests.lab.sweep.known_cost import ALPHA, BETA, KnownCost


@pytest.fixture
def findings(plan: SweepPlan, store: ResultsStore) -> Findings:
    run_sweep(plan, store, progress=False, measure_cell=KnownCost())
    return Findings(plan, store)


def test_the_cost_model_finds_the_true_cost(findings: Findings) -> None:
    model = findings.cost_model
    assert model.alpha.value == pytest.approx(ALPHA, rel=0.02)
    assert model.beta.value == pytest.approx(BETA, rel=0.02)
    assert model.half_batch.value == pytest.approx(ALPHA / BETA, rel=0.02)


def test_capacity_is_what_the_cost_says(findings: Findings) -> None:
    table = findings.capacity.set_index("batch_size")
    assert list(table.index) == [1, 10, 100, 400]
    for size, rate in table["items_per_writer_second"].items():
        assert rate == pytest.approx(int(str(size)) / (ALPHA + BETA * int(str(size))), rel=0.02)
    assert table["round_trips_per_item"].tolist() == pytest.approx([3.0, 0.3, 0.03, 0.0075])
    assert (table["blocks"] == 6).all()


def test_savings_come_from_counted_round_trips(findings: Findings) -> None:
    table = findings.replay.set_index(["batch_size", "flush_interval"])
    assert table.loc[(1, 0.0), "round_trips_saved"] == pytest.approx(0.0)
    assert float(str(table.loc[(100, 0.010), "round_trips_saved"])) == pytest.approx(0.99, abs=0.005)
    assert table["stable"].all()


def test_the_recommendation_respects_the_target(findings: Findings) -> None:
    free = findings.recommend(math.inf)
    assert isinstance(free, Recommendation)
    assert free.batch_size == 100
    # 100 items without waiting take 1.2 ms, with 10 ms of waiting more than 10
    tight = findings.recommend(0.005)
    assert isinstance(tight, Recommendation)
    assert tight.flush_interval_seconds == 0.0
    assert isinstance(findings.recommend(1e-5), NoRecommendation)


def test_the_recommendation_says_what_a_crash_would_lose(findings: Findings) -> None:
    chosen = findings.recommend(math.inf)
    assert isinstance(chosen, Recommendation)
    offered = findings.replay.set_index(["batch_size", "flush_interval"])["offered_per_second"]
    rate = float(str(offered.loc[(chosen.batch_size, chosen.flush_interval_seconds)]))
    assert chosen.items_at_risk == pytest.approx(rate * chosen.p99.value)
    lost = f"{math.ceil(chosen.items_at_risk or 0):,}"
    assert f"about {lost} items at this rate, more in a burst" in chosen.describe()
    unknown = replace(chosen, items_at_risk=None).describe()
    assert "crash loses" not in unknown
    assert "  " not in unknown


def test_the_recommendation_is_the_same_each_time(findings: Findings) -> None:
    assert findings.recommend(0.020) == findings.recommend(0.020)


def test_an_unfinished_sweep_has_no_findings(plan: SweepPlan, store: ResultsStore) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_sweep(plan, store, progress=False, measure_cell=KnownCost(fail_at=7, failure=KeyboardInterrupt()))
    with pytest.raises(StoreError, match=r"7 of 54 visits .* are measured: run the sweep to its end"):
        Findings(plan, store)


def test_a_sweep_without_replays_says_so(plan: SweepPlan, store: ResultsStore) -> None:
    closed_only = replace(plan, replay_batch_sizes=())
    run_sweep(closed_only, store, progress=False, measure_cell=KnownCost())
    with pytest.raises(InvalidInput, match="has no visit in the mode 'replay'"):
        _ = Findings(closed_only, store).replay


def test_the_confirmation_measures_the_neighbours_again(
    findings: Findings, store: ResultsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    recommendation = findings.recommend(math.inf)
    assert isinstance(recommendation, Recommendation)
    measure = KnownCost()
    confirmation = confirm(recommendation, findings.plan, store, progress=False, measure_cell=measure)
    assert {cell.batch_size for cell in measure.visited} == {1, 50, 100, 200}
    unbatched, half, double = (
        confirmation.against_unbatched,
        confirmation.against_half,
        confirmation.against_double,
    )
    assert unbatched is not None
    assert half is not None
    assert double is not None
    rate = {size: size / (ALPHA + BETA * size) for size in (1, 50, 100, 200)}
    assert unbatched.value == pytest.approx(rate[100] / rate[1], rel=0.03)
    assert half.value == pytest.approx(rate[100] / rate[50], rel=0.03)
    assert double.value == pytest.approx(rate[100] / rate[200], rel=0.03)
    assert abs(confirmation.prediction_error) < 0.03
    assert confirmation.meets_target


def test_single_items_are_replayed_once_and_stand_at_every_interval(findings: Findings) -> None:
    assert [cell.flush_interval for cell in findings.plan.cells if cell.batch_size == 1] == [0.050, 0.0]
    single = findings.replay[findings.replay["batch_size"] == 1]
    assert single["copied"].tolist() == [False, True]
    assert single["p99"].nunique() == 1
    assert (1, 0.010) not in {(point.batch_size, point.flush_interval_seconds) for point in findings.points}
    causes = findings.causes[findings.causes["batch_size"] == 1]
    assert causes["flush_interval"].tolist() == [0.0, 0.010]
    assert causes["flushes"].nunique() == 1
