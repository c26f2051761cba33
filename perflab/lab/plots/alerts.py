"""A service that is disturbed, what its alert says, and how soon."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from perflab.lab.alert_delay.findings import AlertFindings
from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import (
    BLUE,
    GREEN,
    GRID,
    MUTED,
    ORANGE,
    interval_bars,
    label_ticks,
    log_axis,
    new_figure,
    words,
)
from perflab.lab.quantities import format_seconds, format_seconds_interval

_LABELS = {"began_after_seconds": "until it fires", "ended_after_seconds": "until it is over"}


def flush_time_through_disturbances(findings: AlertFindings) -> Plot:
    """The p99 of flushes from look to look, where the service was disturbed, and where the alert fired.

    Data columns: those of `AlertFindings.looks`.
    """
    plan, looks = findings.plan, findings.looks
    title = f"The alert told of {findings.told} of {plan.episodes} disturbances"
    figure, (axes,) = new_figure(
        title,
        f"99 % of the flushes since the last look are quicker; a look each {format_seconds(plan.look_seconds)}. Grey: "
        f"somebody holds the table for {format_seconds(plan.hold_seconds)} at a time. Orange: the alert fires.",
    )
    log_axis(axes, "y", lambda milliseconds: f"{milliseconds:,g}", ticks=[1.0])
    seconds, length = looks["seconds"].to_numpy(float), plan.phase_looks * plan.look_seconds
    for episode in range(plan.episodes):
        axes.axvspan((2 * episode + 1) * length, (2 * episode + 2) * length, color=GRID, zorder=0)
    axes.plot(seconds, looks["flush_p99_seconds"].to_numpy(float) * 1e3, ".-", color=BLUE, linewidth=0.9, markersize=3)
    limit = plan.limit_seconds * 1e3
    axes.axhline(limit, color=MUTED, linewidth=0.9, linestyle="--")
    words(axes, 0.0, limit, "the limit of the rule", color=MUTED, dx=2, dy=6)
    fires = np.where(looks["is_firing"].to_numpy(bool), limit, np.nan)
    axes.plot(seconds, fires, "-", color=ORANGE, linewidth=5, solid_capstyle="butt")
    axes.set_xlim(0, float(seconds[-1]))
    axes.set_xlabel("seconds since the start")
    axes.set_ylabel("p99 of flushes (ms)")
    return Plot(figure, title, _course_reading(findings), looks)


def delays_of_alerts(findings: AlertFindings) -> Plot:
    """How long it took the alert to begin and to end, in each episode and on average.

    Data columns: those of `AlertFindings.delays`.
    """
    began = findings.delay("began_after_seconds")
    title = (
        "The alert fired at fewer than two disturbances"
        if began is None
        else f"The alert fires {format_seconds(began.value)} later"
    )
    figure, (axes,) = new_figure(
        title,
        f"Each dot is one of {findings.plan.episodes} disturbances, known to a look. Squares are geometric means "
        "with their 95 % intervals.",
        plot_height_inches=2.8,
    )
    for place, (column, color) in enumerate(zip(_LABELS, (ORANGE, GREEN), strict=True)):
        _delays(axes, findings, column, place, color)
    label_ticks(axes, [0, 1], list(_LABELS.values()))
    axes.set_xlim(-0.5, 1.5)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("seconds")
    return Plot(figure, title, _delay_reading(findings), findings.delays)


def _delays(axes: Axes, findings: AlertFindings, column: str, place: int, color: str) -> None:
    known = findings.delays[column].dropna().to_numpy(float)
    if (estimate := findings.delay(column)) is None:
        axes.text(
            place, 0.5, "fewer than two are known", transform=axes.get_xaxis_transform(), color=MUTED, ha="center"
        )
        return
    offsets = np.linspace(-0.12, 0.12, len(known))
    axes.plot(place + offsets, known, "o", color=color, markersize=4, alpha=0.6)
    x = np.array([place + 0.25])
    axes.plot(x, [estimate.value], "s", color=color, markersize=5)
    interval_bars(axes, x, [estimate.value], [estimate.low], [estimate.high], color=color)


def _course_reading(findings: AlertFindings) -> str:
    plan, others = findings.plan, findings.others
    calm = f"at {findings.false_looks} of {plan.phase_looks} looks" if findings.false_looks else "not once"
    rest = f"also fired: {', '.join(others)}" if others else f"none of the other {len(plan.rules) - 1} rules fired"
    changes = 0 if findings.trend is None else len(findings.trend.changes)
    return (
        f"Of {plan.episodes} disturbances, the alert told of {findings.told}; before the first one it fired {calm}, "
        f"and {rest}. The level of this course changed {2 * plan.episodes} times; without any limit, "
        f"{changes} change points are found in it."
    )


def _delay_reading(findings: AlertFindings) -> str:
    parts = []
    for column, what in (("began_after_seconds", "fires"), ("ended_after_seconds", "is over")):
        if (estimate := findings.delay(column)) is None:
            parts.append(f"There are too few episodes in which it {what}.")
        else:
            interval = format_seconds_interval(estimate.value, estimate.low, estimate.high)
            parts.append(f"On average over {estimate.n} episodes, the alert {what} after {interval}.")
    return " ".join(parts)
