from __future__ import annotations

import math

import numpy as np
import pytest

from perflab.lab.plots import confirmation_ratios
from perflab.lab.recommendation import NoRecommendation, Recommendation
from perflab.lab.sweep.findings import Confirmation, Findings, confirm
from perflab.lab.sweep.plan import Cell
from perflab.lab.sweep.store import ResultsStore
from tests.lab.plots.conftest import REPLAY_ALONE, Find
from tests.lab.plots.drawn import marked, x_of
from tests.lab.plots.known_world import KnownWorld

TARGET = 0.020


def confirmed(findings: Findings, store: ResultsStore, world: KnownWorld, target: float = TARGET) -> Confirmation:
    recommendation = findings.recommend(target)
    assert isinstance(recommendation, Recommendation)
    return confirm(recommendation, findings.plan, store, progress=False, measure_cell=world)


@pytest.fixture(scope="module")
def confirmation(findings: Findings, world: KnownWorld, tmp_path_factory: pytest.TempPathFactory) -> Confirmation:
    with ResultsStore(tmp_path_factory.mktemp("confirmation") / "results.duckdb") as store:
        return confirmed(findings, store, world)


def test_the_ratios_are_the_truth(confirmation: Confirmation, world: KnownWorld) -> None:
    data = confirmation_ratios(confirmation).data.set_index("against")
    rows = data.to_dict("index")
    assert data["batch_size"].to_dict() == {"double the batch size": 200, "half the batch size": 50, "no batching": 1}
    filled = round(1 + world.rate * 0.010)  # the interval bounds the batch, so double its size changes nothing
    for name, batch in (("no batching", 1), ("half the batch size", 50), ("double the batch size", filled)):
        expected = (filled / world.seconds(filled)) / (batch / world.seconds(batch))
        assert rows[name]["ratio"] == pytest.approx(expected, rel=0.05)
        assert rows[name]["low"] < rows[name]["ratio"] < rows[name]["high"]
    assert rows["no batching"]["verdict"] == "higher"


def test_what_is_drawn_is_the_data(confirmation: Confirmation) -> None:
    plot = confirmation_ratios(confirmation)
    axes = plot.figure.axes[0]
    points = [x_of(line)[0] for line in marked(axes, "o")]
    np.testing.assert_array_equal(points, plot.data["ratio"])
    labels = ["double the batch size (200)", "half the batch size (50)", "no batching"]
    assert [label.get_text() for label in axes.get_yticklabels()] == labels


def test_the_reading_compares_both_measurements(confirmation: Confirmation) -> None:
    plot = confirmation_ratios(confirmation)
    gain = plot.data["ratio"].iloc[-1]
    assert plot.title == f"Measured again, the recommended setting writes {gain:.2f} times as much as without batching"
    assert f"{confirmation.prediction_error * 100:+.1f}% against the first measurement" in plot.reading or (
        f"{confirmation.prediction_error * 100:+.2f}% against the first measurement" in plot.reading
    )
    assert "which meets the target of 20.0 ms" in plot.reading
    assert f"{gain:.2f} [" in plot.reading


def test_a_setting_that_could_not_keep_up_the_second_time_is_said(find: Find, store: ResultsStore) -> None:
    findings = find(KnownWorld(), blocks=3, **REPLAY_ALONE)
    plot = confirmation_ratios(confirmed(findings, store, KnownWorld(stable=lambda cell: cell.batch_size != 100)))
    assert "but it could not keep up this time, so it has no p99" in plot.reading
    assert plot.title.startswith("Measured again, the recommended setting writes ")


def test_a_setting_that_is_too_slow_the_second_time_is_said(find: Find, store: ResultsStore) -> None:
    class Slower(KnownWorld):
        def p99(self, cell: Cell) -> float:
            return 2 * super().p99(cell)

    plot = confirmation_ratios(confirmed(find(KnownWorld(), blocks=3, **REPLAY_ALONE), store, Slower()))
    assert "which does not meet the target of 20.0 ms" in plot.reading


def test_without_a_target_none_is_met(findings: Findings, store: ResultsStore, world: KnownWorld) -> None:
    plot = confirmation_ratios(confirmed(findings, store, world, target=math.inf))
    assert "target" not in plot.reading
    assert "with a p99 of " in plot.reading


def test_no_recommendation_has_nothing_to_confirm(findings: Findings) -> None:
    refused = findings.recommend(1e-6)
    assert isinstance(refused, NoRecommendation)
    plot = confirmation_ratios(refused)
    assert plot.title == "There is no recommendation to confirm"
    assert refused.describe() in plot.reading
    assert plot.data.empty
    assert plot.png()


def test_the_advice_not_to_batch_has_one_neighbour(find: Find, store: ResultsStore) -> None:
    world = KnownWorld()
    findings = find(world, replay_batch_sizes=(1,), replay_flush_intervals=(0.0,), blocks=3, **REPLAY_ALONE)
    plot = confirmation_ratios(confirmed(findings, store, world))
    assert plot.title == "The recommendation is not to batch"
    assert plot.data["batch_size"].to_list() == [2]
    assert plot.png()


def test_half_of_two_is_no_batching(find: Find, store: ResultsStore) -> None:
    world = KnownWorld()
    findings = find(world, replay_batch_sizes=(2,), replay_flush_intervals=(0.010,), blocks=3, **REPLAY_ALONE)
    plot = confirmation_ratios(confirmed(findings, store, world))
    assert plot.data["against"].to_list() == ["double the batch size", "no batching"]
