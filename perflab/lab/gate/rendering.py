"""A comparison as text for a terminal, as Markdown for a pull request, and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

from perflab.lab.gate.compare_runs import RunComparison
from perflab.lab.gate.judgement import CellJudgement, Outcome, in_unit
from perflab.lab.gate.measured_run import MeasuredRun
from perflab.lab.markdown_table import markdown_table
from perflab.lab.quantities import format_factor, format_percent

Format = Literal["text", "markdown", "json"]

_HEADER = ("cell", "A", "B", "B ÷ A [95 %]", "could have seen", "verdict")


def render(comparison: RunComparison, form: Format) -> str:
    """The comparison in one of the formats, ending with a line break."""
    if form == "json":
        return json.dumps(_as_data(comparison), indent=2, ensure_ascii=False) + "\n"
    header = [text.replace("95 %", f"{comparison.thresholds.level * 100:g} %") for text in _HEADER]
    rows = [_row(cell) for cell in comparison.cells]
    notes = _notes(comparison)
    if form == "text":
        table = _aligned([header, *rows])
        return "\n".join([table, "", *notes, f"{comparison.outcome}: {_count(comparison)}"]) + "\n"
    title = f"### Performance: {comparison.outcome}"
    return (
        "\n\n".join(
            [title, f"{_count(comparison)}.", markdown_table(header, rows), "\n".join(f"- {note}" for note in notes)]
        )
        + "\n"
    )


def _row(cell: CellJudgement) -> list[str]:
    ratio = cell.ratio
    verdict = f"{cell.outcome} ({cell.reason})" if cell.reason else str(cell.outcome)
    return [
        cell.name,
        in_unit(cell.before, cell.unit),
        in_unit(cell.after, cell.unit),
        ""
        if ratio is None
        else f"{format_factor(ratio.value)} [{format_factor(ratio.low)}, {format_factor(ratio.high)}]",
        "" if ratio is None else format_percent(ratio.minimum_detectable),
        verdict,
    ]


def _count(comparison: RunComparison) -> str:
    counts = {outcome: sum(cell.outcome is outcome for cell in comparison.cells) for outcome in Outcome}
    found = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    return f"{found} of {len(comparison.cells)} cell{'' if len(comparison.cells) == 1 else 's'}"


def _notes(comparison: RunComparison) -> list[str]:
    before, after, thresholds = comparison.before, comparison.after, comparison.thresholds
    paired = "round" if before.rounds > 1 else "block"
    method = (
        f"Ratios are paired by {paired}, each side over the raw forms that were measured beside it, if any. "
        f"A rise of more than {format_percent(thresholds.margin)} is a regression."
    )
    notes = [f"A is {_described(before)}; B is {_described(after)}.", method]
    if before.rounds == 1:
        notes.append("One run each, one after the other: alternate rounds of both say more (perflab compare --help).")
    notes += [f"Differs: {difference}." for difference in comparison.differences]
    notes += [f"New in B, so not judged: {name}." for name in comparison.only_after]
    return notes


def _described(run: MeasuredRun) -> str:
    commit = run.environment.get("commit")
    return f"{run.source} ({f'commit {commit}' if commit else 'no commit'}, {run.measured_at:%Y-%m-%d %H:%M %Z})"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _as_data(comparison: RunComparison) -> dict[str, Any]:
    return {
        "outcome": str(comparison.outcome),
        "exit_code": comparison.outcome.exit_code,
        "thresholds": asdict(comparison.thresholds),
        "before": _run(comparison.before),
        "after": _run(comparison.after),
        "differences": [asdict(each) for each in comparison.differences],
        "only_after": list(comparison.only_after),
        "cells": [{**asdict(cell), "unit": str(cell.unit), "outcome": str(cell.outcome)} for cell in comparison.cells],
    }


def _run(run: MeasuredRun) -> dict[str, Any]:
    return {
        "source": run.source,
        "measured_at": run.measured_at.isoformat(),
        "commit": run.environment.get("commit"),
        "engines": list(run.engines),
        "rounds": run.rounds,
    }
