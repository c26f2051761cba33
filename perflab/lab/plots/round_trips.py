"""Round trips saved, as a map over batch size and flush interval."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import CROSS, HEAT, INK, PAPER, label_ticks, new_figure
from perflab.lab.plots.wording import milliseconds, sentence
from perflab.lab.quantities import format_count, format_percent, format_seconds
from perflab.lab.recommendation import in_words
from perflab.lab.sweep.findings import Findings

_COLUMNS = ["batch_size", "flush_interval", "round_trips_saved", "round_trips", "round_trips_unbatched"]


def round_trips_saved(findings: Findings) -> Plot:
    """The share of round trips that each setting saved, counted where they happen.

    Data columns: batch_size, flush_interval (seconds), round_trips_saved (share), round_trips, round_trips_unbatched,
    mean_batch, stable.
    """
    data = findings.replay[[*_COLUMNS, "mean_batch", "stable"]]
    best = data.sort_values("round_trips_saved").iloc[-1]
    saved = float(best["round_trips_saved"])
    unstable = not data["stable"].all()
    title = (
        f"Batching saves up to {format_percent(saved)} of the round trips" if saved > 0 else "No round trip is saved"
    )
    blocks = int(findings.replay["blocks"].iloc[0])
    figure, (axes,) = new_figure(
        title,
        f"Share of round trips saved, replay; totals of {blocks} block{'' if blocks == 1 else 's'}, counted on the "
        f"connection, so there is no interval.{f' {CROSS} could not keep up.' if unstable else ''}",
        plot_height_inches=0.42 * data["batch_size"].nunique() + 0.6,
    )
    _draw(axes, data)
    return Plot(figure, title, _reading(data, best), data)


def _reading(data: pd.DataFrame, best: pd.Series[float]) -> str:
    saved = float(best["round_trips_saved"])
    left, unbatched = (int(best[column]) for column in ("round_trips", "round_trips_unbatched"))
    if saved <= 0:
        return f"No setting saved a round trip: {left:,} at least were counted, and single writes take {unbatched:,}."
    size, interval = int(best["batch_size"]), float(best["flush_interval"])
    first = (
        f"{sentence(in_words(size, interval))} saved the most: {format_percent(saved)}, {left:,} round trips instead "
        f"of {unbatched:,}, with {format_count(best['mean_batch'])} items a flush on average."
    )
    same_size = data[data["batch_size"] == size].sort_values("flush_interval")
    shortest = same_size.iloc[0]
    if len(same_size) == 1 or shortest["flush_interval"] == interval:
        return first
    return (
        f"{first} At a flush interval of {format_seconds(shortest['flush_interval'])} the same batch size saves "
        f"{format_percent(shortest['round_trips_saved'])}, with {format_count(shortest['mean_batch'])} a flush."
    )


def _draw(axes: Axes, data: pd.DataFrame) -> None:
    shares = data.pivot_table(index="batch_size", columns="flush_interval", values="round_trips_saved")
    stable = data.pivot_table(index="batch_size", columns="flush_interval", values="stable", aggfunc="all")
    axes.grid(visible=False)
    axes.pcolormesh(shares.to_numpy(float), cmap=HEAT, vmin=0, vmax=1, edgecolors=PAPER, linewidth=2)
    for row, values in enumerate(shares.to_numpy(float)):
        for column, share in enumerate(values):
            mark = "" if stable.iloc[row, column] else f" {CROSS}"
            axes.text(
                column + 0.5,
                row + 0.5,
                f"{format_percent(share)}{mark}",
                ha="center",
                va="center",
                size=9.5,
                color=PAPER if share > 0.55 else INK,
            )
    label_ticks(
        axes, [column + 0.5 for column in range(shares.shape[1])], [milliseconds(float(i)) for i in shares.columns]
    )
    axes.set_yticks([row + 0.5 for row in range(shares.shape[0])], [f"{size:,}" for size in shares.index])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel("flush interval (ms)")
    axes.set_ylabel("batch size (items)")
