"""Latency and cost of policies and fixed settings, load by load."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import (
    BLUE,
    GREEN,
    INK,
    LINE,
    MUTED,
    ORANGE,
    interval_bars,
    log_axis,
    new_figure,
    panel_title,
    words,
)
from perflab.lab.plots.wording import basis
from perflab.lab.quantities import format_seconds, format_seconds_interval
from perflab.lab.sweep.plan import Mode
from perflab.lab.sweep.sizing_findings import SizingFindings

COLORS = {"adaptive": BLUE, "ski rental": GREEN, "AIMD": ORANGE}
"""Of the policies; fixed settings are grey."""
_PANELS = (("p99", 1e3, "p99 latency (ms)"), ("writer_seconds_per_item", 1e6, "writer's time per item (µs)"))


def latency_and_cost_by_load(findings: SizingFindings) -> Plot:
    """For each replay: p99 latency, and the writer's time for an item, of each setting and policy.

    Data columns: those of `SizingFindings.table`, replays only.
    """
    data = findings.table[findings.table["mode"] == str(Mode.REPLAY)].reset_index(drop=True)
    loads = list(dict.fromkeys(data["load"]))
    figure, plots = new_figure(
        _title(data, findings.target),
        f"Replayed, one writer; {basis(int(data['blocks'].iloc[0]))}. Grey marks are fixed settings. What is not drawn "
        "did not keep up in every block.",
        panels=2,
        plot_height_inches=0.95 * len(loads) + 0.5,
        left_inches=2.05,
    )
    for axes, (column, scale, label) in zip(plots, _PANELS, strict=True):
        panel_title(axes, label)
        _draw(axes, data, loads, column, scale)
    plots[0].axvline(findings.target * 1e3, color=INK, linewidth=1, linestyle="--", zorder=1)
    labels = [f"{load}\n{findings.offered(load):,.0f} items/s" for load in loads]
    plots[0].set_yticks(range(len(loads)), labels)
    plots[0].set_ylim(len(loads) - 0.45, -0.55)
    return Plot(figure, _title(data, findings.target), _reading(data, findings.target), data)


def _title(data: pd.DataFrame, target: float) -> str:
    adaptive = data[data["sizing"] == "adaptive"]
    met = int((adaptive["p99"] <= target).sum())
    return f"Adaptive sizing keeps its p99 within {format_seconds(target)} under {met} of {len(adaptive)} loads"


def _reading(data: pd.DataFrame, target: float) -> str:
    sentences = []
    for load, rows in data.groupby("load", sort=False):
        adaptive = rows[rows["sizing"] == "adaptive"].iloc[0]
        fixed = rows[rows["sizing"] == "fixed"]
        met = int((fixed["p99"] <= target).sum())
        p99 = (
            "did not keep up"
            if math.isnan(adaptive["p99"])
            else f"has a p99 of {format_seconds_interval(adaptive['p99'], adaptive['p99_low'], adaptive['p99_high'])}"
        )
        cost = format_seconds(adaptive["writer_seconds_per_item"])
        sentences.append(
            f"{load}: adaptive {p99} at {cost} of the writer's time per item; {met} of {len(fixed)} fixed settings "
            "meet the target"
        )
    return f"{'; '.join(sentences)}."


def _draw(axes: Axes, data: pd.DataFrame, loads: list[str], column: str, scale: float) -> None:
    log_axis(axes, "x", lambda value: f"{value:,g}")
    policies = [name for name in COLORS if name in set(data["sizing"])]
    for place, load in enumerate(loads):
        rows = data[data["load"] == load]
        fixed = rows.loc[rows["sizing"] == "fixed", column].to_numpy(float) * scale
        fixed = fixed[np.isfinite(fixed)]
        axes.plot(fixed, [place - 0.3] * len(fixed), "|", color=MUTED, markersize=9, zorder=2)
        for position, name in enumerate(policies):
            (row,) = rows[rows["sizing"] == name].to_dict("records")
            value, low, high = (float(row[f"{column}{bound}"]) * scale for bound in ("", "_low", "_high"))
            if math.isfinite(value):
                height = place - 0.12 + 0.2 * position
                interval_bars(axes, [value], [height], [low], [high], color=COLORS[name], horizontal=True)
                if place == 0 and math.isfinite(high):
                    words(axes, high, height, name, color=COLORS[name])
        axes.axhline(place + 0.5, color=LINE, linewidth=0.8)
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.12)
