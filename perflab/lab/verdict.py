"""What a sweep came to, in the few numbers and the one line that a reader takes away."""

from __future__ import annotations

import math

from perflab.lab.plots.wording import times_interval
from perflab.lab.quantities import format_seconds
from perflab.lab.recommendation import NoRecommendation, Recommendation, in_words
from perflab.lab.sweep.findings import Confirmation, Findings

HeadlineValues = dict[str, str | int | float | bool]


def headline(
    findings: Findings,
    recommendation: Recommendation | NoRecommendation,
    confirmation: Confirmation | NoRecommendation,
) -> HeadlineValues:
    """The values for `publish_headline`.

    Gain, throughput and p99 are those of the confirmation: the figures by which a setting was chosen flatter it.
    """
    if isinstance(recommendation, NoRecommendation) or isinstance(confirmation, NoRecommendation):
        return {"recommendation": f"none: {recommendation.describe()}"}
    size, interval = recommendation.batch_size, recommendation.flush_interval_seconds
    replay = findings.replay
    chosen = replay[(replay["batch_size"] == size) & (replay["flush_interval"] == interval)]
    values: HeadlineValues = {
        "recommendation": f"send at {in_words(size, interval)}; {_outcome(confirmation)}",
        "batch_size": size,
        "flush_interval_seconds": interval,
        "throughput_per_second": confirmation.throughput.value,
    }
    if confirmation.p99 is not None:
        values["p99_seconds"] = confirmation.p99.value
    values["round_trips_saved_fraction"] = float(chosen["round_trips_saved"].iloc[0])
    return values


def paste_lines(recommendation: Recommendation | NoRecommendation) -> str:
    """The lines of Python that put a recommendation to work."""
    if isinstance(recommendation, NoRecommendation):
        return "# nothing is recommended, so there is nothing to paste"
    return (
        "from perflab import RequestBatcher\n\n"
        f"with RequestBatcher(db, batch_size={recommendation.batch_size}, "
        f"flush_interval={recommendation.flush_interval_seconds:g}) as batcher:\n"
        "    batcher.submit(operation, item)"
    )


def _outcome(confirmation: Confirmation) -> str:
    gain = confirmation.against_unbatched
    parts = (
        [] if gain is None else [f"{times_interval(gain.value, gain.low, gain.high)} times the unbatched throughput"]
    )
    target = confirmation.recommended.latency_target_seconds
    if math.isfinite(target):
        confirmed = "confirmed" if confirmation.meets_target else "NOT confirmed"
        parts.append(f"p99 within {format_seconds(target)} {confirmed} by a second measurement")
    return ", ".join(parts) or "measured twice"
