"""Policies against the best fixed setting of each load."""

from __future__ import annotations

import pandas as pd

from perflab.lab.plots.forest import draw_ratios
from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import new_figure, note
from perflab.lab.plots.wording import times_interval, verdict
from perflab.lab.statistics.ratio import Verdict
from perflab.lab.sweep.sizing_findings import Contest, SizingFindings

_FIGURES = {
    "p99": "p99",
    "writer_seconds_per_item": "writer's time",
    "items_per_second": "throughput",
}
_LESS_IS_BETTER = {"p99", "writer_seconds_per_item"}
_COLUMNS = ["load", "figure", "against", "ratio", "low", "high", "blocks", "verdict"]


def adaptive_against_the_best(findings: SizingFindings, sizing: str = "adaptive") -> Plot:
    """Ratios of one policy over the best fixed setting, one for each load and figure.

    Data columns: load, figure, against, ratio, low, high, blocks, verdict ("better", "worse", "no clear difference").
    """
    contests = [one for one in findings.contests if one.sizing == sizing and one.ratio is not None]
    data = pd.DataFrame([_row(contest) for contest in contests], columns=_COLUMNS)
    title = _title(data, sizing)
    figure, (axes,) = new_figure(
        title,
        f"{sizing} over the fixed setting that turned out best under that load; paired by block, 95% interval. p99 and "
        "writer's time: less is better, and the setting of the least time is the one within the latency target.",
        plot_height_inches=0.36 * max(1, len(contests)) + 0.6,
        left_inches=3.6,
        right_inches=1.5,
    )
    ratios = [contest.ratio for contest in reversed(contests) if contest.ratio is not None]
    if ratios:
        draw_ratios(axes, [_label(contest) for contest in reversed(contests)], ratios)
        axes.set_xlabel("times the best fixed setting (1 is equal)")
    else:
        note(axes, "nothing can be compared: no fixed setting kept up")
    return Plot(figure, title, _reading(data, sizing), data)


def _row(contest: Contest) -> dict[str, object]:
    ratio = contest.ratio
    assert ratio is not None
    found = verdict(ratio)
    better = Verdict.LOWER if contest.figure in _LESS_IS_BETTER else Verdict.HIGHER
    clear = found in {Verdict.LOWER, Verdict.HIGHER}
    return {
        "load": contest.load,
        "figure": _FIGURES[contest.figure],
        "against": contest.best,
        "ratio": ratio.value,
        "low": ratio.low,
        "high": ratio.high,
        "blocks": ratio.n,
        "verdict": "no clear difference" if not clear else "better" if found is better else "worse",
    }


def _label(contest: Contest) -> str:
    return f"{contest.load}: {_FIGURES[contest.figure]}, against {contest.best}"


def _title(data: pd.DataFrame, sizing: str) -> str:
    counts = data["verdict"].value_counts()
    better, worse = (int(counts.get(name, 0)) for name in ("better", "worse"))
    rest = len(data) - better - worse
    found = f"better {better}, worse {worse} and not clearly different {rest} times"
    return f"Against the best fixed setting of each load, {sizing} is {found}"


def _reading(data: pd.DataFrame, sizing: str) -> str:
    if data.empty:
        return f"Neither {sizing} nor a fixed setting kept up, so that nothing can be compared."
    sentences = [
        f"{row['load']}: {row['figure']} {times_interval(row['ratio'], row['low'], row['high'])} times that of "
        f"{row['against']} ({row['verdict']})"
        for row in data.to_dict("records")
    ]
    settings = data.loc[data["figure"] == _FIGURES["p99"], "against"].nunique()
    several = f" The lowest p99 belongs to {settings} different fixed settings." if settings > 1 else ""
    return f"{'; '.join(sentences)}. The best was chosen after the fact, load by load.{several}"
