"""The guided tour: what the worker's handler made of the jobs."""

from __future__ import annotations

from itertools import cycle

import pandas as pd

from perflab.errors import InvalidInput
from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import BLUE, GREEN, ORANGE, PURPLE, YELLOW, label_ticks, new_figure

_COLORS = (BLUE, ORANGE, GREEN, YELLOW, PURPLE)


def departures_by_hour(table: pd.DataFrame) -> Plot:
    """Flights by scheduled hour, stacked by origin.

    Args:
        table: flights, one row for each hour of the day in UTC, one column for each origin.

    Data columns: hour, and one for each origin.

    Raises:
        InvalidInput: there is no flight.
    """
    totals = table.sum(axis=1)
    if not totals.any():
        raise InvalidInput("there is no flight to draw: let the worker handle some jobs first")
    flights, busiest, quiet = int(totals.sum()), int(totals.to_numpy().argmax()), int((totals == 0).sum())
    peak, mean = int(totals.max()), flights / len(table)
    title = f"The busiest hour of {flights:,} flights is {busiest:02}:00 UTC, with {peak:,} of them"
    figure, (axes,) = new_figure(
        title,
        "Flights that the worker handled, by scheduled hour of departure (UTC) and airport; counts, no interval.",
        plot_height_inches=2.6,
        right_inches=0.9,
    )
    bottom = pd.Series(0, index=table.index)
    for origin, color in zip(table.columns, cycle(_COLORS), strict=False):
        axes.bar(table.index, table[origin], bottom=bottom, color=color, width=0.8, label=str(origin))
        bottom += table[origin]
    axes.legend(
        loc="upper left", bbox_to_anchor=(1.0, 1.0), reverse=True, frameon=False, fontsize=8.5, handlelength=0.8
    )
    label_ticks(axes, range(0, 24, 3), [f"{hour:02}:00" for hour in range(0, 24, 3)])
    axes.set_xlim(-0.7, 23.7)
    axes.set_xlabel("scheduled hour of departure (UTC)")
    axes.set_ylabel("flights")
    reading = (
        f"The hour from {busiest:02}:00 UTC has {peak:,} of the {flights:,} flights, {peak / mean:.1f} times the mean "
        f"of an hour, and {quiet} of the 24 hours have none: a mean rate says little about the load of a queue."
    )
    return Plot(figure, title, reading, table.reset_index())
