"""What a claim costs, however many jobs stand in the queue."""

from __future__ import annotations

from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import BLUE, MUTED, interval_bars, new_figure, panel_title, words
from perflab.lab.plots.wording import basis, times, times_interval, verdict
from perflab.lab.quantities import format_percent, format_seconds_interval
from perflab.lab.queue_cost.findings import QueueFindings
from perflab.lab.queue_cost.plan import CLAIM_LIMIT, Depth
from perflab.lab.statistics.ratio import Ratio, Verdict


def claim_time_by_depth(findings: QueueFindings) -> Plot:
    """Time of a claim from each queue, and how many times that from the smallest one it is.

    Data columns: those of `QueueFindings.claim_costs`, ratio (and its _low, _high), to the first row.
    """
    plan, depths = findings.plan, findings.plan.depths
    ratios = [findings.growth(depth) for depth in depths]
    data = findings.claim_costs.assign(
        ratio=[ratio.value for ratio in ratios],
        ratio_low=[ratio.low for ratio in ratios],
        ratio_high=[ratio.high for ratio in ratios],
    )
    deepest = depths.index(Depth(plan.ready[-1]))
    title = _title(depths[deepest], depths[0], ratios[deepest])
    figure, (left, right) = new_figure(
        title,
        f"The first claims of {CLAIM_LIMIT} jobs from a queue that was just filled and vacuumed, the median of "
        f"{plan.claims}: {basis(plan.deep_blocks)}.",
        panels=2,
        plot_height_inches=0.55 * len(depths),
        left_inches=2.75,
        bottom_inches=0.35,
    )
    rows = range(len(depths))[::-1]
    milliseconds = [data[f"claim_seconds{bound}"].to_numpy(float) * 1e3 for bound in ("", "_low", "_high")]
    panel_title(left, "time of a claim (ms)")
    interval_bars(left, milliseconds[0], rows, milliseconds[1], milliseconds[2], color=BLUE, horizontal=True)
    left.set_xlim(0, milliseconds[0].max() * 1.6)
    panel_title(right, f"times that at {depths[0].ready:,}")
    factors = [data[f"ratio{bound}"].to_numpy(float)[1:] for bound in ("", "_low", "_high")]
    interval_bars(right, factors[0], list(rows)[1:], factors[1], factors[2], color=BLUE, horizontal=True)
    right.axvline(1.0, color=MUTED, linewidth=0.9)
    right.set_xlim(min(0.5, factors[0].min() / 1.3), max(1.6, factors[0].max() * 1.3))
    for row, value in zip(rows, milliseconds[0], strict=True):
        words(left, value, row, times(value), dx=0, dy=11)
    for row, value in zip(list(rows)[1:], factors[0], strict=True):
        words(right, value, row, times(value), dx=0, dy=11)
    for axes in (left, right):
        axes.grid(visible=False, axis="y")
    left.set_yticks(rows, [str(depth) for depth in depths])
    left.set_ylim(-0.5, len(depths) - 0.3)
    return Plot(figure, title, _reading(findings, ratios), data)


def _title(deepest: Depth, smallest: Depth, ratio: Ratio) -> str:
    match verdict(ratio):
        case Verdict.HIGHER | Verdict.LOWER:
            said = f"{times(ratio.value)} times as long as"
        case _:
            said = "no clearly longer time than"
    return f"With {deepest.ready:,} jobs ready, a claim takes {said} with {smallest.ready:,}"


def _reading(findings: QueueFindings, ratios: list[Ratio]) -> str:
    smallest = findings.claim_costs.iloc[0]
    cost = format_seconds_interval(
        smallest["claim_seconds"], smallest["claim_seconds_low"], smallest["claim_seconds_high"]
    )
    parts = [f"A claim of {CLAIM_LIMIT} jobs takes {cost} with {findings.plan.depths[0]}"]
    for depth, ratio in list(zip(findings.plan.depths, ratios, strict=True))[1:]:
        parts.append(f"{times_interval(ratio.value, ratio.low, ratio.high)} times that with {depth}")
    unseen = max(ratio.largest_unseen for ratio in ratios[1:])
    return f"{', '.join(parts)}. Differences of up to {format_percent(unseen)} are not ruled out."
