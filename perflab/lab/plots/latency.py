"""Latency against flush interval, one line for each batch size."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import (
    CROSS,
    HALO,
    INK,
    LINE,
    MUTED,
    end_labels,
    interval_bars,
    label_ticks,
    log_axis,
    new_figure,
    note,
    panel_title,
    shades,
    words,
)
from perflab.lab.plots.wording import basis, batches_of, listed, milliseconds, sentence, settings_of, verb
from perflab.lab.quantities import format_seconds, format_seconds_interval
from perflab.lab.sweep.findings import Findings

PERCENTILES = ("p50", "p99")
_DODGE = 0.05


def latency_by_flush_interval(findings: Findings, latency_target_seconds: float) -> Plot:
    """Median and 99th percentile of the time from an item's intended moment to its commit.

    Args:
        findings: of a sweep with a replay.
        latency_target_seconds: largest acceptable p99; infinity for none.

    Data columns: percentile, batch_size, flush_interval (seconds), seconds, low, high, stable. An unstable setting has
    no seconds: under a load that it cannot take, they would only say how long the load lasted.
    """
    replay = findings.replay
    data = pd.concat(
        [
            pd.DataFrame(
                {
                    "percentile": percentile,
                    "batch_size": replay["batch_size"],
                    "flush_interval": replay["flush_interval"],
                    "seconds": replay[percentile],
                    "low": replay[f"{percentile}_low"],
                    "high": replay[f"{percentile}_high"],
                    "stable": replay["stable"],
                }
            )
            for percentile in PERCENTILES
        ],
        ignore_index=True,
    )
    title, reading = _finding(replay, latency_target_seconds)
    plan, blocks = findings.plan, int(replay["blocks"].iloc[0])
    figure, panels = new_figure(
        title,
        f"Real arrivals replayed {plan.speed_up:,.0f} times as fast, open loop, latency from the intended moment; "
        f"{basis(blocks)}.{'' if replay['stable'].all() else f' {CROSS} could not keep up.'}",
        panels=len(PERCENTILES),
        right_inches=1.15,
    )
    log_axis(panels[0], "y", lambda value: f"{value:,g}")
    for axes, percentile in zip(panels, PERCENTILES, strict=True):
        panel_title(axes, {"p50": "median (p50)", "p99": "99th percentile (p99)"}[percentile])
        _draw(axes, data[data["percentile"] == percentile], latency_target_seconds)
    panels[0].set_ylabel("latency (ms)")
    _label_batch_sizes(panels[-1], data[data["percentile"] == PERCENTILES[-1]])
    return Plot(figure, title, reading, data)


def _finding(replay: pd.DataFrame, target_seconds: float) -> tuple[str, str]:
    replay = replay[~replay["copied"]]
    stable = replay[replay["stable"]]
    failed = list(replay.loc[~replay["stable"], ["batch_size", "flush_interval"]].itertuples(index=False, name=None))
    without = f"could not keep up and {verb(len(failed), 'has', 'have')} no percentiles"
    overload = f"{settings_of(len(failed))} {without}: {listed(failed)}"
    if stable.empty:
        return "No setting kept up with the load", f"{sentence(overload)}. Lower the speed-up of the replay."
    effect = _effect_of_interval(stable)
    if math.isinf(target_seconds):
        title, verdict = effect[0], ""
    else:
        met = int((stable["p99_high"] <= target_seconds).sum())
        target = format_seconds(target_seconds)
        some = f"{met} of {settings_of(len(replay))}"
        title = f"{some} {verb(met, 'keeps', 'keep')} p99 within the target of {target}"
        verdict = f"{some} {verb(met, 'meets', 'meet')} the target of {target} with the upper bound of p99"
    second = "; ".join(part for part in (verdict, overload if failed else "") if part)
    return title, f"{effect[1]}. {sentence(second)}." if second else f"{effect[1]}."


def _effect_of_interval(stable: pd.DataFrame) -> tuple[str, str]:
    """What the interval does to the largest batch that can tell, as a title and as a sentence."""
    by_size = {size: rows.sort_values("flush_interval") for size, rows in stable.groupby("batch_size", sort=True)}
    rows = next((rows for rows in reversed(by_size.values()) if len(rows) > 1), None)
    if rows is None:
        slowest = stable.sort_values("p99").iloc[-1]
        where = f"{batches_of(int(slowest['batch_size']))} and a flush interval of "
        p99 = format_seconds_interval(*slowest[["p99", "p99_low", "p99_high"]])
        highest = f"the highest p99 is {p99}, with {where}{format_seconds(slowest['flush_interval'])}"
        return sentence(highest), sentence(highest)
    size = int(rows["batch_size"].iloc[0])
    (short, long), (first, last) = rows["flush_interval"].iloc[[0, -1]], (rows.iloc[0], rows.iloc[-1])
    p99s = [format_seconds_interval(*row[["p99", "p99_low", "p99_high"]]) for row in (first, last)]
    start = f"With {batches_of(size)}, p99 goes from"
    in_full = f"{p99s[0]} at a flush interval of {format_seconds(short)} to {p99s[1]} at {format_seconds(long)}"
    return f"{start} {format_seconds(first['p99'])} to {format_seconds(last['p99'])}", f"{start} {in_full}"


def _draw(axes: Axes, data: pd.DataFrame, target_seconds: float) -> None:
    intervals = sorted(data["flush_interval"].unique())
    places = {interval: place for place, interval in enumerate(intervals)}
    sizes = sorted(data["batch_size"].unique())
    for rank, (size, color) in enumerate(zip(sizes, shades(len(sizes)), strict=True)):
        rows = data[data["batch_size"] == size].sort_values("flush_interval")
        x = rows["flush_interval"].map(places).to_numpy(float) + (rank - (len(sizes) - 1) / 2) * _DODGE
        values, low, high = (rows[column].to_numpy(float) * 1e3 for column in ("seconds", "low", "high"))
        axes.plot(x, values, color=color, linewidth=1.2, zorder=2)
        rated = np.isfinite(values)
        interval_bars(axes, x[rated], values[rated], low[rated], high[rated], color=color)
        axes.plot(
            x[~rated],
            np.full((~rated).sum(), 0.97),
            "x",
            color=color,
            markersize=5.5,
            transform=axes.get_xaxis_transform(),
            clip_on=False,
        )
    positive = [interval for interval in intervals if interval > 0]
    if not data["seconds"].notna().any():
        note(axes, "no setting kept up, so there is no percentile")
        axes.set_ylim(0.1, 1_000)
    elif positive:
        ages = [interval * 1e3 for interval in positive]
        axes.plot([places[interval] for interval in positive], ages, color=LINE, linewidth=1, linestyle=":", zorder=1)
        middle = positive[len(positive) // 2]
        if str(data["percentile"].iloc[0]) == PERCENTILES[0]:
            words(axes, places[middle], middle * 1e3, "the interval\nitself", color=MUTED, dx=-8, dy=7)
    if math.isfinite(target_seconds) and str(data["percentile"].iloc[0]) == PERCENTILES[-1]:
        axes.axhline(target_seconds * 1e3, color=INK, linewidth=1, linestyle="--", zorder=1)
        axes.annotate(
            f"target {format_seconds(target_seconds)}",
            (0.01, target_seconds * 1e3),
            xycoords=axes.get_yaxis_transform(),
            xytext=(0, 4),
            textcoords="offset points",
            size=8.5,
            color=INK,
            path_effects=HALO,
        )
    axes.margins(y=0.12)
    label_ticks(axes, list(places.values()), [milliseconds(interval) for interval in intervals])
    axes.set_xlim(-0.5, len(intervals) - 0.5)
    axes.set_xlabel("flush interval (ms)")


def _label_batch_sizes(axes: Axes, data: pd.DataFrame) -> None:
    sizes = sorted(data["batch_size"].unique())
    last = {size: rows.dropna().sort_values("flush_interval") for size, rows in data.groupby("batch_size")}
    shown = [(size, color) for size, color in zip(sizes, shades(len(sizes)), strict=True) if not last[size].empty]
    intervals = sorted(data["flush_interval"].unique())
    end_labels(
        axes,
        [float(intervals.index(last[size]["flush_interval"].iloc[-1])) for size, _ in shown],
        [float(last[size]["seconds"].iloc[-1]) * 1e3 for size, _ in shown],
        [f"batch {size:,}" for size, _ in shown],
        [color for _, color in shown],
    )
