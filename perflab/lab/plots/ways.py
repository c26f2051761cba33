"""The guided tour: what a job costs in each of three ways to write it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from perflab.errors import InvalidInput
from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import BLUE, interval_bars, log_axis, new_figure, panel_title, whole, words
from perflab.lab.plots.wording import basis, sentence, times, times_interval, verdict
from perflab.lab.quantities import format_count, format_seconds, format_seconds_interval
from perflab.lab.statistics.intervals import geometric_mean_interval
from perflab.lab.statistics.ratio import Ratio, Verdict, paired_ratio


def cost_of_ways(visits: pd.DataFrame, *, baseline: str) -> Plot:
    """Time of one job, and round trips of a visit, for each way to write the same jobs.

    Args:
        visits: as `perflab.lab.first_look.compare_ways` returns them.
        baseline: the way that the others are compared with, block by block.

    Data columns: way, seconds_per_job (and its _low, _high), round_trips (mean of a visit), times_faster (and its _low,
    _high), blocks; the baseline first, the others from slow to fast.

    Raises:
        InvalidInput: there is no other way.
    """
    per_job = visits.assign(seconds=visits["seconds"] / visits["jobs"])
    seconds = per_job.pivot_table(index="round", columns="way", values="seconds")
    others = list(seconds.drop(columns=baseline).mean().sort_values(ascending=False).index)
    ratios = {way: _times_faster(seconds, baseline, way) for way in others}
    if not ratios:
        raise InvalidInput(f"{baseline!r} is the only way that was measured: there is nothing to compare it with")
    trips = visits.groupby("way")["round_trips"].mean()
    data = pd.DataFrame([_row(seconds, trips, way, ratios.get(way)) for way in (baseline, *others)])
    jobs, title = int(visits["jobs"].iloc[0]), _title(ratios, baseline)
    figure, (left, right) = new_figure(
        title,
        f"{jobs:,} jobs a visit, a fresh SQLite database for each, the ways in a random order in every round; "
        f"{basis(len(seconds))}. Round trips are counted, so they have no interval.",
        panels=2,
        plot_height_inches=1.6,
        left_inches=1.5,
        bottom_inches=0.35,
    )
    rows = range(len(data))[::-1]
    values, low, high = (data[f"seconds_per_job{bound}"].to_numpy(float) * 1e6 for bound in ("", "_low", "_high"))
    panel_title(left, "time per job (µs)")
    log_axis(left, "x", whole)
    interval_bars(left, values, rows, low, high, color=BLUE, horizontal=True)
    panel_title(right, f"round trips for {jobs:,} jobs")
    log_axis(right, "x", whole, ticks=[1.0])
    counts = data["round_trips"].to_numpy(float)
    right.plot(counts, rows, "o", color=BLUE, markersize=5)
    for row, value, count in zip(rows, values, counts, strict=True):
        words(left, value, row, times(value), dx=0, dy=11)
        words(right, count, row, format_count(count), dx=0, dy=11)
    for axes in (left, right):
        axes.margins(x=0.15)
        axes.grid(visible=False, axis="y")
    left.set_yticks(rows, data["way"])
    left.set_ylim(-0.5, len(data) - 0.3)
    return Plot(figure, title, _reading(data, baseline, jobs), data)


def _times_faster(seconds: pd.DataFrame, baseline: str, way: str) -> Ratio:
    slow, fast = seconds[baseline].to_numpy(float), seconds[way].to_numpy(float)
    return paired_ratio(slow, fast, rng=np.random.default_rng(len(seconds)))


def _row(seconds: pd.DataFrame, trips: pd.Series[float], way: str, ratio: Ratio | None) -> dict[str, object]:
    estimate = geometric_mean_interval(seconds[way].to_numpy(float))
    faster = (np.nan, np.nan, np.nan) if ratio is None else (ratio.value, ratio.low, ratio.high)
    return {
        "way": way,
        "seconds_per_job": estimate.value,
        "seconds_per_job_low": estimate.low,
        "seconds_per_job_high": estimate.high,
        "round_trips": trips[way],
        "times_faster": faster[0],
        "times_faster_low": faster[1],
        "times_faster_high": faster[2],
        "blocks": estimate.n,
    }


def _title(ratios: dict[str, Ratio], baseline: str) -> str:
    way, best = max(ratios.items(), key=lambda entry: entry[1].value)
    if verdict(best) is Verdict.HIGHER:
        return f"{sentence(way)}, a job is written {times(best.value)} times as fast as {baseline}"
    return f"No way to write is clearly faster than {baseline}"


def _reading(data: pd.DataFrame, baseline: str, jobs: int) -> str:
    first, *others = data.to_dict("records")
    columns = ("seconds_per_job", "seconds_per_job_low", "seconds_per_job_high")
    cost = format_seconds_interval(*(first[column] for column in columns))
    trips = format_count(first["round_trips"])
    parts = [f"{sentence(baseline)}, a job takes {cost}, and {jobs:,} jobs take {trips} round trips"]
    for row in others:
        faster = times_interval(row["times_faster"], row["times_faster_low"], row["times_faster_high"])
        own = f"{format_seconds(row['seconds_per_job'])} and {format_count(row['round_trips'])} round trips"
        parts.append(f"{row['way']}, {own}: {faster} times as fast")
    return f"{'; '.join(parts)}."
