"""The findings of a load for people and for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from perflab.lab.load.findings import FIT_SHARE, FRACTIONS, LoadFindings
from perflab.lab.load.stability import Stability
from perflab.lab.markdown_table import markdown_table
from perflab.lab.quantities import format_percent, format_rate, format_seconds, format_seconds_interval
from perflab.lab.statistics.percentiles import PercentileReading

_MEANINGS = {
    "response": "from the intended moment to the answer",
    "service": "from the actual start to the answer",
    "lag": "from the intended moment to the actual start",
    "completion": "from the intended moment to the end of the handler",
}
_CLOSED_MEANING = "from the start of a call to its answer: a client that waits sends nothing, so stalls count once"


def load_text(findings: LoadFindings) -> str:
    """What was done, how it went, and the percentiles or the reason why there are none; a few lines and a table."""
    lines = [*_what(findings), "", *_verdicts(findings)]
    if readings := findings.readings():
        meanings = _MEANINGS if findings.is_open else {**_MEANINGS, "response": _CLOSED_MEANING}
        rows = [
            [name, *map(_cell, found), format_seconds(findings.series()[name].maximum), meanings[name]]
            for name, found in readings.items()
        ]
        header = ["", *(f"p{fraction * 100:g}" for fraction in FRACTIONS), "greatest", ""]
        lines += ["", markdown_table(header, rows)]
    return "\n".join(lines)


def load_values(findings: LoadFindings) -> dict[str, Any]:
    """The same for programs; times in seconds. Holds no URL."""
    plan = findings.plan
    return {
        "engine": plan.engine,
        "model": plan.model,
        "arrivals": plan.recipe.describe() if findings.is_open else None,
        "seed": plan.recipe.seed,
        "operations": {name: findings.seen.done[name] for name in plan.recipe.mix.names},
        "payload_bytes": str(plan.recipe.payload),
        "service_seconds": str(plan.recipe.service),
        "writes": plan.writes,
        "batch_size": plan.batch_size,
        "flush_interval_seconds": plan.flush_interval,
        "generators": plan.generators,
        "connections": plan.connections,
        "workers": plan.workers,
        "durability": plan.durability,
        "warm_up_seconds": plan.warm_up_seconds,
        "measured_seconds": findings.length,
        "measured_items": findings.seen.measured,
        "offered_per_second": findings.offered_per_second if findings.is_open else None,
        "achieved_per_second": findings.achieved_per_second,
        "stable": findings.stable,
        "stability": _stability(findings.stability),
        "completion_stability": _stability(findings.completion_stability),
        "unsent": findings.seen.unsent,
        "failed": dict(findings.failed),
        "first_errors": findings.seen.first_errors,
        "generator_late_seconds": findings.generator_late,
        "generator_share": findings.generator_share,
        "clocks": list(findings.clocks),
        "percentiles": {name: [_reading(one) for one in found] for name, found in findings.readings().items()},
        "greatest": {name: histogram.maximum for name, histogram in findings.series().items()},
        "environment": dict(findings.environment),
    }


def _what(findings: LoadFindings) -> list[str]:
    plan, recipe = findings.plan, findings.plan.recipe
    arrivals = f"{plan.model}: {recipe.describe()}" if findings.is_open else plan.model
    how = (
        f"batches of {plan.batch_size:,} items or {plan.flush_interval * 1_000:g} ms"
        if plan.writes == "batched"
        else f"single writes over {plan.clients or plan.connections} connections"
    )
    senders = _several(plan.generators, "generator process")
    workers = f", {_several(plan.workers, 'worker process')}" if plan.workers else ""
    return [
        arrivals,
        f"{findings.environment['engine']}, durability {plan.durability}; {senders}, {how}{workers}",
        f"{recipe.mix}; payload {recipe.payload} bytes; service {recipe.service} s",
        *findings.clocks,
    ]


def _verdicts(findings: LoadFindings) -> list[str]:
    seen = findings.seen
    offered = f"offered {format_rate(findings.offered_per_second)}, " if findings.is_open else ""
    measured = f"{findings.length:g} s after {findings.plan.warm_up_seconds:g} s of warm-up"
    achieved = format_rate(findings.achieved_per_second)
    lines = [f"{offered}achieved {achieved}: {seen.measured:,} items measured in {measured}"]
    for what, stability in (("writing", findings.stability), ("the workers", findings.completion_stability)):
        if stability is not None and stability.stable:
            lines.append(f"{what}: stable, {stability.reason}")
        elif stability is not None:
            lines.append(f"{what}: UNSTABLE at this rate, {stability.reason}; percentiles would be of the run's length")
    lines += [f"FAILED: {count:,} {name}: {seen.first_errors[name]}" for name, count in findings.failed.items()]
    if findings.generator_late is not None and findings.generator_share is not None:
        fit = "" if findings.generator_share <= FIT_SHARE else ": MORE THAN A TENTH, so the figures are its own as well"
        lines.append(
            f"generator: {format_seconds(findings.generator_late)} late when it sends to nothing, "
            f"{format_percent(findings.generator_share)} of the median response{fit}"
        )
    return lines


def _several(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 'es'}"


def _cell(reading: PercentileReading) -> str:
    estimate = reading.estimate
    if estimate is None:
        return "too few"
    return format_seconds_interval(estimate.value, estimate.low, estimate.high)


def _reading(reading: PercentileReading) -> dict[str, Any]:
    estimate = reading.estimate
    if estimate is None:
        return {"fraction": reading.fraction, "reason": reading.reason}
    return {
        "fraction": reading.fraction,
        "seconds": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "samples": estimate.n,
    }


def _stability(stability: Stability | None) -> dict[str, Any] | None:
    return None if stability is None else asdict(stability)
