"""`perflab bench`: our operations against the raw driver, interleaved in one run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from perflab.cli.database_url import ServerUrl, server_url
from perflab.cli.examples import examples
from perflab.cli.profile_with import ProfileWith

if TYPE_CHECKING:
    from perflab.lab.bench.bench_files import BenchRun

EXAMPLES = examples(
    "perflab bench",
    "perflab bench enqueue claim done --engine both",
    "perflab bench submit --blocks 12 --most-blocks 48 --output reports/submit",
)


def bench(  # noqa: PLR0917  # options of a command are given by name
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="enqueue, claim, done, watches, states, load, submit, life, singles, compression, drain, "
            "start, monitoring; all if none."
        ),
    ] = None,
    engine: Annotated[Literal["sqlite", "postgresql", "both"], typer.Option(help="Where to write.")] = "sqlite",
    url: ServerUrl = None,
    blocks: Annotated[int, typer.Option(help="Randomised complete blocks, at least 6.")] = 12,
    most_blocks: Annotated[
        int | None,
        typer.Option(metavar="N", help="Go on until every verdict is clear, and at most so far.", show_default=False),
    ] = None,
    budget_seconds: Annotated[
        float, typer.Option(metavar="S", help="With --most-blocks: no more blocks than fit into this.")
    ] = 600.0,
    seed: Annotated[int, typer.Option(help="Of the orders.")] = 1,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where bench.md, bench.csv and bench.json go.")] = (
        Path("reports")
    ),
    profile_with: ProfileWith = None,
) -> None:
    """Compare perflab's operations with hand-written driver code for the same rows.

    Every block visits every arm once in random order. With --most-blocks it looks three times at most, and ends when
    each ratio is on one side of its limit, or known to 2 %; the intervals are those of stricter looks, and hold
    together. --profile-with visits each of our arms once more afterwards, which counts for nothing, and the table links
    to what the profiler saw.

    Exits with 1 when an operation is over its limit.
    """
    import tempfile
    from datetime import UTC, datetime

    from tqdm import tqdm

    from perflab.lab.bench.bench_files import write_bench
    from perflab.lab.bench.comparison import looks_between
    from perflab.lab.bench.run import check_bench_names, make_comparisons, open_engines, profile_ours, run_bench
    from perflab.lab.profiling.profiler import open_profiler
    from perflab.lab.sweep.environment import read_environment

    check_bench_names(names or [])
    url = server_url(url, engine)
    profiler = None if profile_with is None else open_profiler(profile_with)
    looks = looks_between(blocks, most_blocks)
    with open_engines(sqlite=engine != "postgresql", postgresql=engine != "sqlite", url=url) as engines:
        comparisons = make_comparisons(names or [], engines)
        visits = looks.blocks[-1] * sum(len(comparison.arms) for comparison in comparisons)
        with tqdm(total=visits, unit="visit", disable=not sys.stderr.isatty(), leave=False) as bar:
            run = run_bench(
                comparisons,
                looks,
                engines=[opened.title for opened in engines],
                environment=read_environment(Path(tempfile.gettempdir())),
                measured_at=datetime.now(UTC),
                seed=seed,
                budget_seconds=budget_seconds,
                visited=bar.update,
            )
        if profiler is not None:
            write_bench(run, output)  # whatever becomes of the profiles
            run = profile_ours(run, profiler, str(profile_with), output)
    _write(run, output)
    if any(result.verdict == "over" for result in run.results):
        raise typer.Exit(1)


def _write(run: BenchRun, output: Path) -> None:
    """Write the files of a bench, and print its table and where they are."""
    from perflab.lab.bench.bench_files import bench_table, write_bench
    from perflab.lab.bench.run import PROFILES
    from perflab.lab.profiling.pages import INDEX

    files = write_bench(run, output)
    typer.echo(bench_table(run.results))
    typer.echo(run.noise.describe())
    typer.echo(f"written to {files.markdown}, {files.samples} and {files.summary}")
    if run.profiles:
        typer.echo(f"profiles: {output / PROFILES / INDEX}")
