"""Ratios with their intervals, one under the other."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from perflab.lab.plots.style import BLUE, INK, MUTED, interval_bars, log_axis, whole
from perflab.lab.plots.wording import times_interval, verdict
from perflab.lab.statistics.ratio import Ratio, Verdict


def draw_ratios(axes: Axes, labels: Sequence[str], ratios: Sequence[Ratio]) -> None:
    """One row for each ratio, the first at the bottom: a point with its interval, the numbers beside it.

    Those that the blocks cannot tell from 1 are grey.
    """
    log_axis(axes, "x", whole)
    for row, ratio in enumerate(ratios):
        color = BLUE if verdict(ratio) in {Verdict.HIGHER, Verdict.LOWER} else MUTED
        interval_bars(axes, [ratio.value], [row], [ratio.low], [ratio.high], color=color, horizontal=True)
        axes.text(
            1.02,
            row,
            times_interval(ratio.value, ratio.low, ratio.high),
            transform=axes.get_yaxis_transform(),
            va="center",
            size=9,
            color=INK,
        )
    axes.axvline(1, color=MUTED, linewidth=1, linestyle="--", zorder=1)
    axes.set_yticks(range(len(labels)), list(labels))
    axes.set_ylim(-0.6, max(len(labels), 1) - 0.4)
    axes.grid(visible=False)
    bounds = [bound for ratio in ratios for bound in (ratio.value, ratio.low, ratio.high)]
    shown = [bound for bound in bounds if 0 < bound < math.inf] or [1.0]
    axes.set_xlim(min(0.8, *shown) / 1.1, max(1.25, *shown) * 1.1)
