"""What a job costs in each call of a queue, against the size of the calls."""

from __future__ import annotations

from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import (
    BLUE,
    GREEN,
    ORANGE,
    end_labels,
    interval_bars,
    label_ticks,
    log_axis,
    new_figure,
    whole,
)
from perflab.lab.plots.wording import basis, times_interval, verdict
from perflab.lab.quantities import format_seconds, format_seconds_interval
from perflab.lab.queue_cost.calls import CALLS
from perflab.lab.queue_cost.findings import QueueFindings
from perflab.lab.statistics.ratio import Verdict

_COLORS = dict(zip(CALLS, (BLUE, ORANGE, GREEN), strict=True))


def queue_calls_by_batch_size(findings: QueueFindings) -> Plot:
    """Time per job of enqueue, claim and mark_done.

    Data columns: those of `QueueFindings.call_costs`.
    """
    data, sizes = findings.call_costs, findings.plan.batch_sizes
    whole_way = data.groupby("batch_size")["seconds_per_job"].sum()
    title = (
        f"In and out of the queue, a job takes {format_seconds(whole_way.iloc[0])} by itself "
        f"and {format_seconds(whole_way.iloc[-1])} in batches of {sizes[-1]:,}"
    )
    figure, (axes,) = new_figure(
        title,
        f"Time per job of each call, one thread, real flights as payloads: {basis(findings.plan.blocks)}.",
        right_inches=0.9,
    )
    log_axis(axes, "x", whole)
    log_axis(axes, "y", whole, ticks=[1.0])
    ends = []
    for call, color in _COLORS.items():
        costs = data[data["call"] == call].sort_values("batch_size")
        x = costs["batch_size"].to_numpy(float)
        y, low, high = (costs[f"seconds_per_job{bound}"].to_numpy(float) * 1e6 for bound in ("", "_low", "_high"))
        axes.plot(x, y, color=color, linewidth=1.2)
        interval_bars(axes, x, y, low, high, color=color)
        ends.append((float(x[-1]), float(y[-1])))
    label_ticks(axes, sizes, [f"{size:,}" for size in sizes])
    axes.set_xlim(sizes[0] / 1.4, sizes[-1] * 1.4)
    axes.set_ylim(data["seconds_per_job"].min() * 1e6 / 3, data["seconds_per_job"].max() * 1e6 * 4)
    axes.set_xlabel("jobs in a call")
    axes.set_ylabel("time per job (µs)")
    end_labels(axes, [x for x, _ in ends], [y for _, y in ends], list(_COLORS), list(_COLORS.values()))
    return Plot(figure, title, " ".join(_reading(findings, call) for call in CALLS), data)


def _reading(findings: QueueFindings, call: str) -> str:
    costs = findings.call_costs[findings.call_costs["call"] == call].sort_values("batch_size")
    single, largest = costs.iloc[0], costs.iloc[-1]
    cost = format_seconds_interval(
        largest["seconds_per_job"], largest["seconds_per_job_low"], largest["seconds_per_job_high"]
    )
    said = (
        f"`{call}` takes {format_seconds(single['seconds_per_job'])} for a single job and {cost} for each of "
        f"{largest['batch_size']:,}"
    )
    ratio = findings.batching_gain(call)
    if verdict(ratio) is Verdict.HIGHER:
        return f"{said}, {times_interval(ratio.value, ratio.low, ratio.high)} times less."
    return f"{said}; so few blocks show no clear gain."
