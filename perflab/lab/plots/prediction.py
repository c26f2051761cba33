"""Whether the prediction from the baseline held: measured over predicted throughput."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import (
    GRID,
    MUTED,
    interval_bars,
    label_ticks,
    log_axis,
    new_figure,
    panel_title,
    shades,
)
from perflab.lab.plots.wording import basis, batches_of, latency_of, settings_of, times, times_interval
from perflab.lab.sweep.latency_findings import TOLERANCE, Agreement, AtLatency, Comparison, LatencyFindings

_NAMED = 3


def prediction_error(findings: LatencyFindings) -> Plot:
    """Measured over predicted throughput for each batch size and added latency, paired by block.

    Data columns: those of `LatencyFindings.comparisons`, without the baseline.
    """
    predicted = findings.latencies[1:]
    title, reading = _finding(predicted)
    figure, panels = new_figure(
        title,
        "Throughput measured over throughput predicted from the visits with nothing added; "
        f"{basis(findings.model.blocks)}, paired. In the grey band they agree within {TOLERANCE:.0%}.",
        panels=max(1, len(predicted)),
        plot_height_inches=2.6,
    )
    for axes, at, color in zip(panels, predicted, shades(len(findings.latencies))[1:], strict=False):
        _draw(axes, at, color)
    log_axis(panels[0], "y", times)
    bounds = [bound for at in predicted for one in at.comparisons for bound in (one.ratio.low, one.ratio.high)]
    panels[0].set_ylim(min([0.5, *bounds]) / 1.05, max([2.0, *bounds]) * 1.05)
    panels[0].set_ylabel("measured ÷ predicted")
    data = findings.comparisons
    return Plot(figure, title, reading, data[data["added_latency"] > 0].reset_index(drop=True))


def _finding(predicted: Sequence[AtLatency]) -> tuple[str, str]:
    """Title and reading: for how many settings it held, for which it did not, and which cannot be told."""
    settings = [(at, one) for at in predicted for one in at.comparisons]
    if not settings:
        return "There is no latency to predict", "Only the baseline was measured: give other added latencies."
    by = {kind: [entry for entry in settings if entry[1].agreement is kind] for kind in Agreement}
    count, held, failed = settings_of(len(settings)), len(by[Agreement.HELD]), len(by[Agreement.FAILED])
    within = f"within {TOLERANCE:.0%}"
    if held == len(settings):
        title = f"The prediction held for all {count}, {within}"
    elif failed:
        title = f"The prediction did not hold for {failed} of {count}"
    else:
        title = f"The prediction held for {held} of {count}, and failed for none"
    sentences = [
        f"The prediction held for {held} of {count}: measured throughput lay {within} of it, interval and all."
    ]
    if failed:
        sentences.append(f"It did not hold for {failed}: {_named(by[Agreement.FAILED])}.")
    if undecided := by[Agreement.UNDECIDED]:
        sentences.append(f"For {len(undecided)} these blocks cannot tell: {_named(undecided)}.")
    return title, " ".join(sentences)


def _named(settings: Sequence[tuple[AtLatency, Comparison]]) -> str:
    """The settings that are farthest off, by name."""
    worst = sorted(settings, key=lambda entry: -max(entry[1].ratio.value, 1 / entry[1].ratio.value))
    named = [
        f"{batches_of(one.batch_size)} with {latency_of(at.added)} reached "
        f"{times_interval(one.ratio.value, one.ratio.low, one.ratio.high)} times the predicted throughput"
        for at, one in worst[:_NAMED]
    ]
    rest = len(settings) - len(named)
    return ", ".join(named) + (f", and {rest} more" if rest else "")


def _draw(axes: Axes, at: AtLatency, color: str) -> None:
    panel_title(axes, latency_of(at.added))
    axes.set_xscale("log")
    axes.axhspan(1 / (1 + TOLERANCE), 1 + TOLERANCE, color=GRID, zorder=0, linewidth=0)
    axes.axhline(1, color=MUTED, linewidth=1, linestyle="--", zorder=1)
    sizes = [one.batch_size for one in at.comparisons]
    ratios = [one.ratio for one in at.comparisons]
    interval_bars(
        axes,
        sizes,
        [ratio.value for ratio in ratios],
        [ratio.low for ratio in ratios],
        [ratio.high for ratio in ratios],
        color=color,
    )
    shown = sizes[::2] if len(sizes) > 5 else sizes
    label_ticks(axes, shown, [f"{size:,}" for size in shown])
    axes.set_xlim(sizes[0] / 1.6, sizes[-1] * 1.6)
    axes.set_xlabel("batch size (items)")
