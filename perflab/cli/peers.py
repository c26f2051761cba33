"""`perflab peers`: the queue beside others, interleaved in one run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from perflab.cli.database_url import ServerUrl, server_url
from perflab.cli.examples import examples

EXAMPLES = examples(
    "pip install 'perflab[peers]'",
    "perflab peers --engine sqlite",
    "perflab peers pgqueuer --engine postgresql --profile smoke",
)

BATCHER_BLOCKS = 6


def peers(
    names: Annotated[
        list[str] | None, typer.Argument(help="Queues to measure beside ours; all if none.", show_default=False)
    ] = None,
    *,
    engine: Annotated[Literal["sqlite", "postgresql", "both"], typer.Option(help="Where to meet.")] = "both",
    url: ServerUrl = None,
    profile: Annotated[
        Literal["smoke", "quick", "full"],
        typer.Option(help="A proof that it works, some five minutes, or a quarter of an hour."),
    ] = "quick",
    seed: Annotated[int, typer.Option(help="Of the orders.")] = 20130705,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where peers.md, peers.json and peers.csv go.")] = (
        Path("reports")
    ),
) -> None:
    """Measure perflab's queue and batcher beside others on the same engine, each in its best documented setting.

    Peers that are not installed are named in the tables. Exits with 1 when a queue failed, or a promise is missed that
    the raw driver keeps.
    """
    from tqdm import tqdm

    from perflab.lab.bench.bench_files import bench_table
    from perflab.lab.bench.comparison import compare
    from perflab.lab.peers.batchers import batcher_comparisons
    from perflab.lab.peers.catalogue import NOT_MEASURED, find_queue
    from perflab.lab.peers.measure import INSTALL, measure_peers, visits_of
    from perflab.lab.peers.plan import peers_plan
    from perflab.lab.peers.report import promise_table, throughput_table, write_peers

    url = server_url(url, engine)
    for name in names or ():
        if name not in NOT_MEASURED:
            find_queue(name)
    engines: list[Literal["sqlite", "postgresql"]] = ["sqlite", "postgresql"] if engine == "both" else [engine]
    plans = [peers_plan(profile, engine=each, seed=seed) for each in engines]
    total = sum(visits_of(plan, names or ()) for plan in plans)
    with tqdm(total=total, unit="visit", disable=not sys.stderr.isatty(), leave=False) as bar:
        found = [measure_peers(plan, url, names=names or (), visited=bar.update) for plan in plans]
    comparisons = batcher_comparisons() if "sqlite" in engines and not names else []
    batchers = compare(comparisons, blocks=BATCHER_BLOCKS, seed=seed)
    files = write_peers(found, output, batchers)
    for findings in found:
        typer.echo(f"{findings.environment['engine']}\n{throughput_table(findings)}\n\n{promise_table(findings)}\n")
    if batchers:
        typer.echo(bench_table(batchers))
    typer.echo(f"written to {files.page}, {files.summary} and {files.samples}")
    known = {INSTALL, *NOT_MEASURED.values()}
    failed = [name for findings in found for name, reason in findings.reasons.items() if reason not in known]
    if failed or any(judgement.verdict == "missed" for findings in found for judgement in findings.judgements):
        raise typer.Exit(1)
