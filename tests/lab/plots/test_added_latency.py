"""The figures of added latency, held against worlds in which it is known what latency does."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from perflab.database.embedded import EmbeddedServer
from perflab.errors import InvalidInput, StoreError
from perflab.lab.plots import (
    best_batch_by_added_latency,
    prediction_error,
    round_trips_per_item,
    throughput_by_added_latency,
)
from perflab.lab.sweep.latency_findings import GOOD_ENOUGH, LatencyFindings
from perflab.lab.sweep.plan import SweepPlan
from perflab.lab.sweep.run import run_sweep
from perflab.lab.sweep.server import server_label
from perflab.lab.sweep.store import ResultsStore
from tests.lab.plots.drawn import bar_ends, text_of, y_of
from tests.lab.plots.known_world import KnownWorld

SIZES = (1, 10, 100, 400)
LATENCIES = (0.0, 0.002, 0.010)
FindLatency = Callable[..., LatencyFindings]


@pytest.fixture(scope="module")
def plan(postgres_server: EmbeddedServer) -> SweepPlan:
    return SweepPlan(
        engine="postgresql",
        server=server_label("postgresql", postgres_server.url),
        closed_loop_batch_sizes=SIZES,
        added_latencies=LATENCIES,
        blocks=4,
        closed_loop_items=400,
        warm_up_items=50,
    )


@pytest.fixture(scope="module")
def find(plan: SweepPlan, postgres_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> FindLatency:
    def measured(world: KnownWorld, **changes: Any) -> LatencyFindings:
        own = replace(plan, **changes)
        with ResultsStore(tmp_path_factory.mktemp("latency") / "results.duckdb") as store:
            run_sweep(own, store, url=postgres_server.url, progress=False, measure_cell=world)
            return LatencyFindings(own, store)

    return measured


@pytest.fixture(scope="module")
def as_predicted(find: FindLatency) -> LatencyFindings:
    """Of a world in which every round trip takes longer by what was added, and nothing else changes."""
    return find(KnownWorld(round_trips=1))


def rate(world: KnownWorld, size: float, latency: float) -> float:
    return size / (world.seconds(size) + latency)


def test_predicted_and_measured_are_the_truth(as_predicted: LatencyFindings) -> None:
    world = KnownWorld()
    data = throughput_by_added_latency(as_predicted).data
    assert len(data) == len(SIZES) * len(LATENCIES)
    for row in data.to_dict("records"):
        truth = rate(world, row["batch_size"], row["added_latency"])
        assert row["predicted"] == pytest.approx(truth, rel=0.05)
        assert row["measured"] == pytest.approx(truth, rel=0.05)
        assert row["ratio"] == pytest.approx(row["measured"] / row["predicted"])
        assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]


def test_counted_round_trips_are_part_of_the_prediction(find: FindLatency) -> None:
    found = find(KnownWorld(round_trips=4))
    assert set(found.comparisons["agreement"]) == {"held"}
    for row in found.comparisons.to_dict("records"):
        assert row["predicted"] == pytest.approx(
            rate(KnownWorld(), row["batch_size"], 4 * row["added_latency"]), rel=0.05
        )


def test_a_prediction_that_holds_is_said_to(as_predicted: LatencyFindings) -> None:
    plot = prediction_error(as_predicted)
    assert plot.title == "The prediction held for all 8 settings, within 20%"
    assert plot.reading == (
        "The prediction held for 8 of 8 settings: measured throughput lay within 20% of it, interval and all."
    )
    assert set(plot.data["added_latency"]) == {0.002, 0.010}
    assert plot.png()


def test_a_prediction_that_fails_is_said_to_and_where(find: FindLatency) -> None:
    """Latency is paid twice: that shows in single items, and not where the items themselves cost more."""
    plot = prediction_error(find(KnownWorld(round_trips=1, latency_effect=2.0)))
    failed = plot.data[plot.data["agreement"] == "failed"]
    assert {(1, 0.002), (1, 0.010), (400, 0.010)} <= set(
        zip(failed["batch_size"], failed["added_latency"], strict=True)
    )
    assert plot.title == f"The prediction did not hold for {len(failed)} of 8 settings"
    assert f"It did not hold for {len(failed)}: " in plot.reading
    assert re.search(r"single items with \+10\.0 ms reached 0\.(49|50)\d \[", plot.reading)


def test_what_the_blocks_cannot_tell_is_not_claimed(find: FindLatency) -> None:
    plot = prediction_error(find(KnownWorld(round_trips=1, noise=0.4), blocks=3))
    assert set(plot.data["agreement"]) == {"undecided"}
    assert plot.title == "The prediction held for 0 of 8 settings, and failed for none"
    assert "For 8 these blocks cannot tell: " in plot.reading
    assert "and 5 more" in plot.reading


def test_what_is_drawn_is_the_data(as_predicted: LatencyFindings) -> None:
    plot = throughput_by_added_latency(as_predicted)
    drawn = {tuple(y_of(line)) for line in plot.figure.axes[0].lines}
    for _, rows in plot.data.groupby("added_latency"):
        assert tuple(rows["predicted"]) in drawn
        assert tuple(rows["measured"]) in drawn
    last = plot.data[plot.data["added_latency"] == LATENCIES[-1]]
    np.testing.assert_allclose(bar_ends(plot.figure.axes[0]), last[["measured_low", "measured_high"]].to_numpy())
    labels = text_of(plot.figure.axes[0].texts)
    assert all(label in labels for label in ("nothing added", "+2.00 ms", "+10.0 ms"))


def test_the_reading_says_what_latency_costs_single_items_and_large_batches(as_predicted: LatencyFindings) -> None:
    plot = throughput_by_added_latency(as_predicted)
    single, large = (float(factor) for factor in re.findall(r"([\d.]+) times", plot.title))
    world = KnownWorld()
    assert single == pytest.approx(rate(world, 1, 0) / rate(world, 1, 0.010), rel=0.05)
    assert large == pytest.approx(rate(world, 400, 0) / rate(world, 400, 0.010), rel=0.05)
    assert as_predicted.model.describe() in plot.reading
    assert plot.reading.count("slower by a factor of") == 2


def test_latency_that_makes_no_difference_is_not_called_slower(find: FindLatency) -> None:
    plot = throughput_by_added_latency(find(KnownWorld(round_trips=1, latency_effect=0.0, noise=0.1)))
    assert plot.title == "+10.0 ms makes no clear difference to throughput"


def test_the_best_batch_is_where_most_of_the_best_throughput_is_reached(as_predicted: LatencyFindings) -> None:
    plot = best_batch_by_added_latency(as_predicted)
    world = KnownWorld()
    for row in plot.data.to_dict("records"):
        best = max(rate(world, size, row["added_latency"]) for size in SIZES)
        for name in ("predicted", "measured"):
            assert rate(world, row[name], row["added_latency"]) == pytest.approx(GOOD_ENOUGH * best, rel=0.03)
    assert plot.data["measured"].is_monotonic_increasing
    assert plot.reading.endswith("The intervals of predicted and measured overlap everywhere.")


def test_a_best_batch_that_is_not_as_predicted_is_said(find: FindLatency) -> None:
    plot = best_batch_by_added_latency(find(KnownWorld(round_trips=1, latency_effect=0.0, noise=0.005)))
    assert "The intervals do not overlap with +2.00 ms, +10.0 ms: there the prediction did not hold." in plot.reading


def test_round_trips_are_counted_whatever_the_latency(as_predicted: LatencyFindings) -> None:
    plot = round_trips_per_item(as_predicted)
    for row in plot.data.to_dict("records"):
        assert row["round_trips_per_item"] == pytest.approx(1 / row["batch_size"])
        assert row["round_trips_saved"] == pytest.approx(1 - 1 / row["batch_size"])
    assert plot.title == "Batches of 400 save 99.8% of the round trips"
    assert "The counts were the same at every added latency" in plot.reading
    assert "99.0%" in text_of(plot.figure.axes[0].texts)


def test_the_table_and_the_headline_have_the_measured_values(as_predicted: LatencyFindings) -> None:
    assert "| 10.0 ms | 10.0 ms | 10.0 ms | 10.0 ms |" in as_predicted.added_table()
    headline = as_predicted.headline()
    assert headline["prediction"] == "held for 8 of 8 settings with latency added, failed for 0, undecided for 0"
    assert headline["largest_added_seconds"] == pytest.approx(0.010)
    assert (as_predicted.answers["checksums"] == 1).all()
    assert as_predicted.answers["visits"].sum() == 4 * len(SIZES) * len(LATENCIES)


def test_only_the_baseline_leaves_nothing_to_predict(find: FindLatency) -> None:
    found = find(KnownWorld(round_trips=1), added_latencies=(0.0,))
    assert prediction_error(found).title == "There is no latency to predict"
    assert all(
        plot(found).png() for plot in (throughput_by_added_latency, best_batch_by_added_latency, prediction_error)
    )


def test_a_plan_without_a_baseline_or_without_visits_has_no_findings(plan: SweepPlan, tmp_path: Any) -> None:
    with ResultsStore(tmp_path / "empty.duckdb") as empty:
        with pytest.raises(StoreError, match="0 of 16 visits"):
            LatencyFindings(plan, empty)
        with pytest.raises(InvalidInput, match=r"adds no latency of 0.0 s"):
            LatencyFindings(plan.at(0.002), empty)
