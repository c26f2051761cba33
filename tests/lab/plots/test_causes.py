from __future__ import annotations

import pytest

from perflab.errors import InvalidInput
from perflab.lab.plots import flush_causes
from perflab.lab.sweep.findings import Findings
from perflab.lab.sweep.plan import Cell, Mode
from tests.lab.plots.conftest import CAPACITY_ALONE, REPLAY_ALONE, Find
from tests.lab.plots.drawn import bars
from tests.lab.plots.known_world import KnownWorld


def test_the_shares_are_the_truth(findings: Findings, world: KnownWorld) -> None:
    data = flush_causes(findings).data
    totals = data.groupby(["batch_size", "flush_interval"])["share"].sum()
    assert len(totals) == 9
    assert totals.to_list() == pytest.approx([1.0] * 9)
    for row in data[data["cause"] != "barrier"].to_dict("records"):
        full = world.batch(Cell(Mode.REPLAY, row["batch_size"], row["flush_interval"])) == row["batch_size"]
        assert row["cause"] == ("count" if full else "age")


def test_what_is_drawn_is_the_data(findings: Findings) -> None:
    plot = flush_causes(findings)
    assert [axes.get_title(loc="left") for axes in plot.figure.axes] == ["0 ms", "10 ms", "50 ms"]
    for axes, interval in zip(plot.figure.axes, (0.0, 0.010, 0.050), strict=True):
        rows = plot.data[plot.data["flush_interval"] == interval]
        widths = sorted(bar.get_width() for bar in bars(axes) if bar.get_width() > 0)
        assert widths == pytest.approx(sorted(rows["share"]))


def test_the_title_and_the_reading_count(findings: Findings) -> None:
    plot = flush_causes(findings)
    by_cause = plot.data.groupby("cause")["flushes"].sum()
    share = by_cause["age"] / by_cause.sum()
    assert plot.title.startswith(f"The flush interval sent {share * 100:.1f}% of all batches, a full batch ")
    assert plot.reading.startswith("The largest batch size that was mostly sent full is 100: ")


def test_sizes_that_never_fill_are_said(find: Find) -> None:
    plot = flush_causes(find(KnownWorld(), replay_batch_sizes=(1, 1_000, 5_000), blocks=2, **REPLAY_ALONE))
    assert "No batch size above 1 was mostly sent full, from 1,000 items on" in plot.reading
    assert plot.png()


def test_sizes_beyond_the_largest_full_one_are_said(find: Find) -> None:
    plot = flush_causes(find(KnownWorld(), replay_batch_sizes=(10, 1_000), blocks=2, **REPLAY_ALONE))
    assert "is 10: " in plot.reading
    assert plot.reading.endswith("Larger batches, from 1,000 items on, were not mostly full at any interval.")


def test_single_items_are_always_full(find: Find) -> None:
    plot = flush_causes(find(KnownWorld(), replay_batch_sizes=(1,), blocks=2, **REPLAY_ALONE))
    assert plot.reading == "Batches of one item are always full: this sweep has no other."
    assert plot.png()


def test_a_sweep_without_a_replay_is_refused(find: Find) -> None:
    with pytest.raises(InvalidInput, match="no visit in the mode 'replay'"):
        flush_causes(find(KnownWorld(), closed_loop_batch_sizes=(1, 10), blocks=2, **CAPACITY_ALONE))
