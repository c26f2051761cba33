from __future__ import annotations

from random import Random

import numpy as np
import pandas as pd
import pytest

from perflab.errors import InvalidInput
from perflab.lab.plots import cost_of_ways

TRUTH = {"slow": (100e-6, 3_000), "quick": (10e-6, 4), "middle": (25e-6, 9)}


def visits(truth: dict[str, tuple[float, int]], rounds: int = 8, noise: float = 0.03) -> pd.DataFrame:
    rng = Random(1)
    return pd.DataFrame(
        [
            {
                "round": number,
                "position": position,
                "way": way,
                "jobs": 1_000,
                "seconds": 1_000 * seconds * rng.lognormvariate(0, noise),
                "round_trips": trips,
            }
            for number in range(rounds)
            for position, (way, (seconds, trips)) in enumerate(truth.items())
        ]
    )


def test_the_points_are_the_truth() -> None:
    plot = cost_of_ways(visits(TRUTH), baseline="slow")
    assert plot.data["way"].to_list() == ["slow", "middle", "quick"]
    for row in plot.data.to_dict("records"):
        seconds, trips = TRUTH[row["way"]]
        assert row["seconds_per_job"] == pytest.approx(seconds, rel=0.05)
        assert row["round_trips"] == trips
        if row["way"] != "slow":
            assert row["times_faster"] == pytest.approx(100e-6 / seconds, rel=0.05)
            assert row["times_faster_low"] < row["times_faster"] < row["times_faster_high"]
    assert np.isnan(plot.data["times_faster"].iloc[0])


def test_what_is_drawn_is_the_data() -> None:
    plot = cost_of_ways(visits(TRUTH), baseline="slow")
    times, trips = (axes.lines[0].get_xdata() for axes in plot.figure.axes)
    np.testing.assert_allclose(np.asarray(times, float), plot.data["seconds_per_job"] * 1e6)
    np.testing.assert_array_equal(np.asarray(trips, float), plot.data["round_trips"])


def test_the_reading_has_the_numbers() -> None:
    plot = cost_of_ways(visits(TRUTH), baseline="slow")
    fastest = plot.data["times_faster"].iloc[-1]
    assert plot.title == f"Quick, a job is written {fastest:.3g} times as fast as slow"
    assert "1,000 jobs take 3,000 round trips" in plot.reading
    assert "and 4 round trips: " in plot.reading


@pytest.mark.parametrize("rounds", [1, 3, 8])
def test_ways_that_cost_the_same_are_not_told_apart(rounds: int) -> None:
    same = {"slow": (10e-6, 3), "quick": (10e-6, 3)}
    plot = cost_of_ways(visits(same, rounds=rounds), baseline="slow")
    assert plot.title == "No way to write is clearly faster than slow"
    assert plot.png()


def test_one_way_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'slow' is the only way that was measured"):
        cost_of_ways(visits({"slow": (10e-6, 3)}), baseline="slow")
