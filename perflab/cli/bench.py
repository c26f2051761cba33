"""`perflab bench`: our operations against the raw driver, interleaved in one run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def bench(
    names: Annotated[
        list[str] | None, typer.Argument(help="enqueue, watches, states, submit, life; all where none is named.")
    ] = None,
    blocks: Annotated[int, typer.Option(help="Randomised complete blocks, at least 6.")] = 12,
    seed: Annotated[int, typer.Option(help="Of the orders.")] = 1,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where bench.md, bench.csv and the environment go.")] = (
        Path("reports")
    ),
) -> None:
    """Compare perflab's operations with hand-written driver code for the same rows.

    Every block visits every arm once in random order. Exits with 1 when an operation is over its limit.
    """
    import tempfile

    from tqdm import tqdm

    from perflab.lab.bench.comparison import compare
    from perflab.lab.bench.run import bench_table, make_comparisons, write_bench
    from perflab.lab.sweep.environment import read_environment

    comparisons = make_comparisons(names or [])
    environment = read_environment(Path(tempfile.gettempdir()))
    visits = blocks * sum(len(comparison.arms) for comparison in comparisons)
    with tqdm(total=visits, unit="visit", disable=not sys.stderr.isatty(), leave=False) as bar:
        results = compare(comparisons, blocks=blocks, seed=seed, visited=bar.update)
    files = write_bench(results, environment, output, blocks=blocks, seed=seed)
    typer.echo(bench_table(results))
    typer.echo(f"written to {files.markdown}, {files.samples} and {files.environment}")
    if any(result.verdict == "over" for result in results):
        raise typer.Exit(1)
