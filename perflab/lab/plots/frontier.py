"""Throughput against p99: what each setting gives, which ones no other beats, and which one to take."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from perflab.lab.grid_points import GridPoint, pareto
from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import (
    DOTS_PER_INCH,
    GREEN,
    GRID,
    HALO,
    INK,
    LINE,
    MUTED,
    log_axis,
    new_figure,
    note,
    shades,
    whole,
    words,
)
from perflab.lab.plots.wording import basis, milliseconds, sentence, settings_of
from perflab.lab.quantities import format_rate_interval, format_seconds, format_seconds_interval
from perflab.lab.recommendation import NoRecommendation, Recommendation, in_words
from perflab.lab.sweep.findings import Findings

_LABEL_POINTS = (75, 13)
"""Room that a label takes."""


def throughput_latency_frontier(findings: Findings, recommendation: Recommendation | NoRecommendation) -> Plot:
    """Items per second of writer time against the p99 of each setting that kept up.

    Args:
        findings: of a sweep with a replay.
        recommendation: made from them; its target is drawn.

    Data columns: batch_size, flush_interval (seconds), p99, p99_low, p99_high (seconds), items_per_writer_second (and
    its _low, _high), on_frontier, recommended.
    """
    rated = [point for point in findings.points if point.stable]
    frontier = pareto(rated)
    best = {(point.batch_size, point.flush_interval_seconds) for point in frontier}
    chosen = (
        (recommendation.batch_size, recommendation.flush_interval_seconds)
        if isinstance(recommendation, Recommendation)
        else None
    )
    data = pd.DataFrame(
        [
            {
                "batch_size": point.batch_size,
                "flush_interval": point.flush_interval_seconds,
                "p99": point.p99.value,
                "p99_low": point.p99.low,
                "p99_high": point.p99.high,
                "items_per_writer_second": point.throughput.value,
                "items_per_writer_second_low": point.throughput.low,
                "items_per_writer_second_high": point.throughput.high,
                "on_frontier": (point.batch_size, point.flush_interval_seconds) in best,
                "recommended": (point.batch_size, point.flush_interval_seconds) == chosen,
            }
            for point in rated
        ],
        columns=[
            *("batch_size", "flush_interval", "p99", "p99_low", "p99_high"),
            *("items_per_writer_second", "items_per_writer_second_low", "items_per_writer_second_high"),
            *("on_frontier", "recommended"),
        ],
    )
    title = _title(recommendation)
    blocks = int(findings.replay["blocks"].iloc[0])
    figure, (axes,) = new_figure(
        title,
        f"Replay; {basis(blocks)}. On the line are the settings that no other one beats in both; "
        "labels are batch size / flush interval in ms.",
        plot_height_inches=4.0,
        right_inches=1.0,
    )
    _draw(axes, data, frontier, recommendation)
    return Plot(figure, title, _reading(len(findings.points), frontier, recommendation), data)


def _title(recommendation: Recommendation | NoRecommendation) -> str:
    if isinstance(recommendation, Recommendation):
        setting = in_words(recommendation.batch_size, recommendation.flush_interval_seconds)
        return f"Recommended: send at {setting}, for a p99 of {format_seconds(recommendation.p99.value)}"
    if math.isinf(recommendation.latency_target_seconds):
        return "No setting kept up with the load"
    return f"No setting keeps p99 within the target of {format_seconds(recommendation.latency_target_seconds)}"


def _reading(measured: int, frontier: Sequence[GridPoint], recommendation: Recommendation | NoRecommendation) -> str:
    if not frontier:
        return recommendation.describe()
    count = len(frontier)
    first = f"{count} of {settings_of(measured)} {'is' if count == 1 else 'are'} on the frontier"
    if isinstance(recommendation, NoRecommendation):
        return f"{first}. {recommendation.describe()}"
    setting = in_words(recommendation.batch_size, recommendation.flush_interval_seconds)
    fastest = frontier[-1]
    text = f"{first}. {sentence(setting)}, the recommendation, gives {_figures(recommendation)}"
    if (fastest.batch_size, fastest.flush_interval_seconds) == (
        recommendation.batch_size,
        recommendation.flush_interval_seconds,
    ):
        return f"{text}, the highest throughput of all that kept up."
    other = in_words(fastest.batch_size, fastest.flush_interval_seconds)
    return f"{text}; the highest throughput of all, {_figures(fastest)}, belongs to {other}."


def _figures(setting: GridPoint | Recommendation) -> str:
    rate, p99 = setting.throughput, setting.p99
    return (
        f"{format_rate_interval(rate.value, rate.low, rate.high)} at a p99 of "
        f"{format_seconds_interval(p99.value, p99.low, p99.high)}"
    )


def _draw(
    axes: Axes,
    data: pd.DataFrame,
    frontier: Sequence[GridPoint],
    recommendation: Recommendation | NoRecommendation,
) -> None:
    axes.set_xlabel("p99 latency (ms)")
    axes.set_ylabel("items per second of writer time")
    if data.empty:
        note(axes, "no setting kept up with the load")
        axes.set_xticks([])
        axes.set_yticks([])
        return
    log_axis(axes, "x", lambda value: f"{value:,g}")
    log_axis(axes, "y", whole)
    sizes = sorted(data["batch_size"].unique())
    colors = dict(zip(sizes, shades(len(sizes)), strict=True))
    x, y = data["p99"].to_numpy(float) * 1e3, data["items_per_writer_second"].to_numpy(float)
    for values, low, high, plot in (
        (x, data["p99_low"] * 1e3, data["p99_high"] * 1e3, axes.hlines),
        (y, data["items_per_writer_second_low"], data["items_per_writer_second_high"], axes.vlines),
    ):
        other = y if values is x else x
        if high.map(math.isfinite).all():
            plot(other, low, high, color=LINE, linewidth=1, zorder=1)
    steps = [(point.p99.value * 1e3, point.throughput.value) for point in frontier]
    axes.step(*zip(*steps, strict=True), where="post", color=MUTED, linewidth=1.2, zorder=2)
    axes.scatter(
        x, y, c=[colors[size] for size in data["batch_size"]], s=28, zorder=3, edgecolors="white", linewidths=0.6
    )
    target = recommendation.latency_target_seconds
    if math.isfinite(target):
        axes.axvline(target * 1e3, color=INK, linewidth=1, linestyle="--", zorder=1)
        axes.annotate(
            f"target {format_seconds(target)}",
            (target * 1e3, 0.015),
            xycoords=axes.get_xaxis_transform(),
            xytext=(-4, 0),
            textcoords="offset points",
            size=8.5,
            color=INK,
            ha="right",
            path_effects=HALO,
        )
    axes.margins(x=0.1, y=0.12)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.autoscale_view()
    _label(axes, data)
    axes.text(1.03, 0.98, "batch size", transform=axes.transAxes, color=MUTED, size=8.5)
    for row, (size, color) in enumerate(reversed(colors.items()), start=1):
        axes.text(1.03, 0.98 - 0.05 * row, f"● {size:,}", transform=axes.transAxes, color=color, size=8.5)


def _label(axes: Axes, data: pd.DataFrame) -> None:
    """The settings on the frontier by name, the recommended one in a ring; not those that a label would cover."""
    labelled = data[data["on_frontier"] | data["recommended"]]
    labelled = labelled.sort_values(["recommended", "items_per_writer_second"], ascending=False)
    taken: list[tuple[float, float]] = []
    for row in labelled.to_dict("records"):
        place = (float(row["p99"]) * 1e3, float(row["items_per_writer_second"]))
        x, y = (float(dots) * 72 / DOTS_PER_INCH for dots in axes.transData.transform(place))
        if any(
            abs(x - other_x) < _LABEL_POINTS[0] and abs(y - other_y) < _LABEL_POINTS[1] for other_x, other_y in taken
        ):
            continue
        taken.append((x, y))
        name = f"{row['batch_size']:,} / {milliseconds(float(row['flush_interval']))}"
        if row["recommended"]:
            axes.plot(*place, "o", ms=13, mfc="none", mec=GREEN, mew=2, zorder=4)
            words(axes, *place, f"recommended: {name}", color=GREEN, dx=-12, dy=9)
        else:
            left_edge = axes.get_window_extent().x0 * 72 / DOTS_PER_INCH
            words(axes, *place, name, color=MUTED, dx=-7 if x - left_edge > _LABEL_POINTS[0] else 7, dy=8)
