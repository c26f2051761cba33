"""The benches by name, and their table."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from perflab.errors import InvalidInput
from perflab.lab.bench.comparison import Comparison, ComparisonResult
from perflab.lab.bench.sqlite_writes import add_watches_comparison, enqueue_comparison, update_states_comparison
from perflab.lab.bench.submit import submit_comparison, whole_life_comparison
from perflab.lab.quantities import format_seconds_interval
from perflab.lab.sweep.environment import Environment
from perflab.lab.workloads.flights import load_flights

BATCH_SIZE = 1_000

_BENCHES: dict[str, Callable[[], Comparison]] = {
    "enqueue": lambda: enqueue_comparison(load_flights("week").flights, BATCH_SIZE),
    "watches": lambda: add_watches_comparison(BATCH_SIZE),
    "states": lambda: update_states_comparison(BATCH_SIZE),
    "submit": submit_comparison,
    "life": whole_life_comparison,
}

BENCH_NAMES = tuple(_BENCHES)


def make_comparisons(names: Sequence[str]) -> list[Comparison]:
    """The comparisons of some benches; of all where none is named.

    Raises:
        InvalidInput: there is no bench of a name.
    """
    if unknown := [name for name in names if name not in _BENCHES]:
        raise InvalidInput(f"there is no bench {', '.join(map(repr, unknown))}: use {', '.join(_BENCHES)}")
    return [_BENCHES[name]() for name in (names or _BENCHES)]


@dataclass(frozen=True, slots=True)
class BenchFiles:
    """What a bench has written."""

    markdown: Path
    samples: Path
    environment: Path


def bench_table(results: Sequence[ComparisonResult]) -> str:
    """The results as a Markdown table, the slowest raw arms included."""
    lines = [
        "| operation | arm | time per item [95 %] | ours ÷ fastest other [95 %] | limit | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for result in results:
        limit = "" if result.comparison.limit is None else f"{result.comparison.limit:g}"
        for arm in result.comparison.arms:
            estimate = result.estimate(arm.name)
            time = format_seconds_interval(estimate.value, estimate.low, estimate.high)
            if arm is result.comparison.ours:
                ratio = f"**{result.ratio.value:.2f}** [{result.ratio.low:.2f}, {result.ratio.high:.2f}]"
                lines.append(
                    f"| **{result.comparison.name}** | {arm.name} | {time} | {ratio} | {limit} | {result.verdict} |"
                )
            else:
                mark = " (fastest)" if arm.name == result.fastest_other else ""
                lines.append(f"| | {arm.name}{mark} | {time} | | | |")
    return "\n".join(lines) + "\n"


def write_bench(
    results: Sequence[ComparisonResult], environment: Environment, folder: Path, *, blocks: int, seed: int
) -> BenchFiles:
    """Write the table, the seconds of every visit, and the environment into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    files = BenchFiles(folder / "bench.md", folder / "bench.csv", folder / "bench-environment.json")
    works = "\n".join(f"- **{result.comparison.name}**: {result.comparison.work}." for result in results)
    files.markdown.write_text(
        f"# Bench\n\n{blocks} randomised complete blocks, seed {seed}; geometric means with 95 % t intervals, ratios "
        f"paired by block. SQLite {environment['sqlite']} (WAL, synchronous=NORMAL), Python {environment['python']}, "
        f"{environment['cpu']}, {environment['cores']} cores.\n\n{works}\n\n{bench_table(results)}",
        encoding="utf-8",
    )
    pd.DataFrame(
        [
            {"operation": result.comparison.name, "arm": arm, "block": block, "seconds_per_item": seconds}
            for result in results
            for arm, values in result.seconds.items()
            for block, seconds in enumerate(values)
        ]
    ).to_csv(files.samples, index=False)
    files.environment.write_text(json.dumps(dict(environment), indent=2) + "\n", encoding="utf-8")
    return files
