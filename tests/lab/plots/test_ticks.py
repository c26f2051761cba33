from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import numpy as np
import pytest

from perflab.lab.plots import tick_round_trips_by_due, tick_time_by_due
from perflab.lab.tick_cost.findings import TickFindings
from perflab.lab.tick_cost.plan import TickPlan, Way

PLAN = TickPlan("postgresql", 8, (1, 100, 10_000))


def findings(*, one_by_one: float = 0.003, batch: float = 0.002, noise: float = 0.02) -> TickFindings:
    """Of a world in which a tick costs `batch` and 20 µs for each watch, and a single one `one_by_one`."""
    rng = Random(1)
    rows = []
    for block in range(PLAN.blocks):
        for position, (way, due) in enumerate(PLAN.cells):
            seconds = one_by_one * due if way is Way.ONE_BY_ONE else batch + 20e-6 * due
            rows.append(
                {
                    "block": block,
                    "position": position,
                    "way": str(way),
                    "due": due,
                    "measured_at": datetime(2013, 1, 1, tzinfo=UTC),
                    "seconds": seconds * rng.lognormvariate(0, noise),
                    "round_trips": due if way is Way.ONE_BY_ONE else 1,
                }
            )
    return TickFindings(PLAN, rows, {"engine": "PostgreSQL"})


def test_the_times_are_the_truth() -> None:
    plot = tick_time_by_due(findings())
    seconds = plot.data.set_index(["way", "due"])["seconds"]
    assert seconds[str(Way.INTERVAL), 10_000] == pytest.approx(0.202, rel=0.03)
    assert seconds[str(Way.CRON), 1] == pytest.approx(0.00202, rel=0.03)
    assert seconds[str(Way.ONE_BY_ONE), 100] == pytest.approx(0.3, rel=0.03)
    assert plot.title.startswith("A tick with 10,000 watches due takes 20")
    assert "Of 100 watches in one tick and one by one, the one tick is 7" in plot.reading


def test_no_gain_is_called_none() -> None:
    plot = tick_time_by_due(findings(one_by_one=0.00004, noise=0.3))
    assert "there is no clear gain" in plot.reading


def test_the_round_trips_are_those_that_were_counted() -> None:
    plot = tick_round_trips_by_due(findings())
    assert plot.title == "A tick takes 1 round trip, from 1 watch to 10,000 watches"
    assert plot.reading == (
        "All in one tick, interval watches take 1 and cron watches 1, from 1 watch to 10,000 watches; one by one, "
        "100 watches take 100."
    )
    drawn = plot.figure.axes[0].lines[0]
    np.testing.assert_array_equal(np.asarray(drawn.get_xdata(), float), [1, 100, 10_000])
    np.testing.assert_array_equal(np.asarray(drawn.get_ydata(), float), [1, 1, 1])


def test_round_trips_that_grow_are_told() -> None:
    found = findings()
    found.visits.loc[found.visits["due"] == 10_000, "round_trips"] = 3
    assert tick_round_trips_by_due(found).title == "A tick takes 1 to 3 round trips, from 1 watch to 10,000 watches"


def test_words_at_the_ends_do_not_overlap() -> None:
    """Of ways that take equally long, with bars that widen the axis."""
    figure = tick_time_by_due(findings(noise=0.8)).figure
    figure.draw_without_rendering()
    boxes = [words.get_window_extent() for words in figure.axes[0].texts]
    assert len(boxes) == 3
    assert not any(first.overlaps(second) for place, first in enumerate(boxes) for second in boxes[:place])
