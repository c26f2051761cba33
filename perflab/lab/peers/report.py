"""The findings as a page for people and as files for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from perflab.lab.bench.bench_files import bench_table, comparison_summaries
from perflab.lab.bench.comparison import ComparisonResult
from perflab.lab.markdown_table import markdown_table
from perflab.lab.peers.catalogue import find_queue, installed_version
from perflab.lab.peers.findings import PeersFindings
from perflab.lab.peers.peer import Card
from perflab.lab.peers.plan import MEASURES, Measure
from perflab.lab.plots.wording import times_interval
from perflab.lab.quantities import format_rate, format_seconds_interval
from perflab.lab.statistics.percentiles import PercentileReading
from perflab.lab.statistics.ratio import Ratio

_ENGINES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_METHOD = (
    "{plan.blocks} randomised complete blocks, seed {plan.seed}; geometric means, ratios paired by block with 95 % t "
    "intervals. In brackets: how many times as fast ours of the same durability is. A drain is timed from the start of "
    "the worker to its last handler. Slow queues get fewer jobs."
)
_BATCHERS = (
    "What the peers do with a batch is hand-written for the raw driver, without checks. Ours takes Core statements, "
    "works in a thread of its own so that the loop goes on, bounds what waits, and finds the item that broke a "
    "statement, which fails a whole batch of theirs."
)
_PROMISES = (
    "The promises were made before anything was measured. The raw driver's own loop, SQL by hand without the queue's "
    "guarantees, says what is possible: a promise that it does not reach either is beyond the raw driver."
)
_LATENCY = (
    "From before the call that enqueues one job in another process to its handler on an idle worker, a job every "
    "{plan.interval_seconds:g} s."
)


@dataclass(frozen=True, slots=True)
class PeersFiles:
    """What was written.

    Attributes:
        page: All tables, as Markdown.
        summary: Cards, estimates, ratios, promises and environment, as JSON.
        samples: Seconds per job of every visit, as CSV.
    """

    page: Path
    summary: Path
    samples: Path


def throughput_table(findings: PeersFindings) -> str:
    """Jobs a second of each queue, and how many times faster ours of the same durability is."""
    rows = [
        [
            f"**{card.name}**" if card.role == "ours" else card.name,
            f"{findings.plan.jobs_for(card.slowness):,}",
            *(_rate(findings, card, measure) for measure in MEASURES),
        ]
        for card in findings.cards
    ]
    rows += [[name, "", reason, *[""] * (len(MEASURES) - 1)] for name, reason in findings.reasons.items()]
    return markdown_table(["", "jobs", *MEASURES.values()], rows)


def promise_table(findings: PeersFindings) -> str:
    """What was promised, what was found, and how many times as fast the raw driver itself is."""
    return markdown_table(
        ["", "", "promised", "found [95 %]", "raw driver [95 %]", "verdict"],
        [
            [
                MEASURES[judgement.promise.measure],
                f"{judgement.promise.ours} against {judgement.promise.peer}",
                f"at least {judgement.promise.factor:g} times as fast",
                _times(judgement.ratio),
                _times(judgement.limit) if judgement.limit else "not measured",
                judgement.verdict,
            ]
            for judgement in findings.judgements
        ],
    )


def guarantee_table(findings: PeersFindings) -> str:
    """What each queue promises."""
    return markdown_table(
        ["", "durability", "guarantee", "finished jobs"],
        [[card.name, card.durability, card.guarantee, card.finished] for card in _all_cards(findings)],
    )


def setting_table(findings: PeersFindings) -> str:
    """How each queue was set."""
    return markdown_table(
        ["", "version", "setting", "documented in"],
        [
            [card.name, installed_version(find_queue(card.name)) or "", card.setting, card.source]
            for card in _all_cards(findings)
        ],
    )


def latency_table(findings: PeersFindings) -> str:
    """From before the enqueuing call to the handler of an idle worker."""
    return markdown_table(
        ["", "p50 [95 %]", "p99 [95 %]"],
        [
            [name, *(_reading(readings[fraction]) for fraction in (0.5, 0.99))]
            for name, readings in findings.latencies.items()
        ],
    )


def headline(findings: PeersFindings) -> dict[str, str | float]:
    """The rate of our worker, the fastest of the others, and what became of the promises."""
    ours = next(card for card in findings.cards if card.role == "ours")
    drain = findings.seconds_per_job(ours.name, "drain")
    assert drain is not None  # every visit drains
    found: dict[str, str | float] = {"one_worker_jobs_per_second": 1 / drain.value}
    if findings.fastest_peer:
        faster = _times(findings.drained_times_faster(findings.fastest_peer))
        found["fastest_other_queue"] = f"{findings.fastest_peer.name}, ours {faster} times as fast"
    verdicts = Counter(judgement.verdict for judgement in findings.judgements)
    if verdicts:
        found["promises"] = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    return found


def engine_section(findings: PeersFindings) -> str:
    """All tables of one engine."""
    plan = findings.plan
    drains = findings.visits[findings.visits["what"] == "drain"]
    parts = [f"## {_ENGINES[plan.engine]}", _METHOD.format(plan=plan), throughput_table(findings)]
    if len(drains):
        jobs, runs = int(drains["jobs"].sum()), int(drains["runs"].sum())
        parts.append(f"Checked by what handlers saw: {jobs:,} jobs ran in {runs:,} runs, none was left unfinished.")
    if findings.judgements:
        parts += ["### Promises", _PROMISES, promise_table(findings)]
    if findings.latencies:
        parts += ["### Start latency", _LATENCY.format(plan=plan), latency_table(findings)]
    parts += ["### What each promises", guarantee_table(findings), setting_table(findings)]
    return "\n\n".join(parts)


def batcher_section(results: Sequence[ComparisonResult]) -> str:
    """Ours beside the batchers that are installed."""
    works = [f"- **{result.comparison.name}**: {result.comparison.work}." for result in results]
    return "\n\n".join(["## Batchers, on SQLite", _BATCHERS, "\n".join(works), bench_table(results).rstrip()])


def write_peers(found: Sequence[PeersFindings], folder: Path, batchers: Sequence[ComparisonResult] = ()) -> PeersFiles:
    """Write all there is to know of a run into a folder, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    files = PeersFiles(folder / "peers.md", folder / "peers.json", folder / "peers.csv")
    environment = found[0].environment
    engines = "; ".join(str(findings.environment["engine"]) for findings in found)
    head = (
        "# Queues beside each other\n\n"
        "Each queue in its best documented setting, each visit with a fresh database and in a process of its own, all "
        f"interleaved. {engines}; Python {environment['python']}; {environment['cpu']}, {environment['cores']} cores. "
        "Only ratios inside one run mean something."
    )
    sections = [head, *map(engine_section, found), *([batcher_section(batchers)] if batchers else [])]
    files.page.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    summary = {"queues": [_summary(findings) for findings in found], "batchers": comparison_summaries(batchers)}
    files.summary.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    samples = pd.concat([findings.visits.assign(engine=findings.plan.engine) for findings in found])
    samples.drop(columns="latencies", errors="ignore").to_csv(files.samples, index=False)
    return files


