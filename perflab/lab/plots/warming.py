"""What warming does to a cache: hits and waits over time, and what they cost."""

from __future__ import annotations

from matplotlib.axes import Axes

from perflab.lab.cache_warming.findings import WarmingFindings
from perflab.lab.cache_warming.plan import Arm
from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import (
    BLUE,
    GREEN,
    ORANGE,
    end_labels,
    interval_bars,
    log_axis,
    new_figure,
    panel_title,
    whole,
    words,
)
from perflab.lab.plots.wording import basis, sentence, times_interval, verdict
from perflab.lab.quantities import format_count, format_percent, format_seconds
from perflab.lab.statistics.ratio import Verdict

_COLORS = {str(Arm.COLD): ORANGE, str(Arm.WARMED): GREEN, str(Arm.PREDICTED): BLUE}
_LABELS_INCHES = 1.15


def hit_rate_over_time(findings: WarmingFindings) -> Plot:
    """Share of the keys that were in memory when a job asked for them, tick by tick.

    Data columns: arm, minute, hit_rate.
    """
    data, costs = findings.hit_rates, findings.costs.set_index("arm")["hit_rate"]
    title = (
        f"Predicted, {format_percent(costs[Arm.PREDICTED])} of the rows are there when they are asked for; "
        f"cold, {format_percent(costs[Arm.COLD])}"
    )
    figure, (axes,) = new_figure(
        title,
        f"Mean of {findings.plan.blocks} blocks, each on a day of its own. A tick every {findings.tick_minutes:g} "
        "minutes of the trace; every route is polled each quarter of an hour; rows live "
        f"{findings.plan.ttl_seconds / 60:g} minutes.",
        right_inches=_LABELS_INCHES,
    )
    _lines(axes, findings)
    axes.set_ylim(0, 1.04)
    axes.yaxis.set_major_formatter(lambda value, _position: f"{value:.0%}")
    axes.set_ylabel("hit rate")
    axes.set_xlabel("minutes since the workers started")
    return Plot(figure, title, _hit_reading(findings), data)


def _lines(axes: Axes, findings: WarmingFindings) -> None:
    last_x, last_y = [], []
    for arm, color in _COLORS.items():
        rows = findings.hit_rates[findings.hit_rates["arm"] == arm]
        x, y = rows["minute"].to_numpy(float), rows["hit_rate"].to_numpy(float)
        axes.plot(x, y, color=color, linewidth=1.6)
        last_x.append(float(x[-1]))
        last_y.append(float(y[-1]))
    axes.set_xlim(0, max(last_x))
    end_labels(axes, last_x, last_y, list(_COLORS), list(_COLORS.values()))


def _hit_reading(findings: WarmingFindings) -> str:
    rates = findings.hit_rates.pivot_table(index="minute", columns="arm", values="hit_rate")
    first, last = rates.iloc[0], rates.iloc[-1]
    precision = findings.costs.set_index("arm")["precision"][Arm.PREDICTED]
    return (
        f"At the first tick {format_percent(first[Arm.COLD])} cold, {format_percent(first[Arm.WARMED])} warmed once "
        f"and {format_percent(first[Arm.PREDICTED])} predicted; at the last one {format_percent(last[Arm.COLD])}, "
        f"{format_percent(last[Arm.WARMED])} and {format_percent(last[Arm.PREDICTED])}. Of what was read ahead of the "
        f"ticks, {format_percent(precision)} was asked for before it ended."
    )


def wait_over_time(findings: WarmingFindings) -> Plot:
    """99th percentile of what a job waits for all its rows, hour by hour.

    Data columns: those of `WarmingFindings.waits`.
    """
    data, ratio = findings.waits, findings.ratio("job_seconds")
    title = _wait_title(ratio.value, verdict(ratio))
    figure, (axes,) = new_figure(
        title,
        f"p99 of what a job waits for all its rows, in memory or not: {basis(findings.plan.blocks)}. The warmer works "
        "between the ticks, and nobody waits for it. Bars that leave the figure are of too few blocks.",
        right_inches=_LABELS_INCHES,
    )
    log_axis(axes, "y", whole)
    ends = []
    for place, (arm, color) in enumerate(_COLORS.items()):
        rows = data[data["arm"] == arm]
        hours = rows["hour"].to_numpy(float) + 0.06 * (place - 1)
        values, low, high = (rows[f"p99_seconds{bound}"].to_numpy(float) * 1e6 for bound in ("", "_low", "_high"))
        axes.plot(hours, values, color=color, linewidth=1)
        interval_bars(axes, hours, values, low, high, color=color)
        ends.append((float(hours[-1]), float(values[-1])))
    axes.set_xticks(sorted(set(data["hour"])))
    axes.set_xlim(0.6, findings.plan.hours + 0.4)
    axes.set_ylim(data["p99_seconds"].min() * 1e6 / 4, data["p99_seconds"].max() * 1e6 * 4)
    axes.set_xlabel("hour since the workers started")
    axes.set_ylabel("p99 of the wait (µs)")
    end_labels(axes, [x for x, _ in ends], [y for _, y in ends], list(_COLORS), list(_COLORS.values()))
    last = data[data["hour"] == data["hour"].max()].set_index("arm")["p99_seconds"]
    reading = (
        f"In the last hour one job in a hundred waits longer than {format_seconds(last[Arm.COLD])} cold, "
        f"{format_seconds(last[Arm.WARMED])} warmed once, and {format_seconds(last[Arm.PREDICTED])} predicted. "
        f"Over all jobs, predicted waits {times_interval(ratio.value, ratio.low, ratio.high)} times as long as cold."
    )
    return Plot(figure, title, reading, data)


