"""Lines over time, as SVG paths: what a template needs to draw them, in the units of a box of 1,000 by 100."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from perflab.monitoring.dashboard.formats import number
from perflab.monitoring.dashboard.live import View
from perflab.monitoring.dashboard.rings import Point, Span

WIDTH, HEIGHT = 1_000.0, 100.0
GAP_STEPS = 3.5
"""Points further apart than so many steps are not joined: nothing was read between them."""


@dataclass(frozen=True, slots=True)
class Line:
    label: str
    style: str
    """The name of its colour in the style sheet."""
    path: str
    """Of SVG; empty where nothing is above zero."""
    area: str
    """The same, closed along the bottom."""
    last: str
    """Its last value."""


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    unit: str
    lines: Sequence[Line]
    ticks: Sequence[str]
    """Labels of the y axis, from the top."""
    since: str
    """Label of the left end."""
    summary: str
    """In words, for those who do not see it."""

    @property
    def is_empty(self) -> bool:
        return not any(line.path for line in self.lines)


Pick = Callable[[Point], float]


def chart(
    view: View,
    title: str,
    *lines: tuple[str, str, Pick],
    unit: str,
    write: Callable[[float | None], str] = number,
) -> Chart:
    """Draw lines over the span of a view, up to its moment.

    Args:
        view: whose points.
        title: what it shows.
        lines: label, colour, and which figure of a point.
        unit: of the values, in words.
        write: how a value is written.
    """
    span, moment = view.span, view.moment
    shown = [point for point in view.points if moment - span.seconds <= point.moment <= moment + span.step_seconds]
    values = [[pick(point) for point in shown] for _, _, pick in lines]
    top = nice_top(max((value for row in values for value in row if math.isfinite(value)), default=0.0))
    drawn = []
    for (label, style, _), row in zip(lines, values, strict=True):
        is_drawn = any(value > 0 for value in row)  # a line of zeros would lie on the axis and on others
        runs = _runs(shown, row, span, moment, top) if is_drawn else []
        drawn.append(Line(label, style, _path(runs), _area(runs), write(row[-1] if row else None)))
    now = ", ".join(f"{line.label} {line.last}" for line in drawn)
    summary = f"{title} ({unit}) over the last {span.label}; now {now}"
    return Chart(title, unit, drawn, (write(top), write(top / 2), write(0.0)), f"{span.label} ago", summary)


def nice_top(highest: float) -> float:
    """1, 2 or 5 times a power of ten that is not below the highest value; 1 where all are 0."""
    if highest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0, 20.0) if factor * power >= highest)


Run = list[tuple[float, float]]


def _runs(points: Sequence[Point], values: Sequence[float], span: Span, moment: float, top: float) -> list[Run]:
    """Places of the box, in stretches without a gap."""
    runs: list[Run] = []
    before = -math.inf
    for point, value in zip(points, values, strict=True):
        if not math.isfinite(value):
            continue
        if point.moment - before > GAP_STEPS * span.step_seconds:
            runs.append([])
        before = point.moment
        x = min(WIDTH, WIDTH * (1 - (moment - point.moment) / span.seconds))
        runs[-1].append((x, HEIGHT * (1 - value / top)))
    return runs


def _path(runs: Sequence[Run]) -> str:
    """A single point is drawn as a dot: a line of no length with round ends."""
    return " ".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in (run if len(run) > 1 else run * 2)) for run in runs)


def _area(runs: Sequence[Run]) -> str:
    return " ".join(
        f"M{run[0][0]:.1f} {HEIGHT:.0f}L"
        + "L".join(f"{x:.1f} {y:.1f}" for x, y in run)
        + f"L{run[-1][0]:.1f} {HEIGHT:.0f}Z"
        for run in runs
    )
