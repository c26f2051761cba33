"""What the cost model says of throughput, nearby and far away."""

from __future__ import annotations

import numpy as np
import pandas as pd

from perflab.batching.sizing.polynomial_cost import PolynomialCost
from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import end_labels, label_ticks, log_axis, new_figure, shades, whole
from perflab.lab.quantities import format_seconds

NEARBY = PolynomialCost(200e-6, 10e-6)
ROUND_TRIPS_SECONDS = (0.0, 0.0005, 0.002, 0.010)
SIZES = (1, 10, 100, 1_000, 10_000)


def throughput_by_distance() -> Plot:
    """Throughput against batch size, by the model, one line for each round trip that is added to alpha.

    Data columns: added (seconds), batch_size, items_per_second, half_batch (alpha/beta, in items).
    """
    rows = []
    for added in ROUND_TRIPS_SECONDS:
        cost = PolynomialCost(NEARBY.alpha + added, NEARBY.beta)
        rows += [
            (added, size, size / cost.seconds(size), cost.alpha / cost.beta) for size in np.geomspace(1, 10_000, 81)
        ]
    data = pd.DataFrame(rows, columns=["added", "batch_size", "items_per_second", "half_batch"])
    halves = data.groupby("added")["half_batch"].first()
    near, far = halves.iloc[0], halves.iloc[-1]
    farthest = format_seconds(ROUND_TRIPS_SECONDS[-1])
    title = f"{farthest} more of round trip move half of the best throughput from {near:,.0f} items to {far:,.0f}"
    figure, (axes,) = new_figure(
        title,
        f"Calculated: T(b) = {format_seconds(NEARBY.alpha)} + {format_seconds(NEARBY.beta)} · b, and a round trip. "
        "Points: half of the best throughput, where the items of a batch cost as much as all else.",
        right_inches=1.3,
    )
    log_axis(axes, "x", whole)
    log_axis(axes, "y", whole, ticks=(1.0,))
    colors = shades(len(ROUND_TRIPS_SECONDS))
    for (_, line), half, color in zip(data.groupby("added"), halves, colors, strict=True):
        axes.plot(line["batch_size"], line["items_per_second"], color=color, linewidth=1.6)
        axes.plot([half], [NEARBY.best_throughput / 2], "o", color=color, markersize=6)
    label_ticks(axes, SIZES, [f"{size:,}" for size in SIZES])
    axes.set_xlabel("batch size (items)")
    axes.set_ylabel("items per second of writer time")
    ends = [float(line["items_per_second"].iloc[-1]) for _, line in data.groupby("added")]
    texts = [f"{format_seconds(added)} more" if added else "nearby" for added in ROUND_TRIPS_SECONDS]
    end_labels(axes, [10_000.0] * len(ends), ends, texts, colors)
    singles = data[data["batch_size"] == 1].set_index("added")["items_per_second"]
    reading = (
        f"With {farthest} more, single items are written at {singles.iloc[-1]:,.0f} a second instead of "
        f"{singles.iloc[0]:,.0f}, and batches of 10,000 at {ends[-1]:,.0f} instead of {ends[0]:,.0f}."
    )
    return Plot(figure, title, reading, data)
