from __future__ import annotations

import math

import numpy as np
import pytest

from perflab.lab.plots import latency_by_flush_interval
from perflab.lab.quantities import format_seconds_interval
from perflab.lab.sweep.findings import Findings
from perflab.lab.sweep.plan import Cell, Mode
from tests.lab.plots.conftest import REPLAY_ALONE, Find
from tests.lab.plots.drawn import marked, x_of, y_of
from tests.lab.plots.known_world import KnownWorld

TARGET = 0.020


def test_the_points_are_the_truth(findings: Findings, world: KnownWorld) -> None:
    data = latency_by_flush_interval(findings, TARGET).data
    assert len(data) == 2 * 9
    for row in data[data["stable"]].to_dict("records"):
        p99 = world.p99(Cell(Mode.REPLAY, row["batch_size"], row["flush_interval"]))
        assert row["seconds"] == pytest.approx(p99 if row["percentile"] == "p99" else p99 / 2, rel=0.05)
        assert row["low"] < row["seconds"] < row["high"]


def test_what_is_drawn_is_the_data_in_milliseconds(findings: Findings) -> None:
    plot = latency_by_flush_interval(findings, TARGET)
    for axes, percentile in zip(plot.figure.axes, ("p50", "p99"), strict=True):
        drawn = [y_of(line) for line in axes.lines]
        for _, rows in plot.data[plot.data["percentile"] == percentile].groupby("batch_size"):
            expected = rows["seconds"].to_numpy(float) * 1e3
            assert any(len(y) == len(expected) and np.allclose(y, expected, equal_nan=True) for y in drawn)


def test_a_setting_that_could_not_keep_up_has_a_cross_and_no_percentile(findings: Findings) -> None:
    plot = latency_by_flush_interval(findings, TARGET)
    unstable = plot.data[~plot.data["stable"]]
    assert unstable[["batch_size", "flush_interval"]].drop_duplicates().to_numpy().tolist() == [[10, 0.050]]
    assert unstable["seconds"].isna().all()
    for axes in plot.figure.axes:
        assert sum(len(x_of(line)) for line in marked(axes, "x")) == 1
    assert "1 setting could not keep up and has no percentiles: batches of 10 at 50.0 ms" in plot.reading


def test_the_reading_counts_the_settings_that_meet_the_target(findings: Findings) -> None:
    plot = latency_by_flush_interval(findings, TARGET)
    rated = plot.data[(plot.data["percentile"] == "p99") & plot.data["stable"]]
    measured = rated[(rated["batch_size"] > 1) | (rated["flush_interval"] == 0)]  # single items once for all intervals
    met = int((measured["high"] <= TARGET).sum())
    assert 0 < met < 6
    assert plot.title == f"{met} of 7 settings keep p99 within the target of 20.0 ms"
    assert f"{met} of 7 settings meet the target of 20.0 ms" in plot.reading


def test_the_reading_says_what_the_interval_does(findings: Findings) -> None:
    plot = latency_by_flush_interval(findings, TARGET)
    rows = plot.data[(plot.data["percentile"] == "p99") & (plot.data["batch_size"] == 100)]
    first, last = (format_seconds_interval(*row) for row in rows[["seconds", "low", "high"]].iloc[[0, -1]].to_numpy())
    assert f"p99 goes from {first} at a flush interval of 0 s to {last} at 50.0 ms" in plot.reading


def test_the_target_is_a_line_where_there_is_one(findings: Findings) -> None:
    with_target = latency_by_flush_interval(findings, TARGET)
    without = latency_by_flush_interval(findings, math.inf)
    assert [20.0, 20.0] in [y_of(line).tolist() for line in with_target.figure.axes[1].lines]
    assert len(without.figure.axes[1].lines) == len(with_target.figure.axes[1].lines) - 1
    assert "target" not in without.title + without.reading
    assert without.title.startswith("With batches of 100, p99 goes from ")


def test_when_nothing_kept_up_there_is_no_percentile(overload: Findings) -> None:
    plot = latency_by_flush_interval(overload, TARGET)
    assert plot.title == "No setting kept up with the load"
    assert "7 settings could not keep up" in plot.reading
    assert "and 4 more" in plot.reading
    assert plot.data["seconds"].isna().all()
    assert plot.png()


@pytest.mark.parametrize("interval", [0.0, 0.010])
def test_one_interval_has_no_effect_to_report(find: Find, interval: float) -> None:
    plot = latency_by_flush_interval(
        find(KnownWorld(), replay_flush_intervals=(interval,), blocks=3, **REPLAY_ALONE), TARGET
    )
    assert plot.reading.startswith("The highest p99 is ")
    assert "3 of 3 settings meet the target" in plot.reading
    assert plot.png()
