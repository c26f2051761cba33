"""Why batches left: full, or too old."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from perflab.events import Cause
from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import (
    BLUE,
    GREEN,
    INK,
    LINE,
    MUTED,
    ORANGE,
    PURPLE,
    YELLOW,
    label_ticks,
    new_figure,
    panel_title,
)
from perflab.lab.plots.wording import milliseconds
from perflab.lab.quantities import format_count, format_percent
from perflab.lab.sweep.findings import Findings

_MEANING = {
    Cause.COUNT: ("full", BLUE),
    Cause.AGE: ("flush interval over", ORANGE),
    Cause.IDLE: ("writer idle", YELLOW),
    Cause.URGENCY: ("urgent", INK),
    Cause.BYTES: ("bytes", GREEN),
    Cause.MEMORY: ("buffer full", PURPLE),
    Cause.BARRIER: ("end of the replay", MUTED),
    Cause.CLOSE: ("close", LINE),
}


def flush_causes(findings: Findings) -> Plot:
    """The share of flushes by the cause for which they left, for each setting of the replay.

    Data columns: batch_size, flush_interval (seconds), cause, flushes, share.
    """
    data = findings.causes
    intervals = sorted(data["flush_interval"].unique())
    totals = data.groupby("cause")["flushes"].sum()
    flushes = int(totals.sum())
    by_age, by_count = (totals.get(str(cause), 0) / flushes for cause in (Cause.AGE, Cause.COUNT))
    title = f"The flush interval sent {format_percent(by_age)} of all batches, a full batch {format_percent(by_count)}"
    figure, panels = new_figure(
        title,
        f"Share of {format_count(flushes)} flushes by cause, replay, all blocks; counts, so there is no interval. "
        "One panel for each flush interval.",
        panels=len(intervals),
        plot_height_inches=0.26 * data["batch_size"].nunique() + 0.5,
    )
    for axes, interval in zip(panels, intervals, strict=True):
        panel_title(axes, f"{milliseconds(interval)} ms")
        _draw(axes, data[data["flush_interval"] == interval])
    panels[0].set_ylabel("batch size (items)")
    present = [cause for cause in _MEANING if cause in totals.index]
    figure.legend(
        handles=[Patch(color=_MEANING[cause][1], label=_MEANING[cause][0]) for cause in present],
        loc="lower left",
        bbox_to_anchor=(0.09, -0.005),
        ncols=len(present),
        frameon=False,
        fontsize=8.5,
        labelcolor=MUTED,
        handlelength=0.9,
        handleheight=0.9,
    )
    return Plot(figure, title, _reading(data), data)


def _reading(data: pd.DataFrame) -> str:
    """For the largest batch that was ever full: where that happened, and from which interval on."""
    full = data[(data["cause"] == str(Cause.COUNT)) & (data["batch_size"] > 1) & (data["share"] > 0.5)]
    sizes = sorted(size for size in data["batch_size"].unique() if size > 1)
    if not sizes:
        return "Batches of one item are always full: this sweep has no other."
    if full.empty:
        return (
            f"No batch size above 1 was mostly sent full, from {sizes[0]:,} items on: at this rate the flush interval "
            "decides how large batches are."
        )
    largest = int(full["batch_size"].max())
    interval = float(full.loc[full["batch_size"] == largest, "flush_interval"].min())
    share = float(full.loc[(full["batch_size"] == largest) & (full["flush_interval"] == interval), "share"].iloc[0])
    rest = [size for size in sizes if size > largest]
    beyond = f" Larger batches, from {rest[0]:,} items on, were not mostly full at any interval." if rest else ""
    return (
        f"The largest batch size that was mostly sent full is {largest:,}: {format_percent(share)} of its flushes at a "
        f"flush interval of {milliseconds(interval)} ms.{beyond}"
    )


def _draw(axes: Axes, data: pd.DataFrame) -> None:
    shares = data.pivot_table(index="batch_size", columns="cause", values="share", fill_value=0.0)
    axes.grid(visible=False)
    left = pd.Series(0.0, index=shares.index)
    for cause, (_, color) in _MEANING.items():
        if cause in shares.columns:
            axes.barh(range(len(shares)), shares[cause], left=left, color=color, height=0.72)
            left += shares[cause]
    axes.set_yticks(range(len(shares)), [f"{size:,}" for size in shares.index])
    label_ticks(axes, [0, 0.5, 1], ["0", "", "100%"])
    axes.set_xlim(0, 1)
    axes.spines["left"].set_visible(False)
