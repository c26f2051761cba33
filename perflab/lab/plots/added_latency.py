"""Throughput at each added latency, as the cost model of the baseline predicts it and as it was measured."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import end_labels, interval_bars, label_ticks, log_axis, new_figure, shades, whole
from perflab.lab.plots.wording import basis, batches_of, latency_of, sentence, times, times_interval, verdict
from perflab.lab.quantities import format_rate_interval, format_seconds
from perflab.lab.statistics.ratio import Verdict
from perflab.lab.sweep.latency_findings import AtLatency, LatencyFindings


def throughput_by_added_latency(findings: LatencyFindings) -> Plot:
    """Items per second of writer time against batch size, one colour for each added latency.

    Data columns: those of `LatencyFindings.comparisons`.
    """
    latencies = findings.latencies
    nearest, farthest = latencies[0], latencies[-1]
    title = _title(farthest)
    figure, (axes,) = new_figure(
        title,
        f"As fast as possible, one writer, full batches; {basis(findings.model.blocks)}. Points were measured; lines "
        "and their bands are predicted from the visits with nothing added.",
        right_inches=1.35,
    )
    _draw(axes, latencies)
    return Plot(figure, title, _reading(findings, nearest, farthest), findings.comparisons)


def _title(farthest: AtLatency) -> str:
    ends = (farthest.comparisons[0], farthest.comparisons[-1])
    slower = [one for one in ends if verdict(one.slowdown) is Verdict.HIGHER]
    if not slower:
        return f"{sentence(latency_of(farthest.added))} makes no clear difference to throughput"
    parts = [f"{batches_of(one.batch_size)} {times(one.slowdown.value)} times slower" for one in slower]
    return f"{format_seconds(farthest.added)} more of round trip make {' and '.join(parts)}"


def _reading(findings: LatencyFindings, nearest: AtLatency, farthest: AtLatency) -> str:
    parts = []
    for near, far in ((nearest.comparisons[place], farthest.comparisons[place]) for place in (0, -1)):
        before, after, ratio = near.measured, far.measured, far.slowdown
        parts.append(
            f"{sentence(batches_of(near.batch_size))} were written at "
            f"{format_rate_interval(before.value, before.low, before.high)} with nothing added and at "
            f"{format_rate_interval(after.value, after.low, after.high)} with {latency_of(farthest.added)}: "
            f"slower by a factor of {times_interval(ratio.value, ratio.low, ratio.high)}."
        )
    return f"{' '.join(parts)} The model of what was measured with nothing added: {findings.model.describe()}"


def _draw(axes: Axes, latencies: Sequence[AtLatency]) -> None:
    log_axis(axes, "x", whole)
    log_axis(axes, "y", whole, ticks=(1.0,))
    colors = shades(len(latencies))
    for at, color in zip(latencies, colors, strict=True):
        sizes = [one.batch_size for one in at.comparisons]
        predicted = [one.predicted for one in at.comparisons]
        measured = [one.measured for one in at.comparisons]
        axes.plot(sizes, [one.value for one in predicted], color=color, linewidth=1.2, zorder=2)
        axes.fill_between(
            sizes, [one.low for one in predicted], [one.high for one in predicted], color=color, alpha=0.15, linewidth=0
        )
        interval_bars(
            axes,
            sizes,
            [one.value for one in measured],
            [one.low for one in measured],
            [one.high for one in measured],
            color=color,
        )
    sizes = [one.batch_size for one in latencies[0].comparisons]
    label_ticks(axes, sizes, [f"{size:,}" for size in sizes])
    axes.set_xlim(sizes[0] / 1.3, sizes[-1] * 1.3)
    axes.set_xlabel("batch size (items)")
    axes.set_ylabel("items per second of writer time")
    end_labels(
        axes,
        [sizes[-1]] * len(latencies),
        [at.comparisons[-1].measured.value for at in latencies],
        [latency_of(at.added) for at in latencies],
        colors,
    )
