"""How sizing policies follow a cost that changes, where the right size is known."""

from __future__ import annotations

from matplotlib.axes import Axes

from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import BLUE, LINE, ORANGE, log_axis, new_figure, panel_title, whole
from perflab.lab.simulation.study import NOISE, SLOWER, Change, ChangeStudy

_COLORS = {"adaptive": BLUE, "AIMD": ORANGE}


def sizes_through_a_change(study: ChangeStudy) -> Plot:
    """Batch size of each policy, flush by flush, over a cost that rises and falls again.

    Data columns: those of `ChangeStudy.data`.
    """
    policies = list(dict.fromkeys(study.data["policy"]))
    figure, plots = new_figure(
        _title(study),
        f"Simulated, full batches: the cost of a flush rises {SLOWER:g} times, and falls again; noise of {NOISE:.0%}. "
        "Grey is the size that each policy looks for. Single smaller batches are probes.",
        panels=len(policies),
        plot_height_inches=2.6,
    )
    for axes, policy in zip(plots, policies, strict=True):
        _draw(axes, study, policy)
    plots[0].set_ylabel("batch size (items)")
    return Plot(figure, _title(study), _reading(study), study.data)


def _title(study: ChangeStudy) -> str:
    taken = [change.flushes for change in study.changes if change.policy == "adaptive"]
    found = [flushes for flushes in taken if flushes is not None]
    if len(found) < len(taken):
        return "The adaptive size does not follow a change of the cost"
    return f"The adaptive size is near the right one again within {max(found)} flushes of a change of the cost"


def _reading(study: ChangeStudy) -> str:
    sentences = [_taken(change) for change in study.changes]
    return f"Counted until the size comes within a quarter of what the policy looks for: {'; '.join(sentences)}."


def _taken(change: Change) -> str:
    direction = "down" if change.slower else "up"
    aim = f"{change.policy} going {direction} to {change.wanted:,.0f} items"
    return f"{aim} never does" if change.flushes is None else f"{aim} took {change.flushes} flushes"


def _draw(axes: Axes, study: ChangeStudy, policy: str) -> None:
    rows = study.data[study.data["policy"] == policy]
    panel_title(axes, policy)
    log_axis(axes, "y", whole)
    flushes, sizes = rows["flush"].to_numpy(float), rows["size"].to_numpy(float)
    axes.step(flushes, rows["wanted"].to_numpy(float), where="post", color=LINE, linewidth=3, zorder=1)
    axes.plot(flushes, sizes, color=_COLORS[policy], linewidth=1, zorder=2)
    axes.set_xlabel("flush")
    axes.set_xlim(0, float(flushes[-1]))
