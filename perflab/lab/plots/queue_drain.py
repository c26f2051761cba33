"""How fast worker processes empty a queue, against their number."""

from __future__ import annotations

from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import (
    BLUE,
    GREEN,
    MUTED,
    end_labels,
    interval_bars,
    label_ticks,
    log_axis,
    new_figure,
    whole,
)
from perflab.lab.plots.wording import basis, times, times_interval, verdict
from perflab.lab.quantities import format_rate, format_rate_interval, format_seconds
from perflab.lab.queue_cost.findings import QueueFindings
from perflab.lab.queue_cost.plan import Handler
from perflab.lab.statistics.ratio import Verdict

_COLORS = {Handler.NOTHING: BLUE, Handler.WAITS: GREEN}


def drain_rate_by_workers(findings: QueueFindings) -> Plot:
    """Jobs per second of all worker processes together; dashed, as many times the rate of one.

    Data columns: those of `QueueFindings.drain_rates`.
    """
    data, plan = findings.drain_rates, findings.plan
    one = data[data["handler"] == str(Handler.NOTHING)].sort_values("workers").iloc[0]
    title = f"One worker process drains {format_rate(one['jobs_per_second'])}{_more(findings)}"
    figure, (axes,) = new_figure(
        title,
        f"Claim, handler and acknowledgement, until the queue is empty, on {findings.environment['cores']} cores that "
        f"the database shares: {basis(plan.blocks)}. Dashed: as many times the rate of one.",
        right_inches=1.35,
    )
    log_axis(axes, "x", whole)
    log_axis(axes, "y", whole, ticks=[1.0])
    ends = []
    for handler, color in _COLORS.items():
        rates = data[data["handler"] == str(handler)].sort_values("workers")
        x = rates["workers"].to_numpy(float)
        y, low, high = (rates[f"jobs_per_second{bound}"].to_numpy(float) for bound in ("", "_low", "_high"))
        axes.plot(x, y[0] * x, "--", color=MUTED, linewidth=0.9)
        axes.plot(x, y, color=color, linewidth=1.2)
        interval_bars(axes, x, y, low, high, color=color)
        ends.append((float(x[-1]), float(y[-1])))
    label_ticks(axes, plan.workers, [f"{workers:,}" for workers in plan.workers])
    axes.set_xlim(plan.workers[0] / 1.2, plan.workers[-1] * 1.2)
    axes.set_ylim(data["jobs_per_second"].min() / 2, one["jobs_per_second"] * plan.workers[-1] * 2)
    axes.set_xlabel("worker processes")
    axes.set_ylabel("jobs per second")
    texts = [f"handler {handler}" for handler in _COLORS]
    end_labels(axes, [x for x, _ in ends], [y for _, y in ends], texts, list(_COLORS.values()))
    return Plot(figure, title, " ".join(_reading(findings, handler) for handler in Handler), data)


def _more(findings: QueueFindings) -> str:
    most = findings.plan.workers[-1]
    if most == 1:
        return ""
    ratio = findings.speed_up(Handler.NOTHING, most)
    if verdict(ratio) is Verdict.NO_DIFFERENCE:
        return f", and {_processes(most)} drain no clearly different rate"
    return f", and {_processes(most)} {times(ratio.value)} times as many"


def _reading(findings: QueueFindings, handler: Handler) -> str:
    rates = findings.drain_rates[findings.drain_rates["handler"] == str(handler)].sort_values("workers")
    one, most = rates.iloc[0], rates.iloc[-1]
    does = handler if handler is Handler.NOTHING else f"{handler} {format_seconds(findings.plan.handler_seconds)}"
    rate = format_rate_interval(one["jobs_per_second"], one["jobs_per_second_low"], one["jobs_per_second_high"])
    said = f"With a handler that {does}, one process drains {rate}"
    if len(rates) == 1:
        return f"{said}."
    ratio = findings.speed_up(handler, int(most["workers"]))
    factor = times_interval(ratio.value, ratio.low, ratio.high)
    match verdict(ratio):
        case Verdict.HIGHER:
            return f"{said}, and {_processes(most['workers'])} {factor} times as many."
        case Verdict.LOWER:
            return f"{said}, and {_processes(most['workers'])} fewer: {factor} times as many."
        case _:
            return f"{said}; {_processes(most['workers'])} drain {factor} times as many, no clear difference."


def _processes(count: int) -> str:
    return f"{count:,} processes"
