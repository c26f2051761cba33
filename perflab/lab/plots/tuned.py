"""What tuning predicted, what it measured, and the setting that it took."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.axes import Axes

from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import BLUE, GREEN, MUTED, ORANGE, interval_bars, new_figure, whole, words
from perflab.lab.plots.wording import basis
from perflab.lab.quantities import format_seconds, format_seconds_interval
from perflab.lab.recommendation import NoRecommendation, in_words

if TYPE_CHECKING:
    from perflab.lab.tune.result import Tuning

PREDICTED, MEASURED, AGAIN = "predicted", "measured", "measured again"


def tuned_interval(tuning: Tuning) -> Plot:
    """The p99 of each flush interval, predicted and measured, and that of the recommended one on other arrivals.

    Data columns: series, flush_interval, p99, low, high (seconds).
    """
    target = tuning.request.latency_target
    rows = [(PREDICTED, one.flush_interval, one.p99, float("nan"), float("nan")) for one in tuning.predictions]
    rows += [
        (MEASURED, point.flush_interval_seconds, point.p99.value, point.p99.low, point.p99.high)
        for point in tuning.findings.points
        if point.stable
    ]
    confirmation = tuning.confirmation
    if not isinstance(confirmation, NoRecommendation) and (again := confirmation.p99) is not None:
        interval = confirmation.recommended.flush_interval_seconds
        rows.append((AGAIN, interval, again.value, again.low, again.high))
    data = pd.DataFrame(rows, columns=["series", "flush_interval", "p99", "low", "high"])
    title = _title(tuning)
    figure, (axes,) = new_figure(
        title,
        f"{tuning.arrivals:,.0f} independent arrivals per second, batches of "
        f"{tuning.findings.plan.replay_batch_sizes[0]:,} at the most; {basis(tuning.findings.plan.blocks)}. Predicted: "
        "a simulation with the cost of a flush.",
        right_inches=1.4,
    )
    _draw(axes, data, target)
    return Plot(figure, title, _reading(tuning, data), data)


def _title(tuning: Tuning) -> str:
    target = format_seconds(tuning.request.latency_target)
    if isinstance(tuning.recommendation, NoRecommendation):
        return f"No flush interval keeps the p99 within {target}"
    setting = in_words(tuning.recommendation.batch_size, tuning.recommendation.flush_interval_seconds)
    return f"Send at {setting}: the p99 stays within {target}" if tuning.confirmed else f"{setting}, but not confirmed"


def _reading(tuning: Tuning, data: pd.DataFrame) -> str:
    predicted = {one.flush_interval: one.p99 for one in tuning.predictions}
    rows = data[data["series"] == MEASURED][["flush_interval", "p99", "low", "high"]].to_numpy(float).tolist()
    parts = [
        f"{format_seconds_interval(p99, low, high)} with {format_seconds(interval)} "
        f"({format_seconds(predicted[interval])} predicted)"
        for interval, p99, low, high in rows
    ]
    if not parts:
        return f"No interval kept up with {tuning.arrivals:,.0f} items per second."
    return f"The p99 was {', '.join(parts)}."


def _draw(axes: Axes, data: pd.DataFrame, target: float) -> None:
    for series, color in ((PREDICTED, MUTED), (MEASURED, BLUE), (AGAIN, ORANGE)):
        rows = data[data["series"] == series]
        if rows.empty:
            continue
        x, y = rows["flush_interval"].to_numpy(float) * 1e3, rows["p99"].to_numpy(float) * 1e3
        if series == PREDICTED:
            axes.plot(x, y, color=color, linewidth=1.4, zorder=2)
        else:
            low, high = (rows[bound].to_numpy(float) * 1e3 for bound in ("low", "high"))
            interval_bars(axes, x, y, low, high, color=color)
        words(axes, float(x[-1]), float(y[-1]), series, color=color, dx=9)
    axes.axhline(target * 1e3, color=GREEN, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
    words(axes, 0.0, target * 1e3, "target", color=GREEN, dx=4, dy=7)
    shown = data["p99"].to_numpy(float) * 1e3
    axes.set_ylim(0, max(1.5 * target * 1e3, 1.1 * float(shown.max())))
    axes.set_xlim(left=0)
    axes.yaxis.set_major_formatter(lambda value, _position: whole(value))
    axes.set_xlabel("flush interval (ms)")
    axes.set_ylabel("p99 from arrival to result (ms)")
