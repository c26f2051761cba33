"""The second measurement of the recommendation, against its neighbours and against no batching."""

from __future__ import annotations

import math

import pandas as pd

from perflab.lab.plots.forest import draw_ratios
from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import new_figure, note
from perflab.lab.plots.wording import batches_of, times, times_interval, verdict
from perflab.lab.quantities import format_percent, format_rate_interval, format_seconds, format_seconds_interval
from perflab.lab.recommendation import NoRecommendation, in_words
from perflab.lab.statistics.ratio import Ratio, Verdict
from perflab.lab.sweep.findings import Confirmation


def confirmation_ratios(confirmation: Confirmation | NoRecommendation) -> Plot:
    """Throughput of the recommended setting over that of others, measured anew in the same blocks.

    Data columns: against, batch_size, ratio, low, high, blocks, verdict.
    """
    if isinstance(confirmation, NoRecommendation):
        return _nothing(confirmation)
    size = confirmation.recommended.batch_size
    ratios = _ratios(confirmation)
    data = pd.DataFrame(
        [
            {
                "against": name,
                "batch_size": other,
                "ratio": ratio.value,
                "low": ratio.low,
                "high": ratio.high,
                "blocks": ratio.n,
                "verdict": str(verdict(ratio)),
            }
            for name, other, ratio in ratios
        ],
        columns=["against", "batch_size", "ratio", "low", "high", "blocks", "verdict"],
    )
    title = _title(ratios)
    figure, (axes,) = new_figure(
        title,
        f"Throughput of {batches_of(size)} over that of others, per second of writer time, on other stretches of the "
        f"trace; {confirmation.throughput.n} paired blocks, 95% interval.",
        plot_height_inches=0.45 * len(ratios) + 0.6,
        left_inches=2.15,
        right_inches=1.5,
    )
    labels = [_named(name, other) for name, other, _ in ratios]
    draw_ratios(axes, labels, [ratio for _, _, ratio in ratios])
    axes.set_xlabel("times the throughput of the other (1 is equal)")
    return Plot(figure, title, _reading(confirmation, ratios), data)


def _ratios(confirmation: Confirmation) -> list[tuple[str, int, Ratio]]:
    size = confirmation.recommended.batch_size
    candidates = (
        ("double the batch size", 2 * size, confirmation.against_double),
        ("half the batch size", max(1, size // 2), confirmation.against_half),
        ("no batching", 1, confirmation.against_unbatched),
    )
    found = [(name, other, ratio) for name, other, ratio in candidates if ratio is not None]
    # half of 2 or 3 items is the unbatched setting: one row is enough
    return [entry for entry in found if entry[0] == "no batching" or entry[1] > 1]


def _title(ratios: list[tuple[str, int, Ratio]]) -> str:
    gain = next((ratio for name, _, ratio in ratios if name == "no batching"), None)
    if gain is None:
        return "The recommendation is not to batch"
    if verdict(gain) is Verdict.HIGHER:
        return f"Measured again, the recommended setting writes {times(gain.value)} times as much as without batching"
    return "Measured again, the recommended setting is not clearly faster than no batching"


def _reading(confirmation: Confirmation, ratios: list[tuple[str, int, Ratio]]) -> str:
    chosen = confirmation.recommended
    rate = confirmation.throughput
    figures = (
        f"Measured again in {rate.n} blocks, {in_words(chosen.batch_size, chosen.flush_interval_seconds)} gave "
        f"{format_rate_interval(rate.value, rate.low, rate.high)}, "
        f"{format_percent(confirmation.prediction_error, signed=True)} against the first measurement"
    )
    against = ", ".join(
        f"{times_interval(ratio.value, ratio.low, ratio.high)} times that of {_named(name, other)}"
        for name, other, ratio in reversed(ratios)
    )
    first = f"{figures}, {_latency(confirmation)}."
    return f"{first} Its throughput is {against}." if against else first


def _named(name: str, other: int) -> str:
    return name if other == 1 else f"{name} ({other:,})"


def _latency(confirmation: Confirmation) -> str:
    p99 = confirmation.p99
    if p99 is None:
        return "but it could not keep up this time, so it has no p99"
    measured = f"with a p99 of {format_seconds_interval(p99.value, p99.low, p99.high)}"
    target = confirmation.recommended.latency_target_seconds
    if math.isinf(target):
        return measured
    met = "meets" if confirmation.meets_target else "does not meet"
    return f"{measured}, which {met} the target of {format_seconds(target)}"


def _nothing(reason: NoRecommendation) -> Plot:
    title = "There is no recommendation to confirm"
    figure, (axes,) = new_figure(title, "No setting was measured a second time.", plot_height_inches=0.8)
    note(axes, "nothing to confirm")
    axes.set_axis_off()
    return Plot(
        figure, title, f"{title}: {reason.describe()}", pd.DataFrame(columns=["against", "batch_size", "ratio"])
    )