def _wait_title(ratio: float, found: Verdict) -> str:
    if found is Verdict.LOWER:
        return f"With what is predicted in memory, jobs wait {format_percent(1 - ratio)} less for their rows"
    if found is Verdict.HIGHER:
        return f"Although it was predicted, jobs wait {format_percent(ratio - 1)} longer for their rows"
    return "Whether jobs wait less for what was predicted cannot be told from these blocks"


def cost_of_warming(findings: WarmingFindings) -> Plot:
    """Round trips, time and outdated rows of each arm.

    Data columns: those of `WarmingFindings.costs`.
    """
    data = findings.costs.iloc[::-1].reset_index(drop=True)
    trips_of = data.set_index("arm")["all_round_trips"]
    saved = 1 - float(trips_of[Arm.PREDICTED]) / float(trips_of[Arm.COLD])
    less = f"{format_percent(abs(saved))} {'fewer' if saved > 0 else 'more'}"
    title = f"Read ahead in bulk, rows take {less} round trips, the warmer's included"
    figure, (trips, seconds, outdated) = new_figure(
        title,
        f"Hollow: what jobs waited for; full: with the warmer's part. Means of {findings.plan.blocks} blocks. A row "
        f"is outdated if somebody has changed it: {findings.plan.changes} between two ticks, and no cache is told.",
        panels=3,
        plot_height_inches=1.5,
        left_inches=1.1,
        right_inches=0.5,
        bottom_inches=0.35,
    )
    rows = range(len(data))
    panel_title(trips, "round trips per 1,000 jobs")
    panel_title(seconds, "time per job (µs)")
    panel_title(outdated, "outdated rows (%)")
    for axes, part, together, scale in (
        (trips, "jobs_round_trips", "all_round_trips", 1.0),
        (seconds, "job_seconds", "all_seconds", 1e6),
    ):
        full = data[together].to_numpy(float) * scale
        axes.plot(data[part].to_numpy(float) * scale, rows, "o", color=BLUE, markerfacecolor="none", markersize=7)
        axes.plot(full, rows, "o", color=BLUE, markersize=4)
        for row, value in zip(rows, full, strict=True):
            words(axes, value, row, format_count(value), dx=0, dy=11)
    shares = data["outdated"].to_numpy(float) * 100
    outdated.plot(shares, rows, "o", color=BLUE, markersize=5)
    for row, value in zip(rows, shares, strict=True):
        words(outdated, value, row, f"{value:.2g}", dx=0, dy=11)
    for axes, largest in (
        (trips, data["all_round_trips"].max()),
        (seconds, data["all_seconds"].max() * 1e6),
        (outdated, data["outdated"].max() * 100),
    ):
        axes.set_xlim(-0.08 * float(largest), 1.2 * float(largest) or 1.0)
        axes.grid(visible=False, axis="y")
    trips.set_yticks(rows, data["arm"])
    trips.set_ylim(-0.5, len(data) - 0.3)
    return Plot(figure, title, _cost_reading(findings), data)


def _cost_reading(findings: WarmingFindings) -> str:
    parts = [
        f"{row['arm']}, 1,000 jobs wait for {format_count(row['jobs_round_trips'])} round trips and take "
        f"{format_count(row['all_round_trips'])}, a job takes {format_seconds(row['all_seconds'])} with its share of "
        f"the warming, and {format_percent(row['outdated'])} of its rows are outdated"
        for row in findings.costs.to_dict("records")
    ]
    return f"{sentence('; '.join(parts))}."
