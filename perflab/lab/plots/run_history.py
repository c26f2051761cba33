"""The cost of one cell over many runs, with its levels and what changed around it."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd

from perflab.lab.gate.history_text import cell_in_words, level_in_words
from perflab.lab.gate.run_history import CellHistory, RunHistory
from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import BLUE, MUTED, ORANGE, new_figure, words
from perflab.lab.plots.wording import sentence
from perflab.lab.quantities import format_percent

_SCALE = {"time per item": (1e6, "µs per item"), "latency": (1e3, "ms"), "round trips per item": (1.0, "round trips")}


def cost_over_runs(history: RunHistory, cell: CellHistory) -> Plot:
    """Each run as a point, each level as a line, each change of the environment as a dashed line.

    Data columns: run, measured_at, commit, value, level, changed (whether the level begins there), environment (what
    changed around the run, "" if nothing).
    """
    data = _data(history, cell)
    title = _title(cell)
    figure, (axes,) = new_figure(
        title,
        "Points are runs, geometric means over their blocks; lines are medians between changes of level, found with a "
        "false alarm in 100 histories. Dashed: the environment changed.",
    )
    scale, unit = (1.0, "times the raw forms") if cell.relative else _SCALE[str(cell.unit)]
    axes.plot(data["run"], data["value"] * scale, "o", color=BLUE, markersize=3.5)
    bounds = [0, *(change.point.index for change in cell.changes), len(data)]
    for start, stop in pairwise(bounds):
        part = data.iloc[start:stop]
        axes.plot(part["run"], part["level"] * scale, color=ORANGE, linewidth=1.8)
    for mark in history.marks:
        axes.axvline(mark.run - 0.5, color=MUTED, linewidth=0.9, linestyle="--")
        names = ", ".join(difference.name.replace("_", " ") for difference in mark.differences)
        words(axes, mark.run - 0.5, float(data["value"].max()) * scale, names, color=MUTED)
    axes.set_ylim(0, float(data["value"].max()) * scale * 1.15)
    axes.set_xlim(-0.7, len(history.runs) - 0.3)
    axes.set_xlabel("run, in the order of time")
    axes.set_ylabel(unit)
    reading = " ".join(sentence(line.strip()) + "." for line in cell_in_words(history, cell).splitlines())
    return Plot(figure, title, reading, data)


def _title(cell: CellHistory) -> str:
    if not cell.changes:
        return f"{cell.name} has not changed its level in {len(cell.runs)} runs"
    point = cell.changes[-1].point
    return f"{cell.name} went from {level_in_words(cell, point.before)} to {_times_more(point.ratio)}"


def _times_more(ratio: float) -> str:
    """`"18.5% more"`, `"12.0% less"`."""
    return f"{format_percent(abs(ratio - 1))} {'more' if ratio > 1 else 'less'}"


def _data(history: RunHistory, cell: CellHistory) -> pd.DataFrame:
    starts = {change.run: change for change in cell.changes}
    marks = {mark.run: str(mark) for mark in history.marks}
    level = cell.changes[0].point.before if cell.changes else float(pd.Series(cell.values).median())
    rows = []
    for number, value in zip(cell.runs, cell.values, strict=True):
        if change := starts.get(number):
            level = change.point.after
        run = history.runs[number]
        commit = run.environment.get("commit")
        rows.append((number, run.measured_at, commit, value, level, number in starts, marks.get(number, "")))
    return pd.DataFrame(rows, columns=["run", "measured_at", "commit", "value", "level", "changed", "environment"])
