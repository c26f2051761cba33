"""`perflab sweep`: measure a grid of batch sizes and flush intervals, and recommend a setting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from perflab.cli.database_url import SchedulerAddress, ServerUrl, server_url
from perflab.cli.examples import examples
from perflab.errors import InvalidInput

if TYPE_CHECKING:
    from perflab.lab.statistics.looks import Looks
    from perflab.lab.sweep.plan import SweepPlan
    from perflab.lab.sweep.precision import RunSweep
    from perflab.lab.sweep.run import SweepReport
    from perflab.lab.sweep.store import ResultsStore

EXAMPLES = examples(
    "perflab sweep",
    "perflab sweep --profile full --most-blocks 60 --budget-seconds 1800",
    "perflab sweep --engine postgresql --added-latency-ms 2 --batch-sizes 1,10,100,1000 --store reports/far.duckdb",
    "PERFLAB_LAB_URL=postgresql://me@db/lab perflab sweep --engine postgresql --latency-target-ms 50",
)

AddedLatency: TypeAlias = Annotated[
    float | None,
    typer.Option(metavar="MS", help="Round trip that a proxy adds on the way to PostgreSQL; 0 adds only the proxy."),
]
MostBlocks: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Go on, up to so many blocks, until each throughput is known to --precision-percent.",
        show_default=False,
    ),
]
Axes: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE,…",
        help="Any other parameter of the plan, such as closed_loop_clients=8; may be repeated.",
        show_default=False,
    ),
]


def sweep(  # noqa: PLR0917  # options of a command are given by name
    engine: Annotated[Literal["sqlite", "postgresql"], typer.Option(help="What to measure.")] = "sqlite",
    url: ServerUrl = None,
    added_latency_ms: AddedLatency = None,
    profile: Annotated[Literal["smoke", "quick", "full"], typer.Option(help="How much to measure.")] = "quick",
    batch_sizes: Annotated[
        str | None, typer.Option(metavar="N,N,…", help="Batch sizes instead of those of the profile.")
    ] = None,
    flush_intervals_ms: Annotated[
        str | None, typer.Option(metavar="MS,MS,…", help="Flush intervals instead of those of the profile.")
    ] = None,
    blocks: Annotated[int | None, typer.Option(help="Blocks instead of those of the profile.")] = None,
    most_blocks: MostBlocks = None,
    precision_percent: Annotated[float, typer.Option(metavar="P", help="Of each throughput against the others.")] = 5.0,
    budget_seconds: Annotated[
        float, typer.Option(metavar="S", help="With --most-blocks: no more blocks than fit into this.")
    ] = 3_600.0,
    axes: Axes = None,
    latency_target_ms: Annotated[float, typer.Option(help="Largest p99 of the recommended setting.")] = 20.0,
    durability: Annotated[Literal["normal", "full"], typer.Option(help="Of the database.")] = "normal",
    seed: Annotated[int, typer.Option(help="Of the orders and of the stretches of the trace.")] = 20130705,
    store: Annotated[Path, typer.Option(metavar="FILE", help="Results go here; what it has is not measured again.")] = (
        Path("reports/sweep.duckdb")
    ),
    scheduler: SchedulerAddress = None,
    side_by_side: Annotated[
        bool, typer.Option("--side-by-side", help="Use all Dask workers at once, though they disturb each other.")
    ] = False,
) -> None:
    """Measure batch sizes and flush intervals over real traffic, and recommend a setting.

    With --most-blocks it looks three times at most at what is known, and ends when that is enough.
    Ctrl-C stops it; the same command goes on where it stopped. Exits with 1 when no setting meets the latency target.
    """
    from dataclasses import replace

    from perflab.lab.provenance import noise_of
    from perflab.lab.statistics.looks import Looks
    from perflab.lab.sweep.axes import with_axes
    from perflab.lab.sweep.findings import Findings
    from perflab.lab.sweep.profiles import standard_plan
    from perflab.lab.sweep.store import ResultsStore

    if not latency_target_ms > 0:
        raise InvalidInput(f"--latency-target-ms is {latency_target_ms}: it must be greater than 0")
    url = server_url(url, engine)
    plan = standard_plan(profile, engine=engine, url=url, seed=seed, durability=durability)
    plan = replace(plan, **chosen(batch_sizes, flush_intervals_ms, added_latency_ms, blocks))
    plan = with_axes(plan, axes or [])
    looks = None if most_blocks is None else Looks.spread(plan.blocks, most_blocks)
    if store.parent == Path("reports"):
        store.parent.mkdir(exist_ok=True)
    with ResultsStore(store) as results, sweeper(url, scheduler, side_by_side=side_by_side) as run:
        plan, report = measured(plan, results, looks, precision_percent / 100, budget_seconds, run=run)
        findings = Findings(plan, results)
        typer.echo(f"{report.measured} visits measured, {report.reused} found in {store}, in {report.seconds:.0f} s")
        if not (noise := noise_of(findings)).quiet:
            typer.echo(noise.describe())
        recommendation = findings.recommend(latency_target_ms / 1_000)
        if len(plan.closed_loop_batch_sizes) > 2:
            typer.echo(findings.cost_model.describe())
    typer.echo(recommendation.describe())
    if not hasattr(recommendation, "batch_size"):
        raise typer.Exit(1)


@contextmanager
def sweeper(url: str | None, scheduler: str | None, *, side_by_side: bool) -> Iterator[RunSweep]:
    """What measures: this process, or the workers of a Dask scheduler."""
    from functools import partial

    from perflab.lab.sweep.run import run_sweep

    if scheduler is None:
        if side_by_side:
            raise InvalidInput("--side-by-side is of Dask workers: add --scheduler ADDRESS")
        yield partial(run_sweep, url=url)
        return
    from perflab.lab.distributed.cluster import open_cluster
    from perflab.lab.distributed.sweep import run_distributed_sweep

    with open_cluster(scheduler) as cluster:
        yield partial(run_distributed_sweep, cluster, url=url, side_by_side=side_by_side)


def measured(
    plan: SweepPlan,
    store: ResultsStore,
    looks: Looks | None,
    precision: float,
    budget_seconds: float,
    *,
    run: RunSweep,
) -> tuple[SweepPlan, SweepReport]:
    """Measure the blocks of a plan, or as many as it takes; the plan that comes back has them."""
    from perflab.lab.sweep.precision import run_until_precise

    if looks is None:
        return plan, run(plan, store)
    found = run_until_precise(plan, store, looks, precision=precision, budget_seconds=budget_seconds, run=run)
    typer.echo(found.describe())
    return found.plan, found.report


def chosen(
    batch_sizes: str | None, flush_intervals_ms: str | None, added_latency_ms: float | None, blocks: int | None
) -> dict[str, Any]:
    """The parts of a plan that options give, in place of those of the profile."""
    changes: dict[str, Any] = {}
    if batch_sizes is not None:
        changes["closed_loop_batch_sizes"] = changes["replay_batch_sizes"] = tuple(parse_sizes(batch_sizes))
    if flush_intervals_ms is not None:
        changes["replay_flush_intervals"] = parse_milliseconds(flush_intervals_ms, "--flush-intervals-ms")
    if added_latency_ms is not None:
        changes["added_latencies"] = (added_latency_ms / 1_000,)
    if blocks is not None:
        changes["blocks"] = blocks
    return changes


def parse_sizes(text: str) -> list[int]:
    """Batch sizes of a comma-separated list.

    Raises:
        InvalidInput: one is not a whole number.
    """
    sizes = parse_numbers(text, "--batch-sizes")
    if fractions := [size for size in sizes if not size.is_integer()]:
        raise InvalidInput(f"--batch-sizes has {fractions[0]:g}: give whole numbers")
    return [int(size) for size in sizes]


def parse_milliseconds(text: str, what: str) -> tuple[float, ...]:
    """Times of a comma-separated list, as seconds.

    Raises:
        InvalidInput: one is no number.
    """
    return tuple(milliseconds / 1_000 for milliseconds in parse_numbers(text, what))


def parse_numbers(text: str, what: str) -> list[float]:
    """Numbers of a comma-separated list.

    Raises:
        InvalidInput: one is no number.
    """
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise InvalidInput(f"{what} is {text!r}: give numbers separated by commas, such as 1,10,100") from None
