"""What a snapshot that somebody holds does to a queue, step by step."""

from __future__ import annotations

from typing import cast

import numpy as np
from matplotlib.figure import Figure

from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import BLUE, GRID, MUTED, interval_bars, new_figure, words
from perflab.lab.plots.wording import basis, times, times_interval, verdict
from perflab.lab.quantities import format_seconds
from perflab.lab.queue_cost.findings import QueueFindings
from perflab.lab.queue_cost.plan import CLAIM_LIMIT, Hold
from perflab.lab.statistics.ratio import Verdict

_MEBIBYTE = 1024 * 1024


def claim_time_under_a_snapshot(findings: QueueFindings) -> Plot:
    """Time of a claim before, while and after a snapshot is held, against the jobs that have come and gone.

    Data columns: those of `QueueFindings.snapshot_steps`.
    """
    held, after = findings.slow_down(Hold.HELD), findings.slow_down(Hold.AFTER)
    jobs = findings.plan.steps * findings.plan.step_jobs
    match verdict(held):
        case Verdict.HIGHER:
            said = f"takes {times(held.value)} times as long once {jobs:,} jobs have gone under a held snapshot"
        case Verdict.LOWER:
            said = f"takes {times(held.value)} times as long after {jobs:,} jobs under a held snapshot"
        case _:
            said = f"takes no clearly longer time after {jobs:,} jobs under a held snapshot"
    title = f"A claim {said}"
    figure = _over_jobs(findings, title, "claim_seconds", 1e3, "time of a claim (ms)")
    last = _last_of_each(findings, "claim_seconds")
    reading = (
        f"A claim of {CLAIM_LIMIT} jobs takes {format_seconds(last[Hold.BEFORE])} before, and "
        f"{format_seconds(last[Hold.HELD])} when {jobs:,} jobs have come and gone under the snapshot, "
        f"{times_interval(held.value, held.low, held.high)} times as long. As many jobs after its release, it takes "
        f"{times_interval(after.value, after.low, after.high)} times what it took before."
    )
    return Plot(figure, title, reading, findings.snapshot_steps)


def size_under_a_snapshot(findings: QueueFindings) -> Plot:
    """Bytes on disk before, while and after a snapshot is held, against the jobs that have come and gone.

    Data columns: step, hold, jobs, bytes_on_disk (and its _low, _high).
    """
    data = findings.snapshot_steps[["step", "hold", "jobs", "bytes_on_disk", "bytes_on_disk_low", "bytes_on_disk_high"]]
    sizes = _last_of_each(findings, "bytes_on_disk")
    before, held, after = (f"{sizes[hold] / _MEBIBYTE:,.1f}" for hold in Hold)
    what = "the file and its log" if findings.plan.engine == "sqlite" else "the table and its indexes"
    title = f"Under a held snapshot {what} grow from {before} to {held} MiB"
    if sizes[Hold.HELD] <= sizes[Hold.BEFORE]:
        title = f"Under a held snapshot {what} do not grow"
    figure = _over_jobs(findings, title, "bytes_on_disk", 1 / _MEBIBYTE, "on disk (MiB)")
    reading = (
        f"Although as many jobs wait in the queue all the time, {what} take {before} MiB before, {held} MiB when the "
        f"snapshot is released, and {after} MiB at the end.{_dead(findings)}"
    )
    return Plot(figure, title, reading, data)


def _dead(findings: QueueFindings) -> str:
    last = findings.snapshots.groupby("hold")["dead_rows"].last()
    if findings.plan.engine == "sqlite":
        return ""
    return (
        f" VACUUM had to leave {int(last[str(Hold.HELD)]):,} dead rows while the snapshot was held, and "
        f"{int(last[str(Hold.AFTER)]):,} when it was not."
    )


def _last_of_each(findings: QueueFindings, column: str) -> dict[Hold, float]:
    last = findings.snapshot_steps.sort_values("step").groupby("hold")[column].last()
    return {hold: float(cast("float", last[str(hold)])) for hold in Hold}


def _over_jobs(findings: QueueFindings, title: str, column: str, unit: float, label: str) -> Figure:
    plan, data = findings.plan, findings.snapshot_steps.sort_values("step")
    figure, (axes,) = new_figure(
        title,
        f"{CLAIM_LIMIT} jobs are enqueued, claimed and done in each round; a point is {plan.step_jobs:,} jobs, and a "
        f"VACUUM where the engine has one: {basis(plan.deep_blocks)}.",
    )
    x = data["jobs"].to_numpy(float) / 1_000
    y, low, high = (data[f"{column}{bound}"].to_numpy(float) * unit for bound in ("", "_low", "_high"))
    begin, end = plan.steps * plan.step_jobs / 1_000, 2 * plan.steps * plan.step_jobs / 1_000
    axes.axvspan(begin, end, color=GRID, zorder=0)
    axes.plot(x, y, color=BLUE, linewidth=1.2)
    interval_bars(axes, x, y, low, high, color=BLUE)
    top = float(np.nanmax(y)) * 1.35
    axes.set_xlim(0, float(x[-1]) * 1.02)
    axes.set_ylim(0, top)
    words(axes, (begin + end) / 2, top * 0.95, "a snapshot is held", color=MUTED, dx=0)
    axes.xaxis.set_major_formatter(lambda value, _position: f"{value:,g}")
    axes.set_xlabel("thousand jobs that have come and gone")
    axes.set_ylabel(label)
    return figure
