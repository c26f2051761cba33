"""`perflab scheduler`: tick for the watches of a database."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from perflab.cli.database_url import DatabaseUrl, existing_database_url
from perflab.cli.examples import examples
from perflab.cli.metrics import MetricsOption, monitored_if

if TYPE_CHECKING:
    from perflab.scheduler.watch import TickReport

EXAMPLES = examples(
    "perflab scheduler sqlite:///lab.db",
    "PERFLAB_DATABASE_URL=postgresql://… perflab scheduler --interval 0.5 --json",
    "perflab scheduler sqlite:///lab.db --once    # from a crontab or a test",
)


def scheduler(
    url: DatabaseUrl = None,
    *,
    interval: Annotated[float, typer.Option(help="Seconds from the start of a tick to the start of the next.")] = 1.0,
    limit: Annotated[int, typer.Option(help="Watches that one tick takes at most.")] = 100_000,
    once: Annotated[bool, typer.Option("--once", help="Enqueue what is due now, and end.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="For machines: a line for each tick that found watches due, and a last one.")
    ] = False,
    metrics: MetricsOption = True,
) -> None:
    """Enqueue the jobs of watches whose slot has come, until SIGTERM or Ctrl-C.

    Run as many as you like, on as many machines: each slot is enqueued once. A tick at work is finished before it ends.
    """
    import logging
    import threading

    from perflab.database.database import Database
    from perflab.database.schema import check_schema
    from perflab.queue.stop_signals import stop_signals
    from perflab.scheduler.scheduler import Scheduler

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(message)s")
    stop = threading.Event()

    def tell(report: TickReport) -> None:
        if report.due:
            typer.echo(json.dumps({"tick": asdict(report)}) if as_json else _describe(report))
        if once and not report.more:
            stop.set()

    with Database.open(existing_database_url(url)) as database, stop_signals(stop.set):
        check_schema(database)
        ticking = Scheduler(database)
        with monitored_if(metrics, database):
            ticking.run(interval=interval, limit=limit, stop=stop, on_tick=tell)
        total = ticking.metrics()
        typer.echo(
            json.dumps({"total": asdict(total)})
            if as_json
            else f"{total.ticks:,} ticks: {total.due:,} due, {total.enqueued:,} jobs"
        )


def _describe(report: TickReport) -> str:
    others = {
        "skipped": report.skipped,
        "backed off": report.backed_off,
        "late": report.late,
        "jobs of missed slots": report.caught_up,
    }
    parts = [f"{report.due:,} due", f"{report.enqueued:,} jobs"]
    parts += [f"{count:,} {what}" for what, count in others.items() if count]
    return f"{', '.join(parts)}; {report.lag_seconds:.1f} s behind, in {report.seconds * 1e3:.1f} ms"
