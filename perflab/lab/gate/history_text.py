"""A history in words: one line for each cell, and one for each of its changes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from perflab.lab.gate.judgement import in_unit
from perflab.lab.gate.run_history import CellChange, CellHistory, RunHistory
from perflab.lab.quantities import format_factor, format_percent


def level_in_words(cell: CellHistory, level: float) -> str:
    """A level of a cell: `"1.21 times the raw form"`, `"3.4 µs"`."""
    return f"{format_factor(level)} times the raw forms" if cell.relative else in_unit(level, cell.unit)


def run_in_words(history: RunHistory, number: int) -> str:
    """`"2026-11-24 18:30, commit abc"`."""
    run = history.runs[number]
    commit = run.environment.get("commit")
    return f"{run.measured_at:%Y-%m-%d %H:%M}{f', commit {commit}' if commit else ''}"


def change_in_words(history: RunHistory, cell: CellHistory, change: CellChange) -> str:
    """What changed, by how much, since which run, and what else did then."""
    point = change.point
    relative = f" ({format_percent(point.ratio - 1, signed=True)})" if point.before else ""
    also = f"; at the same time {change.mark}" if change.mark else ""
    return (
        f"since {run_in_words(history, change.run)}: {level_in_words(cell, point.before)} → "
        f"{level_in_words(cell, point.after)}{relative}{also}"
    )


def cell_in_words(history: RunHistory, cell: CellHistory) -> str:
    """The last level, over how many runs, and each change."""
    level = cell.changes[-1].point.after if cell.changes else _median(cell)
    runs = f"{len(cell.runs)} run{'' if len(cell.runs) == 1 else 's'}"
    if not cell.changes:
        return f"{cell.name}: {level_in_words(cell, level)}, no change of level in {runs}"
    changes = [f"  {change_in_words(history, cell, change)}" for change in cell.changes]
    return "\n".join([f"{cell.name}: {level_in_words(cell, level)} now, {runs}", *changes])


def history_text(history: RunHistory) -> str:
    """All cells, the changes around them, and what could not be read."""
    marks = [f"  {run_in_words(history, mark.run)}: {mark}" for mark in history.marks]
    return "\n".join(
        [
            *(cell_in_words(history, cell) for cell in history.cells),
            *(["around the runs:", *marks] if marks else []),
            *(f"left out: {reason}" for reason in history.unreadable),
        ]
    )


def history_data(history: RunHistory) -> dict[str, Any]:
    """The same as JSON takes it."""
    return {
        "runs": [
            {"source": run.source, "measured_at": run.measured_at.isoformat(), "commit": run.environment.get("commit")}
            for run in history.runs
        ],
        "cells": [
            {**asdict(cell), "unit": "times the raw forms" if cell.relative else str(cell.unit)}
            for cell in history.cells
        ],
        "marks": [asdict(mark) for mark in history.marks],
        "unreadable": list(history.unreadable),
    }


def _median(cell: CellHistory) -> float:
    ordered = sorted(cell.values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
