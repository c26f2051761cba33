"""Trends as people and programs read them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from perflab.monitoring.change_points import ChangePoint
from perflab.monitoring.history.trend import Trend

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 40


def as_text(trends: Sequence[Trend]) -> str:
    """For a terminal: a line for each series, and one for each place at which its level changed."""
    lines = []
    for trend in trends:
        lines.append(f"{_name(trend):<44} {sparkline(trend.values)}  {_summary(trend)}")
        lines += [f"    {_sentence(trend, change)}" for change in trend.changes]
    return "\n".join(lines)


def as_markdown(trends: Sequence[Trend]) -> str:
    """A table, for an issue or a comment."""
    lines = ["| Signal | Trend | Median | Last | Changes |", "| --- | --- | ---: | ---: | --- |"]
    for trend in trends:
        changes = "; ".join(_sentence(trend, change) for change in trend.changes) or "none"
        cells = (_name(trend), sparkline(trend.values), _quantity(trend, trend.median), _quantity(trend, trend.last))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in (*cells, changes)) + " |")
    return "\n".join(lines)


def as_json(trends: Sequence[Trend]) -> str:
    """All values, for a program."""
    return json.dumps([_described(trend) for trend in trends], allow_nan=False)


def sparkline(values: Sequence[float], width: int = WIDTH) -> str:
    """The course of values in so many characters; each shows the largest of its share of them."""
    count = min(width, len(values))
    cells = [
        max(values[number * len(values) // count : (number + 1) * len(values) // count]) for number in range(count)
    ]
    low, high = min(cells), max(cells)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((cell - low) * scale)] for cell in cells)


def _described(trend: Trend) -> dict[str, Any]:
    return {
        "signal": trend.signal.name,
        "unit": trend.signal.unit,
        "labels": dict(trend.labels),
        "moments": list(trend.moments),
        "values": list(trend.values),
        "changes": [
            {
                "at": trend.moments[change.index],
                "before": change.before,
                "after": change.after,
                "p_value": change.p_value,
            }
            for change in trend.changes
        ],
    }


def _name(trend: Trend) -> str:
    labels = ", ".join(f"{name}={value}" for name, value in trend.labels)
    return f"{trend.signal.name}{f' {{{labels}}}' if labels else ''}"


def _summary(trend: Trend) -> str:
    low, high = min(trend.values), max(trend.values)
    return (
        f"{_quantity(trend, trend.last)} now, {_quantity(trend, trend.median)} as a rule "
        f"({_quantity(trend, low)} to {_quantity(trend, high)})"
    )


def _sentence(trend: Trend, change: ChangePoint) -> str:
    moment = datetime.fromtimestamp(trend.moments[change.index], UTC).astimezone()
    ratio = f", {change.ratio:.2g} times" if change.before else ""
    before, after = _quantity(trend, change.before), _quantity(trend, change.after)
    return f"{moment:%Y-%m-%d %H:%M}: {before} before, {after} after{ratio}"


def _quantity(trend: Trend, value: float) -> str:
    return f"{value:.3g}{f' {trend.signal.unit}' if trend.signal.unit else ''}"
