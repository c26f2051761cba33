from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import QuadMesh

from perflab.lab.plots import round_trips_saved
from perflab.lab.sweep.findings import Findings
from perflab.lab.sweep.plan import Cell, Mode
from tests.lab.plots.conftest import REPLAY_ALONE, Find
from tests.lab.plots.known_world import KnownWorld


def test_the_shares_are_the_truth(findings: Findings, world: KnownWorld) -> None:
    data = round_trips_saved(findings).data
    assert len(data) == 9
    for row in data.to_dict("records"):
        batch = world.batch(Cell(Mode.REPLAY, row["batch_size"], row["flush_interval"]))
        assert row["round_trips_saved"] == pytest.approx(1 - 1 / batch, abs=0.01)
        assert row["round_trips_saved"] == 1 - row["round_trips"] / row["round_trips_unbatched"]


def test_what_is_drawn_is_the_data(findings: Findings) -> None:
    plot = round_trips_saved(findings)
    axes = plot.figure.axes[0]
    (mesh,) = (artist for artist in axes.collections if isinstance(artist, QuadMesh))
    expected = plot.data.pivot_table(index="batch_size", columns="flush_interval", values="round_trips_saved")
    np.testing.assert_array_equal(np.asarray(mesh.get_array()).reshape(3, 3), expected.to_numpy())
    assert [text.get_text() for text in axes.texts[:3]] == ["0.0%", "0.0%", "0.0%"]
    assert axes.texts[5].get_text().endswith(" \N{MULTIPLICATION SIGN}")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["1", "10", "100"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "10", "50"]


def test_the_reading_names_the_best_setting_and_its_counts(findings: Findings) -> None:
    plot = round_trips_saved(findings)
    best = plot.data.sort_values("round_trips_saved").iloc[-1]
    assert (best["batch_size"], best["flush_interval"]) == (100, 0.050)
    assert plot.title == "Batching saves up to 99.0% of the round trips"
    assert f"{best['round_trips']:,} round trips instead of {best['round_trips_unbatched']:,}" in plot.reading
    assert plot.reading.startswith("100 items or after 50.0 ms saved the most: 99.0%")
    assert "At a flush interval of 0 s the same batch size saves 0.0%, with 1 a flush." in plot.reading


def test_nothing_saved_is_said(find: Find) -> None:
    plot = round_trips_saved(find(KnownWorld(), replay_batch_sizes=(1,), blocks=2, **REPLAY_ALONE))
    assert plot.title == "No round trip is saved"
    (row,) = plot.data[plot.data["flush_interval"] == 0.0].to_dict("records")
    assert (
        f"{row['round_trips']:,} at least were counted, and single writes take {row['round_trips']:,}" in plot.reading
    )
    assert plot.png()


def test_one_interval_needs_no_comparison(find: Find) -> None:
    plot = round_trips_saved(find(KnownWorld(), replay_flush_intervals=(0.010,), blocks=2, **REPLAY_ALONE))
    assert plot.reading.count(". ") == 0
    assert plot.png()


def test_settings_that_could_not_keep_up_are_counted_all_the_same(overload: Findings) -> None:
    plot = round_trips_saved(overload)
    assert plot.data["round_trips_saved"].max() > 0.9
    assert plot.png()
