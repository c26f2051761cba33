"""`perflab load`: arrivals on a schedule, from processes of their own, and what comes of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import typer

from perflab.cli import load_options as options
from perflab.cli.database_url import SchedulerAddress, ServerUrl, server_url
from perflab.cli.examples import examples
from perflab.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from perflab.lab.load.plan import LoadPlan

EXAMPLES = examples(
    "perflab load --rate 1000",
    "perflab load --engine postgresql --rate 300 --writes single --workers 2 --service exponential:0.002",
    "perflab load --trace requests.parquet --time-column at --speed-up 100 --json",
    "perflab load --clients 16 --generators 2",
    "perflab load --engine postgresql --url postgresql://… --scheduler tcp://host:8786 --generators 8 --rate 4000",
)
CLOSED_RATE = 20_000.0
"""Items a second that are made for clients, more than they get done."""


def load(
    *,
    engine: options.LoadedEngine = "sqlite",
    url: ServerUrl = None,
    rate: options.Rate = 500.0,
    arrivals: options.Arrivals = "poisson",
    on: options.OnSeconds = 1.0,
    off: options.OffSeconds = 1.0,
    trace: options.Trace = None,
    time_column: options.TimeColumn = "",
    size_column: options.SizeColumn = "",
    service_column: options.ServiceColumn = "",
    speed_up: options.SpeedUp = 1.0,
    clients: options.Clients = None,
    duration: options.Duration = 10.0,
    warm_up: options.WarmUp = 2.0,
    mix: options.Mix = "enqueue",
    payload_bytes: options.PayloadBytes = "200",
    service: options.Service = "0",
    writes: options.Writes = "batched",
    batch_size: options.BatchSize = 500,
    flush_interval_ms: options.FlushIntervalMs = 10.0,
    connections: options.Connections = 4,
    generators: options.Generators = 1,
    workers: options.Workers = 0,
    concurrency: options.Concurrency = 4,
    durability: options.Durability = "normal",
    seed: options.Seed = 20130705,
    scheduler: SchedulerAddress = None,
    json: options.AsJson = False,
) -> None:
    """Load a fresh database on a schedule, and report response, service and lag side by side.

    The schedule is made beforehand, and kept whatever the database does: times count from the intended moment. What is
    in the database afterwards is compared with what was acknowledged. Exits with 1 when the load was more than could be
    taken, or items failed.
    """
    from perflab.lab.load.plan import LoadPlan
    from perflab.lab.workloads.schedule import ScheduleRecipe

    if clients is not None and trace is not None:
        raise InvalidInput("--clients wait for answers, and --trace has times of its own: give one of them")
    rate, arrivals = (rate, arrivals) if clients is None else (CLOSED_RATE, "constant")
    times = _generated(rate, arrivals, on, off) if trace is None else _traced(trace, speed_up)
    columns = _columns(trace, time_column, size_column, service_column)
    drawn = _drawn(mix, payload_bytes, service)
    plan = LoadPlan(
        ScheduleRecipe(_seconds(warm_up, duration), seed=seed, **times, **columns, **drawn),
        engine=engine,
        warm_up_seconds=warm_up,
        writes=writes,
        generators=generators,
        clients=clients,
        connections=connections,
        workers=workers,
        concurrency=concurrency,
        batch_size=batch_size,
        flush_interval=flush_interval_ms / 1_000,
        durability=durability,
    )
    if not _run(plan, server_url(url, engine), scheduler, as_json=json):
        raise typer.Exit(1)


def _run(plan: LoadPlan, url: str | None, scheduler: str | None, *, as_json: bool) -> bool:
    """Run the load, print what came of it, and return whether all of it was taken."""
    from json import dumps

    from perflab.lab.load.report import load_text, load_values
    from perflab.lab.load.run import run_load

    with _LiveLine(plan) as line, _generators(plan, url, scheduler) as generators:
        findings = run_load(plan, url, heard=line.heard, **generators)
    typer.echo(dumps(load_values(findings), indent=2) if as_json else load_text(findings))
    return findings.stable and not findings.failed


def _seconds(warm_up: float, duration: float) -> float:
    from perflab.database.values import check_number

    return check_number(warm_up + duration, "--warm-up and --duration together", high=86_400.0, above_low=True)


def _generated(rate: float, arrivals: str, on: float, off: float) -> dict[str, Any]:
    return {"rate_per_second": rate, "arrivals": arrivals, "on_seconds": on, "off_seconds": off}


def _traced(trace: Path, speed_up: float) -> dict[str, Any]:
    return {"arrivals": "trace", "trace": str(trace), "speed_up": speed_up}


def _columns(trace: Path | None, time_column: str, size_column: str, service_column: str) -> dict[str, Any]:
    if (trace is None) != (not time_column):
        raise InvalidInput("a trace needs both --trace FILE and --time-column NAME")
    if trace is None and (size_column or service_column):
        raise InvalidInput("--size-column and --service-column are of a trace: add --trace FILE")
    return {"time_column": time_column, "size_column": size_column, "service_column": service_column}


def _drawn(mix: str, payload_bytes: str, service: str) -> dict[str, Any]:
    from perflab.lab.load.plan import OPERATIONS
    from perflab.lab.workloads.distributions import parse_distribution
    from perflab.lab.workloads.operation_mix import parse_mix

    return {
        "mix": parse_mix(mix, OPERATIONS),
        "payload": parse_distribution(payload_bytes, "--payload-bytes"),
        "service": parse_distribution(service, "--service"),
    }


@contextmanager
def _generators(plan: LoadPlan, url: str | None, scheduler: str | None) -> Iterator[dict[str, Any]]:
    """Where the generators are: processes of this machine, or workers of a Dask scheduler."""
    if scheduler is None:
        yield {}
        return
    from perflab.lab.distributed.cluster import open_cluster
    from perflab.lab.distributed.generators import generators_on

    with open_cluster(scheduler) as cluster:
        cluster.check_reach(plan.engine, url)
        yield {"open_generators": generators_on(cluster)}


class _LiveLine:
    """How far a load is, where a terminal is."""

    def __init__(self, plan: LoadPlan) -> None:
        from tqdm import tqdm

        self._bar: Any = tqdm(
            total=plan.recipe.duration_seconds,
            disable=not sys.stderr.isatty(),
            leave=False,
            bar_format="{desc}: {elapsed} of about {total:.0f} s |{bar}| {postfix}",
            desc=plan.model,
        )
        self._started: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.close()

    def heard(self, progress: list[Any]) -> None:
        """Draw what all generators told last."""
        import time

        if self._started is None:
            self._started = time.monotonic()
        self._bar.n = min(self._bar.total, time.monotonic() - self._started)
        if not progress:  # they are elsewhere, and tell when they are done
            return
        sent, done = sum(one.sent for one in progress), sum(one.done for one in progress)
        failed = sum(one.failed for one in progress)
        self._bar.set_postfix_str(
            f"{sent:,} sent, {done:,} done, {sent - done:,} under way{f', {failed:,} FAILED' if failed else ''}"
        )