def _summary(findings: PeersFindings) -> dict[str, Any]:
    return {
        "plan": asdict(findings.plan),
        "measured_on": findings.visits["measured_at"].min().date().isoformat(),
        "environment": dict(findings.environment),
        "cards": [
            {**asdict(card), "version": installed_version(find_queue(card.name))} for card in _all_cards(findings)
        ],
        "not_measured": findings.reasons,
        "costs": findings.costs.to_dict("records"),
        "promises": [
            {
                **asdict(judgement.promise),
                **_found("found", judgement.ratio),
                **_found("raw_driver", judgement.limit),
                "verdict": judgement.verdict,
            }
            for judgement in findings.judgements
        ],
        "start_latency": {
            name: {f"p{100 * fraction:g}": _bounds(reading) for fraction, reading in readings.items()}
            for name, readings in findings.latencies.items()
        },
    }


def _all_cards(findings: PeersFindings) -> list[Card]:
    return [*findings.cards, *findings.missing_cards]


def _rate(findings: PeersFindings, card: Card, measure: Measure) -> str:
    estimate = findings.seconds_per_job(card.name, measure)
    if estimate is None:
        return "no such call"
    rate = format_rate(1 / estimate.value)
    ours = findings.ours_beside(card)
    ratio = None if ours == card.name else findings.times_faster(ours, card.name, measure)
    return rate if ratio is None else f"{rate} ({_times(ratio)})"


def _times(ratio: Ratio) -> str:
    return times_interval(ratio.value, ratio.low, ratio.high)


def _found(name: str, ratio: Ratio | None) -> dict[str, float | None]:
    value, low, high = (ratio.value, ratio.low, ratio.high) if ratio else (None, None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _reading(reading: PercentileReading) -> str:
    if reading.estimate is None:
        return reading.reason
    return format_seconds_interval(reading.estimate.value, reading.estimate.low, reading.estimate.high)


def _bounds(reading: PercentileReading) -> dict[str, Any]:
    if reading.estimate is None:
        return {"reason": reading.reason}
    return {"seconds": reading.estimate.value, "low": reading.estimate.low, "high": reading.estimate.high}
