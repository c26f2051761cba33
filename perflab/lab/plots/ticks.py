"""Time and round trips of a tick, against the number of watches that are due."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
from matplotlib.axes import Axes

from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import (
    BLUE,
    GREEN,
    ORANGE,
    end_labels,
    interval_bars,
    label_ticks,
    log_axis,
    new_figure,
    whole,
)
from perflab.lab.plots.wording import basis, times_interval, verdict
from perflab.lab.quantities import format_count, format_seconds, format_seconds_interval
from perflab.lab.statistics.ratio import Verdict
from perflab.lab.tick_cost.findings import TickFindings
from perflab.lab.tick_cost.plan import Way

_COLORS = {Way.INTERVAL: BLUE, Way.CRON: GREEN, Way.ONE_BY_ONE: ORANGE}
_LABELS_INCHES = 1.35


def tick_time_by_due(findings: TickFindings) -> Plot:
    """Seconds until nothing is due any more, for each way.

    Data columns: those of `TickFindings.costs`.
    """
    largest = findings.costs_of(Way.INTERVAL).iloc[-1]
    title = (
        f"A tick with {_watches(largest['due'])} due takes {format_seconds(largest['seconds'])}, "
        f"{format_seconds(largest['seconds_per_watch'])} for each"
    )
    figure, (axes,) = new_figure(
        title,
        f"Until nothing is due any more, each visit in a fresh database: {basis(findings.plan.blocks)}.",
        right_inches=_LABELS_INCHES,
    )
    log_axis(axes, "y", lambda milliseconds: f"{milliseconds:,g}", ticks=[1.0])
    for way, color in _COLORS.items():
        costs = findings.costs_of(way)
        value, low, high = (costs[f"seconds{bound}"].to_numpy(float) * 1e3 for bound in ("", "_low", "_high"))
        interval_bars(axes, costs["due"].to_numpy(float), value, low, high, color=color)  # before words stand beside it
    _lines(axes, findings, lambda costs: costs["seconds"] * 1e3)
    axes.set_ylabel("time (ms)")
    return Plot(figure, title, _time_reading(findings), findings.costs)


def tick_round_trips_by_due(findings: TickFindings) -> Plot:
    """Round trips until nothing is due any more, for each way.

    Data columns: way, due, round_trips.
    """
    data = findings.costs[["way", "due", "round_trips"]]
    interval, cron = findings.costs_of(Way.INTERVAL), findings.costs_of(Way.CRON)
    title = _trips_title(interval)
    figure, (axes,) = new_figure(
        title,
        "Counted on the connection, so there is no interval; the most of any block. On SQLite a round trip is a "
        "statement that is handed over, on PostgreSQL an exchange with the server.",
        right_inches=_LABELS_INCHES,
    )
    log_axis(axes, "y", whole, ticks=[1.0])
    _lines(axes, findings, lambda costs: costs["round_trips"].astype(float))
    axes.set_ylim(bottom=0.7)
    axes.set_ylabel("round trips")
    single = findings.costs_of(Way.ONE_BY_ONE).iloc[-1]
    reading = (
        f"All in one tick, interval watches take {_range(interval)} and cron watches {_range(cron)}, from "
        f"{_watches(interval['due'].iloc[0])} to {_watches(interval['due'].iloc[-1])}; one by one, "
        f"{_watches(single['due'])} take {format_count(single['round_trips'])}."
    )
    return Plot(figure, title, reading, data)


def _lines(axes: Axes, findings: TickFindings, values: Callable[[pd.DataFrame], pd.Series[float]]) -> None:
    log_axis(axes, "x", whole)
    last_x, last_y = [], []
    for way, color in _COLORS.items():
        costs = findings.costs_of(way)
        x, y = costs["due"].to_numpy(float), values(costs).to_numpy(float)
        axes.plot(x, y, "o-", color=color, linewidth=1.4, markersize=4)
        last_x.append(float(x[-1]))
        last_y.append(float(y[-1]))
    due = findings.plan.due
    label_ticks(axes, due, [f"{count:,}" for count in due])
    axes.set_xlim(due[0] / 1.4, due[-1] * 1.4)
    axes.set_xlabel("watches that are due")
    end_labels(axes, last_x, last_y, [str(way) for way in _COLORS], list(_COLORS.values()))


def _time_reading(findings: TickFindings) -> str:
    parts = []
    for way in (Way.INTERVAL, Way.CRON):
        first, last = (findings.costs_of(way).iloc[place] for place in (0, -1))
        interval = format_seconds_interval(last["seconds"], last["seconds_low"], last["seconds_high"])
        parts.append(
            f"With {way}, a tick takes {format_seconds(first['seconds'])} for {_watches(first['due'])} and {interval} "
            f"for {_watches(last['due'])}."
        )
    ratio = findings.times_faster
    factor = times_interval(ratio.value, ratio.low, ratio.high)
    compared = f"{_watches(findings.compared_due)} in one tick and one by one"
    if verdict(ratio) is Verdict.HIGHER:
        parts.append(f"Of {compared}, the one tick is {factor} times as fast.")
    else:
        parts.append(f"Between {compared} there is no clear gain: a factor of {factor}.")
    return " ".join(parts)


def _trips_title(interval: pd.DataFrame) -> str:
    trips = sorted(set(interval["round_trips"]))
    first, last = _watches(interval["due"].iloc[0]), _watches(interval["due"].iloc[-1])
    if len(trips) == 1:
        count = f"{trips[0]:,} round trip{'' if trips[0] == 1 else 's'}"
        return f"A tick takes {count}, from {first} to {last}"
    return f"A tick takes {trips[0]:,} to {trips[-1]:,} round trips, from {first} to {last}"


def _range(costs: pd.DataFrame) -> str:
    low, high = int(costs["round_trips"].min()), int(costs["round_trips"].max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _watches(due: float) -> str:
    return f"{due:,.0f} watch{'' if due == 1 else 'es'}"
