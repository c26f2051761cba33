"""What a bench found, as a table for people and as files for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from perflab.lab.bench.comparison import ComparisonResult
from perflab.lab.noise import Noise
from perflab.lab.quantities import format_seconds_interval
from perflab.lab.statistics.looks import Stop
from perflab.lab.sweep.environment import Environment


@dataclass(frozen=True, slots=True)
class BenchRun:
    """A bench that has run.

    Attributes:
        results: One for each comparison.
        engines: Each with its version and its durability, for the reader.
        environment: Of the machine and the interpreter.
        measured_at: When it began, aware.
        blocks: How many there were.
        seed: Of their orders.
        noise: How quiet the machine was.
        stop: Why there were no more blocks, where that was not fixed beforehand.
        profiles: Where the profiles of ours are, from the folder of the bench, by `Comparison.title`.
    """

    results: Sequence[ComparisonResult]
    engines: Sequence[str]
    environment: Environment
    measured_at: datetime
    blocks: int
    seed: int
    noise: Noise
    stop: Stop | None = None
    profiles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BenchFiles:
    """What was written.

    Attributes:
        markdown: The table.
        samples: The seconds per item of every visit, as CSV.
        summary: Estimates, ratios and verdicts, the engines and the environment, as JSON.
    """

    markdown: Path
    samples: Path
    summary: Path


def bench_table(results: Sequence[ComparisonResult], profiles: Mapping[str, str] | None = None) -> str:
    """The results as a Markdown table, the slowest raw arms included.

    Args:
        results: What was found.
        profiles: Links to profiles of ours, by `Comparison.title`.
    """
    links = profiles or {}
    level = _level(results)
    lines = [
        f"| operation | engine | arm | time per item [{level}] | ours ÷ fastest other [{level}] | limit | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in results:
        comparison = result.comparison
        limit = "" if comparison.limit is None else f"{comparison.limit:g}"
        for arm in comparison.arms:
            estimate = result.estimate(arm.name)
            time = format_seconds_interval(estimate.value, estimate.low, estimate.high)
            if arm is comparison.ours:
                ratio = f"**{result.ratio.value:.2f}** [{result.ratio.low:.2f}, {result.ratio.high:.2f}]"
                link = links.get(comparison.title)
                name = f"[{arm.name}]({link})" if link else arm.name
                lines.append(
                    f"| **{comparison.name}** | {comparison.engine} | {name} | {time} | {ratio} | {limit} "
                    f"| {result.verdict} |"
                )
            elif arm in comparison.alike:
                ratio_to = result.ratio_to(arm.name)
                ratio = f"ours ÷ this: {ratio_to.value:.2f} [{ratio_to.low:.2f}, {ratio_to.high:.2f}]"
                lines.append(f"| | | {arm.name} (same promises) | {time} | {ratio} | | |")
            else:
                mark = " (fastest)" if arm.name == result.fastest_other else ""
                lines.append(f"| | | {arm.name}{mark} | {time} | | | |")
    return "\n".join(lines) + "\n"


def write_bench(run: BenchRun, folder: Path) -> BenchFiles:
    """Write all there is to know of a run into a folder, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    files = BenchFiles(folder / "bench.md", folder / "bench.csv", folder / "bench.json")
    files.markdown.write_text(_markdown(run), encoding="utf-8")
    _samples(run.results).to_csv(files.samples, index=False)
    files.summary.write_text(json.dumps(_summary(run), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return files


def _level(results: Sequence[ComparisonResult]) -> str:
    """Of the intervals: `"95 %"`."""
    return f"{100 * results[0].level:.3g} %"


def _markdown(run: BenchRun) -> str:
    works = {result.comparison.name: result.comparison.work for result in run.results}
    described = "\n".join(f"- **{name}**: {work}." for name, work in works.items())
    environment = run.environment
    versions = "; ".join((*run.engines, f"Python {environment['python']}"))
    stop = f" ({run.stop})" if run.stop else ""
    machine = f"{environment['cpu']}, {environment['cores']} cores"
    return (
        f"# Bench\n\n{run.blocks} randomised complete blocks{stop}, seed {run.seed}; geometric means with "
        f"{_level(run.results)} t intervals, ratios paired by block. {versions}; {machine}. {run.noise.describe()}\n\n"
        f"{described}\n\n{bench_table(run.results, run.profiles)}"
    )


def _samples(results: Sequence[ComparisonResult]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "operation": result.comparison.name,
                "engine": result.comparison.engine,
                "arm": arm,
                "block": block,
                "seconds_per_item": seconds,
            }
            for result in results
            for arm, values in result.seconds.items()
            for block, seconds in enumerate(values)
        ]
    )


def _summary(run: BenchRun) -> dict[str, Any]:
    return {
        "blocks": run.blocks,
        "seed": run.seed,
        "measured_at": run.measured_at.isoformat(),
        "engines": list(run.engines),
        "environment": dict(run.environment),
        "noise": asdict(run.noise),
        "stop": run.stop and str(run.stop),
        "level": run.results[0].level,
        "comparisons": comparison_summaries(run.results),
        "profiles": dict(run.profiles),
    }


def comparison_summaries(results: Sequence[ComparisonResult]) -> list[dict[str, Any]]:
    """Estimates, ratios and verdicts, as JSON takes them."""
    return [
        {
            "operation": result.comparison.name,
            "engine": result.comparison.engine,
            "ours": result.comparison.ours.name,
            "fastest_other": result.fastest_other,
            "ratio": result.ratio.value,
            "ratio_low": result.ratio.low,
            "ratio_high": result.ratio.high,
            "ratio_to_same_promises": {
                arm.name: [to.value, to.low, to.high]
                for arm in result.comparison.alike
                for to in [result.ratio_to(arm.name)]
            },
            "limit": result.comparison.limit,
            "verdict": result.verdict,
            "seconds_per_item": {arm.name: result.estimate(arm.name).value for arm in result.comparison.arms},
        }
        for result in results
    ]
