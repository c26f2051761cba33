"""How large a rise must be to be found in a history, and how soon it is."""

from __future__ import annotations

import numpy as np

from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import interval_bars, label_ticks, new_figure, shades, words
from perflab.lab.quantities import format_percent
from perflab.lab.trend_study.findings import RISES, RUNS_AFTER, RUNS_BEFORE, TrendFindings

SHARE = 0.8


def rises_seen(findings: TrendFindings) -> Plot:
    """The share of drawn histories in which a rise is found, by its size and by the number of runs since.

    Data columns: those of `TrendFindings.seen`.
    """
    seen, soon, late = findings.seen, RUNS_AFTER[0], RUNS_AFTER[-1]
    smallest = findings.smallest_seen(RUNS_AFTER[1], SHARE)
    title = (
        f"No rise up to {format_percent(max(RISES))} is sure to be seen within {RUNS_AFTER[1]} runs"
        if smallest is None
        else f"A rise of {format_percent(smallest)} is seen within {RUNS_AFTER[1]} runs"
    )
    figure, (axes,) = new_figure(
        title,
        f"Each point: {seen['histories'].iloc[0]} drawn histories with the noise of the runs above, "
        f"{format_percent(findings.noise)}, and a rise after {RUNS_BEFORE} of them. Bars are 95 % intervals.",
        right_inches=1.2,
    )
    last = len(RISES) - 1
    for number, (after, color) in enumerate(zip(RUNS_AFTER, shades(len(RUNS_AFTER)), strict=True)):
        part = seen[seen["runs_after"] == after]
        x = np.arange(len(RISES)) + 0.06 * (number - 1)
        axes.plot(x, part["found"] * 100, "o-", color=color, markersize=4, linewidth=1.4)
        interval_bars(axes, x, part["found"] * 100, part["low"] * 100, part["high"] * 100, color=color)
        words(axes, last + 0.2, 76.0 + 8.0 * number, f"{after} runs later", color=color)
    label_ticks(axes, list(range(len(RISES))), ["no change", *(f"{rise:.0%}" for rise in RISES[1:])])
    axes.set_xlim(-0.3, last + 0.2)
    axes.set_ylim(-3, 105)
    axes.set_xlabel("rise of the cost")
    axes.set_ylabel("found (% of histories)")
    return Plot(figure, title, _reading(findings, soon, late), seen)


def _reading(findings: TrendFindings, soon: int, late: int) -> str:
    alarms = findings.seen[findings.seen["rise"] == 0]["found"].max()
    parts = []
    for after in (soon, late):
        smallest = findings.smallest_seen(after, SHARE)
        what = f"a rise of {format_percent(smallest)}" if smallest else f"no rise up to {format_percent(max(RISES))}"
        parts.append(f"{after} runs later {what} is found in {SHARE:.0%} of histories")
    false = f"{format_percent(alarms)} of them show a change at most" if alarms else "none of them shows a change"
    return (
        f"Runs at one level vary by {format_percent(findings.noise)}: {', and '.join(parts)}. "
        f"Where nothing changes, {false}."
    )
