"""The best batch size at each added latency, predicted and measured."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import BLUE, MUTED, interval_bars, label_ticks, log_axis, new_figure, whole, words
from perflab.lab.plots.wording import basis, latency_of
from perflab.lab.quantities import format_count
from perflab.lab.sweep.latency_findings import GOOD_ENOUGH, LatencyFindings

_SERIES = (("predicted", MUTED, -0.08), ("measured", BLUE, 0.08))


def best_batch_by_added_latency(findings: LatencyFindings) -> Plot:
    """The smallest batch that reaches most of the highest throughput, between the sizes that were measured.

    Data columns: those of `LatencyFindings.best_batches`.
    """
    data = findings.best_batches
    first, last = data.iloc[0], data.iloc[-1]
    share = f"{GOOD_ENOUGH:.0%}"
    title = (
        f"From {latency_of(float(first['added']))} to {latency_of(float(last['added']))}, the best batch goes from "
        f"{format_count(round(first['measured']))} to {format_count(round(last['measured']))} items"
    )
    figure, (axes,) = new_figure(
        title,
        f"The smallest batch with {share} of the highest throughput that any measured size reached; "
        f"{basis(int(first['blocks']))}. Predicted: from the visits with nothing added.",
        plot_height_inches=3.0,
    )
    _draw(axes, data)
    return Plot(figure, title, _reading(data, share), data)


def _reading(data: pd.DataFrame, share: str) -> str:
    rows = [{str(name): float(value) for name, value in row.items()} for row in data.to_dict("records")]
    parts = [
        f"with {latency_of(row['added'])}, {_interval(row, 'predicted')} predicted and {_interval(row, 'measured')} "
        "measured"
        for row in rows
    ]
    apart = [
        latency_of(row["added"])
        for row in rows
        if row["predicted_low"] > row["measured_high"] or row["predicted_high"] < row["measured_low"]
    ]
    verdict = (
        f"The intervals do not overlap with {', '.join(apart)}: there the prediction did not hold."
        if apart
        else "The intervals of predicted and measured overlap everywhere."
    )
    return f"The batch with {share} of the highest throughput has, in items: {'; '.join(parts)}. {verdict}"


def _interval(row: dict[str, float], name: str) -> str:
    value, low, high = (format_count(round(row[f"{name}{bound}"])) for bound in ("", "_low", "_high"))
    return f"{value} [{low}, {high}]"


def _draw(axes: Axes, data: pd.DataFrame) -> None:
    log_axis(axes, "y", whole)
    for name, color, offset in _SERIES:
        places = [place + offset for place in range(len(data))]
        values = data[name].to_numpy(float)
        interval_bars(
            axes, places, values, data[f"{name}_low"].to_numpy(float), data[f"{name}_high"].to_numpy(float), color=color
        )
        words(axes, places[-1], float(values[-1]), name, color=color, dx=-10 if offset < 0 else 10)
    label_ticks(axes, range(len(data)), [latency_of(float(added)) for added in data["added"]])
    axes.set_xlim(-0.5, len(data) - 0.3)
    axes.margins(y=0.2)
    axes.set_xlabel("added round trip, measured")
    axes.set_ylabel("batch size (items)")
