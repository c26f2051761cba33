from __future__ import annotations

import pandas as pd
import pytest

from perflab.lab.cache_warming.first_reads import FirstReads
from perflab.lab.plots import first_reads

TRUTH = {
    ("on disk", "as it is"): (200e-6, 0.0),
    ("on disk", "warmed"): (50e-6, 0.1),
    ("in memory", "as it is"): (50e-6, 0.0),
    ("in memory", "warmed"): (50e-6, 0.1),
}


def found(truth: dict[tuple[str, str], tuple[float, float]]) -> FirstReads:
    rows = [
        {
            "block": block,
            "state": state,
            "warmed": warmed,
            # paired ratios differ a little from block to block, to both sides
            "read_seconds": read * (1 + 0.01 * block) * (1 + 0.02 * ((block + (warmed == "warmed")) % 2)),
            "warm_seconds": warm,
        }
        for block in range(8)
        for (state, warmed), (read, warm) in truth.items()
    ]
    return FirstReads("sqlite", 100_000, 1_000, pd.DataFrame(rows))


def test_the_points_are_the_truth_and_the_title_says_where_it_helps() -> None:
    plot = first_reads(found(TRUTH))
    assert plot.title == (
        "Warming the engine makes first reads 75.0% quicker where pages are on disk, "
        "and makes no clear difference where pages are in memory"
    )
    for row in plot.data.to_dict("records"):
        read, warm = TRUTH[row["state"], row["warmed"]]
        assert row["read_seconds"] == pytest.approx(read, rel=0.06)
        assert row["read_seconds_low"] < row["read_seconds"] < row["read_seconds_high"]
        assert row["all_seconds"] == pytest.approx(warm + 1_000 * read, rel=0.06)
    assert "0.250 [" in plot.reading
    assert "warming took 100 ms" in plot.reading


def test_it_says_so_too_when_warming_is_in_the_way() -> None:
    plot = first_reads(found(TRUTH | {("in memory", "warmed"): (100e-6, 0.1)}))
    assert "makes first reads 100% slower where pages are in memory" in plot.title
