"""Our queue and our batcher beside those of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from perflab.lab.bench.comparison import ComparisonResult
from perflab.lab.peers.findings import PeersFindings
from perflab.lab.peers.peer import Role
from perflab.lab.peers.plan import MEASURES
from perflab.lab.plots.forest import draw_ratios
from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import (
    BLUE,
    GRID,
    MUTED,
    ORANGE,
    interval_bars,
    log_axis,
    new_figure,
    note,
    panel_title,
    whole,
)
from perflab.lab.plots.wording import basis, times, times_interval, verdict
from perflab.lab.quantities import format_rate_interval, format_seconds_interval
from perflab.lab.statistics.ratio import Verdict

_COLORS: dict[Role, str] = {"ours": BLUE, "peer": ORANGE, "limit": MUTED}
_PANELS = dict(zip(MEASURES, ("enqueued one by one", "enqueued in bulk", "drained by a worker"), strict=True))
_ROW_INCHES = 0.34


def rates_of_queues(findings: PeersFindings) -> Plot:
    """Jobs per second of each queue in each of its calls.

    Data columns: those of `PeersFindings.costs`.
    """
    data, names = findings.costs, [card.name for card in findings.cards]
    title = _title(findings)
    figure, panels = new_figure(
        title,
        f"Jobs per second: {basis(findings.plan.blocks)}. Blue: perflab; orange: the others; grey: SQL by hand on the "
        "raw driver. Each visit has a fresh database and a process of its own.",
        panels=len(_PANELS),
        plot_height_inches=_ROW_INCHES * len(names) + 0.3,
        left_inches=1.45,
        bottom_inches=0.4,
    )
    rows = {name: row for row, name in enumerate(reversed(names))}
    for axes, (measure, panel) in zip(panels, _PANELS.items(), strict=True):
        panel_title(axes, panel)
        log_axis(axes, "x", _short, ticks=[1.0])
        costs = data[data["measure"] == measure]
        for role, color in _COLORS.items():
            own = costs[costs["role"] == role]
            values, low, high = (1 / own[f"seconds_per_job{bound}"].to_numpy(float) for bound in ("", "_high", "_low"))
            interval_bars(axes, values, own["queue"].map(rows), low, high, color=color, horizontal=True)
        # an interval of two blocks may span many decades, in which no point could be told from another
        axes.set_xlim(costs["jobs_per_second"].min() / 4, costs["jobs_per_second"].max() * 4)
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x", color=GRID, linewidth=0.8)
    panels[0].set_yticks(list(rows.values()), list(rows))
    panels[0].set_ylim(-0.6, len(names) - 0.4)
    return Plot(figure, title, _reading(findings), data)


def start_latency_of_queues(findings: PeersFindings) -> Plot:
    """From before the call that enqueues a job to its handler on an idle worker: p50 and p99.

    Data columns: queue, fraction, seconds, low, high, reason (why there is no figure; empty where there is).
    """
    data = pd.DataFrame(
        [
            {
                "queue": name,
                "fraction": fraction,
                "seconds": reading.estimate.value if reading.estimate else None,
                "low": reading.estimate.low if reading.estimate else None,
                "high": reading.estimate.high if reading.estimate else None,
                "reason": reading.reason,
            }
            for name, readings in findings.latencies.items()
            for fraction, reading in readings.items()
        ],
        columns=["queue", "fraction", "seconds", "low", "high", "reason"],
    )
    names = list(findings.latencies)
    known = data.dropna(subset="seconds")
    medians = known[known["fraction"] == known["fraction"].min()] if len(known) else known
    if medians.empty:
        title = "No start latency was measured"
    else:
        first, *others = sorted(_records(medians), key=lambda row: float(row["seconds"]))
        if all(float(first["high"]) < float(other["low"]) for other in others):
            title = f"A job starts soonest on {first['queue']}: half of them within {_seconds(first)}"
        else:
            title = (
                f"Intervals overlap: which queue starts a job soonest is open; {first['queue']} took {_seconds(first)}"
            )
    figure, (axes,) = new_figure(
        title,
        "From before the enqueuing call in another process to the handler of an idle worker, a job every "
        f"{findings.plan.interval_seconds * 1_000:g} ms, all blocks together. Filled: p50; open: p99; 95% intervals.",
        plot_height_inches=_ROW_INCHES * max(len(names), 2) + 0.3,
        left_inches=1.45,
    )
    if known.empty:
        note(axes, "Nothing to show: on SQLite workers look again after a while, and are not woken.")
        axes.set_axis_off()
        return Plot(figure, title, "Workers are woken on PostgreSQL only; there it is measured how soon.", data)
    log_axis(axes, "x", whole)
    rows = {name: row for row, name in enumerate(reversed(names))}
    for row in _records(known):
        place = rows[row["queue"]]
        color = BLUE if row["queue"].startswith("perflab") else ORANGE
        value, low, high = (float(row[bound]) * 1_000 for bound in ("seconds", "low", "high"))
        interval_bars(axes, [value], [place], [low], [high], color=color, horizontal=True)
        if row["fraction"] > 0.5:  # the median is the other one
            axes.plot([value], [place], "o", color="white", markeredgecolor=color, markersize=5.5, zorder=4)
    axes.margins(x=0.1)
    axes.set_xlabel("latency (ms)")
    axes.grid(visible=False, axis="y")
    axes.set_yticks(list(rows.values()), list(rows))
    axes.set_ylim(-0.6, len(names) - 0.4)
    return Plot(figure, title, _latency_reading(data), data)


def batchers_beside_each_other(results: Sequence[ComparisonResult]) -> Plot:
    """What a call costs through our batcher, as a multiple of what it costs through that of another library.

    Data columns: operation, ours, other, seconds_ours, seconds_other, ratio, low, high, blocks.
    """
    data = pd.DataFrame([_batcher_row(result) for result in results], columns=_BATCHER_COLUMNS)
    if not results:
        title = "No other batcher is installed"
        figure, (axes,) = new_figure(title, "pip install 'perflab[peers]' brings them.", plot_height_inches=0.8)
        note(axes, "Nothing to show.")
        axes.set_axis_off()
        return Plot(figure, title, f"{title}.", data)
    said = [f"a {_single(row['operation'])} costs {times(row['ratio'])} times as much" for row in _records(data)]
    title = f"Through our batcher, {' and '.join(said)} as through theirs"
    figure, (axes,) = new_figure(
        title,
        f"Time per call of ours ÷ that of the other, a thousand coroutines at once, SQLite; {data['blocks'].iloc[0]} "
        "paired blocks, 95% interval. Grey: cannot be told from 1.",
        plot_height_inches=0.45 * len(results) + 0.6,
        left_inches=2.6,
        right_inches=1.5,
    )
    labels = [f"{row['operation']}\n{row['other'].partition(',')[0]}" for row in _records(data)]
    draw_ratios(axes, labels, [result.ratio for result in results])
    axes.set_xlabel("times the cost of the other (1 is equal)")
    return Plot(figure, title, _batcher_reading(data), data)


_BATCHER_COLUMNS = ["operation", "ours", "other", "seconds_ours", "seconds_other", "ratio", "low", "high", "blocks"]


def _batcher_row(result: ComparisonResult) -> dict[str, object]:
    ours, other, ratio = result.comparison.ours.name, result.fastest_other, result.ratio
    return {
        "operation": result.comparison.name,
        "ours": ours,
        "other": other,
        "seconds_ours": result.estimate(ours).value,
        "seconds_other": result.estimate(other).value,
        "ratio": ratio.value,
        "low": ratio.low,
        "high": ratio.high,
        "blocks": ratio.n,
    }


def _title(findings: PeersFindings) -> str:
    fastest = findings.fastest_peer
    if fastest is None:
        return "No other queue was measured"
    ratio = findings.drained_times_faster(fastest)
    if verdict(ratio) is Verdict.NO_DIFFERENCE:
        return f"Workers of perflab and {fastest.name} drain at no clearly different rate"
    only = "only " if verdict(ratio) is Verdict.LOWER else ""
    return (
        f"A worker of perflab drains {only}{times(ratio.value)} times as many jobs a second as that of {fastest.name}"
    )


def _reading(findings: PeersFindings) -> str:
    drains = findings.costs[findings.costs["measure"] == "drain"].sort_values("seconds_per_job")
    said = []
    for row in _records(drains):
        rate = format_rate_interval(*(1 / row[f"seconds_per_job{bound}"] for bound in ("", "_high", "_low")))
        text = f"{row['queue']} drains {rate}"
        if row["role"] == "peer":
            faster = times_interval(row["times_faster"], row["times_faster_low"], row["times_faster_high"])
            text += f", and {row['ours']} {faster} times as many"
        said.append(text)
    return f"{'; '.join(said)}."


def _latency_reading(data: pd.DataFrame) -> str:
    said = []
    for name, readings in data.groupby("queue", sort=False):
        texts = [f"p{100 * row['fraction']:g} {row['reason'] or _seconds(row)}" for row in _records(readings)]
        said.append(f"{name}: {', '.join(texts)}")
    return f"{'; '.join(said)}."


def _batcher_reading(data: pd.DataFrame) -> str:
    said = [
        f"a {_single(row['operation'])} costs {times_interval(row['ratio'], row['low'], row['high'])} times as much as "
        f"through {row['other'].partition(',')[0]}"
        for row in _records(data)
    ]
    return f"Through our batcher, {'; '.join(said)}."


def _single(operation: str) -> str:
    """`"single write"`, of an operation that is named `"single writes"`."""
    return operation.removesuffix("s")


def _seconds(row: Any) -> str:
    return format_seconds_interval(float(row["seconds"]), float(row["low"]), float(row["high"]))


def _short(number: float) -> str:
    """`"1k"`: a tick of a small panel."""
    return f"{number / 1_000:g}k" if number >= 1_000 else f"{number:g}"  # what k means


def _records(data: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in data.to_dict("records")]
