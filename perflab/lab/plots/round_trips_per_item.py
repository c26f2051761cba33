"""Round trips per item against batch size, and what they save."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import BLUE, LINE, MUTED, label_ticks, log_axis, new_figure, words
from perflab.lab.plots.wording import batches_of, sentence
from perflab.lab.quantities import format_count, format_percent
from perflab.lab.sweep.latency_findings import LatencyFindings

UNEVEN = 1.05
"""Largest over smallest count for an item from which on they differ: a last batch need not be full."""


def round_trips_per_item(findings: LatencyFindings) -> Plot:
    """Round trips that an item cost, as counted, with the share that each batch size saved.

    Data columns: those of `LatencyFindings.round_trips`.
    """
    data = findings.round_trips
    over_all = data.groupby("batch_size")[["items", "round_trips", "round_trips_unbatched"]].sum()
    over_all["per_item"] = over_all["round_trips"] / over_all["items"]
    over_all["saved"] = 1 - over_all["round_trips"] / over_all["round_trips_unbatched"]
    title, reading = _finding(data, over_all)
    figure, (axes,) = new_figure(
        title,
        "Counted on the connection, visits of all added latencies, so there is no interval. Beside each point is the "
        "share saved against single writes; the line is one round trip for each full batch.",
        plot_height_inches=2.8,
    )
    _draw(axes, over_all)
    return Plot(figure, title, reading, data)


def _finding(data: pd.DataFrame, over_all: pd.DataFrame) -> tuple[str, str]:
    best = over_all.sort_values("saved", kind="stable").reset_index().iloc[-1]
    title = f"{sentence(batches_of(int(best['batch_size'])))} save {format_percent(best['saved'])} of the round trips"
    counts = f"{format_count(best['round_trips'])} round trips instead of {format_count(best['round_trips_unbatched'])}"
    per_item = data.groupby("batch_size")["round_trips_per_item"]
    uneven = [int(str(size)) for size, values in per_item if values.max() > UNEVEN * values.min()]
    if uneven:
        sizes = ", ".join(map(batches_of, uneven))
        return title, f"{counts}. The counts differ between latencies for {sizes}: they were not equally full."
    return title, (
        f"{counts}. The counts were the same at every added latency: it changes what a round trip costs, not how many "
        "there are."
    )


def _draw(axes: Axes, over_all: pd.DataFrame) -> None:
    log_axis(axes, "x", lambda value: f"{value:,g}")
    log_axis(axes, "y", lambda value: f"{value:g}", ticks=(1.0,))
    sizes = [int(str(size)) for size in over_all.index]
    values = over_all["per_item"].to_numpy(float)
    axes.plot(sizes, [1 / size for size in sizes], color=LINE, linewidth=1.2, zorder=1)
    axes.plot(sizes, values, "o", color=BLUE, markersize=5, zorder=3)
    for size, value, saved in zip(sizes, values, over_all["saved"], strict=True):
        words(axes, size, float(value), format_percent(float(saved)), color=MUTED, dx=8, dy=7)
    label_ticks(axes, sizes, [f"{size:,}" for size in sizes])
    axes.set_xlim(sizes[0] / 1.3, sizes[-1] * 2)
    axes.set_xlabel("batch size (items)")
    axes.set_ylabel("round trips per item")
