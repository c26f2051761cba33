from __future__ import annotations

import pandas as pd
import pytest

from perflab.errors import InvalidInput
from perflab.lab.plots import departures_by_hour
from tests.lab.plots.drawn import bars

TABLE = pd.DataFrame({"EWR": [0] * 24, "JFK": [0] * 24}, index=pd.RangeIndex(24, name="hour"))


def test_the_bars_are_the_table_and_the_reading_its_peak() -> None:
    table = TABLE.copy()
    table.loc[7, ["EWR", "JFK"]] = (30, 10)
    table.loc[9, "JFK"] = 8
    plot = departures_by_hour(table)
    assert plot.title == "The busiest hour of 48 flights is 07:00 UTC, with 40 of them"
    assert "20.0 times the mean of an hour, and 22 of the 24 hours have none" in plot.reading
    heights = [bar.get_height() for bar in bars(plot.figure.axes[0])]
    assert heights == [*table["EWR"], *table["JFK"]]
    pd.testing.assert_frame_equal(plot.data.set_index("hour"), table)


def test_every_origin_is_drawn_however_many() -> None:
    table = pd.DataFrame({f"A{number}": [1] * 24 for number in range(7)}, index=TABLE.index)
    assert len(bars(departures_by_hour(table).figure.axes[0])) == 7 * 24


def test_no_flight_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no flight to draw"):
        departures_by_hour(TABLE)
