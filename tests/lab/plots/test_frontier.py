from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from perflab.lab.grid_points import pareto
from perflab.lab.plots import throughput_latency_frontier
from perflab.lab.quantities import format_rate_interval
from perflab.lab.recommendation import NoRecommendation, Recommendation
from perflab.lab.sweep.findings import Findings
from perflab.lab.sweep.plan import Cell, Mode
from tests.lab.plots.conftest import REPLAY_ALONE, Find
from tests.lab.plots.known_world import KnownWorld

TARGET = 0.020


@pytest.fixture
def recommendation(findings: Findings) -> Recommendation:
    found = findings.recommend(TARGET)
    assert isinstance(found, Recommendation)
    return found


def test_the_points_are_the_truth(findings: Findings, recommendation: Recommendation, world: KnownWorld) -> None:
    data = throughput_latency_frontier(findings, recommendation).data
    assert len(data) == 6  # one of seven could not keep up
    for row in data.to_dict("records"):
        cell = Cell(Mode.REPLAY, row["batch_size"], row["flush_interval"])
        batch = world.batch(cell)
        assert row["p99"] == pytest.approx(world.p99(cell), rel=0.05)
        assert row["items_per_writer_second"] == pytest.approx(batch / world.seconds(batch), rel=0.05)


def test_what_is_drawn_is_the_data(findings: Findings, recommendation: Recommendation) -> None:
    plot = throughput_latency_frontier(findings, recommendation)
    points = [marks for marks in plot.figure.axes[0].collections if isinstance(marks, PathCollection)]
    expected = np.column_stack([plot.data["p99"] * 1e3, plot.data["items_per_writer_second"]])
    np.testing.assert_allclose(np.asarray(points[0].get_offsets()), expected)


def test_the_frontier_is_what_no_other_beats(findings: Findings, recommendation: Recommendation) -> None:
    data = throughput_latency_frontier(findings, recommendation).data
    expected = {(point.batch_size, point.flush_interval_seconds) for point in pareto(findings.points)}
    on_it = data[data["on_frontier"]]
    assert set(zip(on_it["batch_size"], on_it["flush_interval"], strict=True)) == expected


def test_the_recommended_setting_is_named(findings: Findings, recommendation: Recommendation) -> None:
    plot = throughput_latency_frontier(findings, recommendation)
    (row,) = plot.data[plot.data["recommended"]].to_dict("records")
    assert (row["batch_size"], row["flush_interval"]) == (100, 0.010)
    assert plot.title.startswith("Recommended: send at 100 items or after 10.0 ms, for a p99 of ")
    rate = recommendation.throughput
    assert format_rate_interval(rate.value, rate.low, rate.high) in plot.reading
    assert "recommended: 100 / 10" in [text.get_text() for text in plot.figure.axes[0].texts]
    assert "belongs to 100 items or after 50.0 ms" in plot.reading


def test_the_fastest_setting_is_not_compared_with_itself(findings: Findings) -> None:
    plot = throughput_latency_frontier(findings, findings.recommend(math.inf))
    assert plot.reading.endswith("the highest throughput of all that kept up.") or "belongs to" in plot.reading
    assert "target" not in plot.title


def test_no_recommendation_is_said(findings: Findings) -> None:
    refused = findings.recommend(1e-6)
    assert isinstance(refused, NoRecommendation)
    plot = throughput_latency_frontier(findings, refused)
    assert plot.title == "No setting keeps p99 within the target of 1.00 µs"
    assert refused.describe() in plot.reading
    assert not plot.data["recommended"].any()
    assert plot.png()


@pytest.mark.parametrize("target", [TARGET, math.inf])
def test_an_empty_frontier_is_said(overload: Findings, target: float) -> None:
    plot = throughput_latency_frontier(overload, overload.recommend(target))
    assert "no measured setting kept up" in plot.reading
    assert plot.title.startswith("No setting ke")
    assert plot.data.empty
    assert plot.png()


def test_one_setting_is_a_frontier(find: Find) -> None:
    findings = find(KnownWorld(), replay_batch_sizes=(10,), replay_flush_intervals=(0.010,), blocks=2, **REPLAY_ALONE)
    plot = throughput_latency_frontier(findings, findings.recommend(TARGET))
    assert plot.reading.startswith("1 of 1 setting is on the frontier. 10 items or after 10.0 ms, the recommendation")
    assert plot.png()
