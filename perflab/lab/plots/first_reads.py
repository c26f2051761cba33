"""What warming the engine does to its first reads."""

from __future__ import annotations

import pandas as pd

from perflab.lab.cache_warming.first_reads import STATES, WARMED, FirstReads
from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import BLUE, interval_bars, log_axis, new_figure, note, panel_title, whole, words
from perflab.lab.plots.wording import basis, times, times_interval, verdict
from perflab.lab.quantities import format_count, format_percent, format_seconds
from perflab.lab.statistics.intervals import geometric_mean_interval
from perflab.lab.statistics.ratio import Verdict


def first_reads(found: FirstReads) -> Plot:
    """Mean time of the first reads after a start, and that of all reads with the warming.

    Data columns: state, warmed, read_seconds (and its _low, _high), warm_seconds, all_seconds (of the warming and all
    reads, mean), blocks.
    """
    if found.visits.empty:
        return _not_measured()
    data = pd.DataFrame([_row(found, state, warmed) for state in STATES for warmed in WARMED])
    title = _title(found)
    figure, (left, right) = new_figure(
        title,
        f"{found.reads:,} of {found.rows:,} rows, by random keys, each read once after a start; "
        f"{basis(int(data['blocks'].iloc[0]))}. Means on the right.",
        panels=2,
        plot_height_inches=1.9,
        left_inches=1.6,
        bottom_inches=0.35,
    )
    rows = range(len(data))[::-1]
    values, low, high = (data[f"read_seconds{bound}"].to_numpy(float) * 1e6 for bound in ("", "_low", "_high"))
    panel_title(left, "time per read (µs)")
    log_axis(left, "x", whole)
    interval_bars(left, values, rows, low, high, color=BLUE, horizontal=True)
    left.set_xlim(values.min() / 3, values.max() * 3)
    panel_title(right, "warming and all reads (ms)")
    together = data["all_seconds"].to_numpy(float) * 1e3
    right.plot(together, rows, "o", color=BLUE, markersize=5)
    right.set_xlim(0, together.max() * 1.2)
    for row, value, whole_time in zip(rows, values, together, strict=True):
        words(left, value, row, times(value), dx=0, dy=11)
        words(right, whole_time, row, format_count(whole_time), dx=0, dy=11)
    for axes in (left, right):
        axes.grid(visible=False, axis="y")
    left.set_yticks(rows, [f"{row['state']}, {row['warmed']}" for row in data.to_dict("records")])
    left.set_ylim(-0.5, len(data) - 0.3)
    return Plot(figure, title, _reading(found, data), data)


def _not_measured() -> Plot:
    title = "First reads were not measured"
    reading = "This system cannot drop files from its memory, so no read can be made to wait for the disk."
    figure, (axes,) = new_figure(title, "It needs posix_fadvise, which Linux has.", plot_height_inches=1.0)
    axes.set_axis_off()
    note(axes, reading)
    return Plot(figure, title, reading, pd.DataFrame(columns=["state", "warmed", "read_seconds"]))


def _row(found: FirstReads, state: str, warmed: str) -> dict[str, object]:
    visits = found.visits[(found.visits["state"] == state) & (found.visits["warmed"] == warmed)]
    estimate = geometric_mean_interval(visits["read_seconds"].to_numpy(float))
    everything = visits["warm_seconds"] + found.reads * visits["read_seconds"]
    return {
        "state": state,
        "warmed": warmed,
        "read_seconds": estimate.value,
        "read_seconds_low": estimate.low,
        "read_seconds_high": estimate.high,
        "warm_seconds": float(visits["warm_seconds"].mean()),
        "all_seconds": float(everything.mean()),
        "blocks": estimate.n,
    }


def _title(found: FirstReads) -> str:
    parts = []
    for state in STATES:
        ratio = found.ratio(state)
        match verdict(ratio):
            case Verdict.LOWER:
                parts.append(f"makes first reads {format_percent(1 - ratio.value)} quicker where pages are {state}")
            case Verdict.HIGHER:
                parts.append(f"makes first reads {format_percent(ratio.value - 1)} slower where pages are {state}")
            case _:
                parts.append(f"makes no clear difference where pages are {state}")
    return f"Warming the engine {', and '.join(parts)}"


def _reading(found: FirstReads, data: pd.DataFrame) -> str:
    parts = []
    for state in STATES:
        ratio = found.ratio(state)
        plain, warmed = data[data["state"] == state].to_dict("records")
        parts.append(
            f"With the pages {state}, a first read takes {format_seconds(plain['read_seconds'])}, and "
            f"{times_interval(ratio.value, ratio.low, ratio.high)} times that when warmed; warming took "
            f"{format_seconds(warmed['warm_seconds'])}"
        )
    return f"{'. '.join(parts)}."
