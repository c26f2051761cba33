"""Throughput against batch size, as fast as possible, with the cost model that explains its shape."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from perflab.errors import InvalidInput
from perflab.lab.cost_curve import Form
from perflab.lab.cost_model import CostModel
from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import (
    BLUE,
    LINE,
    MUTED,
    ORANGE,
    end_labels,
    interval_bars,
    label_ticks,
    log_axis,
    new_figure,
    whole,
)
from perflab.lab.plots.wording import basis, batches_of, sentence, times, times_interval, verdict
from perflab.lab.quantities import format_count, format_rate_interval
from perflab.lab.statistics.ratio import Ratio, Verdict
from perflab.lab.statistics.selection import gain_of_the_best
from perflab.lab.sweep.findings import Findings
from perflab.lab.sweep.plan import Mode

END_TO_END, WRITER, MODEL = "end to end", "per second of writer time", "cost model"
_COLORS = {END_TO_END: ORANGE, WRITER: BLUE, MODEL: MUTED}
_COLUMNS = {END_TO_END: "items_per_second", WRITER: "items_per_writer_second"}


def throughput_by_batch_size(findings: Findings) -> Plot:
    """Items per second of each batch size: for the caller, and of the writer's own time.

    Data columns: series, batch_size, items_per_second, low, high.
    """
    capacity = findings.capacity
    model, no_model = _cost_model(findings)
    data = pd.concat(
        [
            pd.DataFrame(
                {
                    "series": series,
                    "batch_size": capacity["batch_size"],
                    "items_per_second": capacity[column],
                    "low": capacity[f"{column}_low"],
                    "high": capacity[f"{column}_high"],
                }
            )
            for series, column in _COLUMNS.items()
        ]
        + ([] if model is None else [_curve(model)]),
        ignore_index=True,
    )
    title, compared = _finding(findings)
    blocks = int(capacity["blocks"].iloc[0])
    figure, (axes,) = new_figure(
        title,
        f"As fast as possible, one writer; {basis(blocks)}. The line is the cost model, fitted to full batches.",
        right_inches=1.75,
    )
    _draw(axes, data, model)
    return Plot(figure, title, f"{compared} {no_model if model is None else model.describe()}", data)


def _cost_model(findings: Findings) -> tuple[CostModel | None, str]:
    try:
        return findings.cost_model, ""
    except InvalidInput as error:
        return None, f"There is no cost model: {error}"


def _curve(model: CostModel) -> pd.DataFrame:
    """The model within the sizes that it was fitted to."""
    sizes = np.geomspace(model.batch_sizes[0], model.batch_sizes[-1], 120)
    return pd.DataFrame(
        {
            "series": MODEL,
            "batch_size": sizes,
            "items_per_second": [model.throughput(float(size)) for size in sizes],
            "low": np.nan,
            "high": np.nan,
        }
    )


def _finding(findings: Findings) -> tuple[str, str]:
    """Title, and first sentence of the reading: the best batch size against the smallest, block by block."""
    capacity = findings.capacity
    by_rate = capacity.sort_values("items_per_second", kind="stable")
    smallest, best = int(capacity["batch_size"].min()), int(by_rate["batch_size"].iloc[-1])
    columns = ["items_per_second", "items_per_second_low", "items_per_second_high"]
    figures = {
        size: format_rate_interval(*capacity.loc[capacity["batch_size"] == size, columns].iloc[0])
        for size in (smallest, best)
    }
    first = f"{sentence(batches_of(smallest))} were written at {figures[smallest]}"
    if best == smallest:
        title = f"No larger batch writes more items per second than {batches_of(smallest)}"
        return title, f"{first}, and no larger batch size was faster on average."
    ratio = _gain_over(findings, smallest)
    numbers = f"{first} and {batches_of(best)} at {figures[best]}"
    if verdict(ratio) is Verdict.HIGHER:
        gain = f"write {times(ratio.value)} times as many items per second as {batches_of(smallest)}"
        title = f"{sentence(batches_of(best))} {gain}"
        return title, f"{numbers}: {times_interval(ratio.value, ratio.low, ratio.high)} times as many{_judged(ratio)}."
    compared = sentence(ratio.describe("throughput at the best size", f"throughput at {smallest:,}"))
    return "Batch size makes no clear difference to throughput", f"{numbers}, the highest. {compared}"


def _gain_over(findings: Findings, smallest: int) -> Ratio:
    """The best size over the smallest, each block judging the one that is best in all others: no luck is counted."""
    visits = findings.visits[findings.visits["mode"] == str(Mode.CLOSED_LOOP)]
    table = visits.pivot_table(index="block", columns="batch_size", values="items_per_second")
    column = [int(size) for size in table.columns].index(smallest)
    return gain_of_the_best(table.to_numpy(float), column, rng=np.random.default_rng(findings.plan.seed))


def _judged(ratio: Ratio) -> str:
    judged = "each block judges the size that was best in all others, and the interval holds for all sizes together"
    return f" ({judged})" if ratio.n > 1 else ""


def _draw(axes: Axes, data: pd.DataFrame, model: CostModel | None) -> None:
    log_axis(axes, "x", whole)
    log_axis(axes, "y", whole)
    ends: dict[str, float] = {}
    for series, color in _COLORS.items():
        rows = data[data["series"] == series]
        if rows.empty:
            continue
        sizes, rates = rows["batch_size"].to_numpy(float), rows["items_per_second"].to_numpy(float)
        if series == MODEL:
            axes.plot(sizes, rates, color=color, linewidth=1.2, zorder=2)
        else:
            interval_bars(axes, sizes, rates, rows["low"].to_numpy(float), rows["high"].to_numpy(float), color=color)
        if series == END_TO_END:
            axes.plot(sizes, rates, color=color, linewidth=1.0, alpha=0.5, zorder=2)
        ends[series] = float(rates[-1])
    measured = sorted(set(data.loc[data["series"] == END_TO_END, "batch_size"]))
    label_ticks(axes, measured, [f"{size:,.0f}" for size in measured])
    axes.set_xlim(measured[0] / 1.3, measured[-1] * 1.3)
    axes.set_xlabel("batch size (items)")
    axes.set_ylabel("items per second")
    if model is not None:
        _mark_half_batch(axes, model, measured[0], measured[-1])
    end_labels(axes, [measured[-1]] * len(ends), list(ends.values()), list(ends), [_COLORS[series] for series in ends])


def _mark_half_batch(axes: Axes, model: CostModel, smallest: float, largest: float) -> None:
    """Where fixed and per-item cost are equal; for a line, that is where half of its limit is reached."""
    half = model.half_batch
    if model.form is Form.ISOTONIC or not smallest <= half.value <= largest:
        return
    rate = model.throughput(half.value)
    axes.vlines(half.value, 0, rate, color=LINE, linewidth=1, linestyle=":", zorder=1)
    axes.plot([half.value], [rate], marker="D", color=MUTED, markersize=6, markerfacecolor="white", zorder=4)
    meaning = "half of the limit" if model.form is Form.LINE else "fixed cost = cost of the items"
    interval = f" [{format_count(half.low)}, {format_count(half.high)}]" if math.isfinite(half.high) else ""
    axes.annotate(
        f"{meaning}\nat {format_count(half.value)} items{interval}",
        (half.value, 0.03),
        xycoords=axes.get_xaxis_transform(),
        xytext=(5, 0),
        textcoords="offset points",
        size=8.5,
        color=MUTED,
    )
