"""`perflab bench`: our operations against the raw driver, interleaved in one run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from perflab.cli.database_url import ServerUrl, server_url


def bench(  # noqa: PLR0917  # options of a command are given by name
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="enqueue, claim, done, watches, states, load, submit, life, singles, compression, drain, "
            "monitoring; all if none."
        ),
    ] = None,
    engine: Annotated[Literal["sqlite", "postgresql", "both"], typer.Option(help="Where to write.")] = "sqlite",
    url: ServerUrl = None,
    blocks: Annotated[int, typer.Option(help="Randomised complete blocks, at least 6.")] = 12,
    seed: Annotated[int, typer.Option(help="Of the orders.")] = 1,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where bench.md, bench.csv and bench.json go.")] = (
        Path("reports")
    ),
) -> None:
    """Compare perflab's operations with hand-written driver code for the same rows.

    Every block visits every arm once in random order. Exits with 1 when an operation is over its limit.
    """
    import tempfile

    from tqdm import tqdm

    from perflab.lab.bench.bench_files import BenchRun, bench_table, write_bench
    from perflab.lab.bench.comparison import compare
    from perflab.lab.bench.run import check_bench_names, make_comparisons, open_engines
    from perflab.lab.sweep.environment import read_environment

    check_bench_names(names or [])
    url = server_url(url, engine)
    environment = read_environment(Path(tempfile.gettempdir()))
    with open_engines(sqlite=engine != "postgresql", postgresql=engine != "sqlite", url=url) as engines:
        comparisons = make_comparisons(names or [], engines)
        visits = blocks * sum(len(comparison.arms) for comparison in comparisons)
        with tqdm(total=visits, unit="visit", disable=not sys.stderr.isatty(), leave=False) as bar:
            results = compare(comparisons, blocks=blocks, seed=seed, visited=bar.update)
        run = BenchRun(results, [opened.title for opened in engines], environment, blocks, seed)
    files = write_bench(run, output)
    typer.echo(bench_table(results))
    typer.echo(f"written to {files.markdown}, {files.samples} and {files.summary}")
    if any(result.verdict == "over" for result in results):
        raise typer.Exit(1)
