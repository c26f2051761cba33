"""`perflab tune`: batch size and flush interval for a database of yours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from perflab.cli.database_url import DatabaseUrl, database_url
from perflab.cli.examples import examples
from perflab.errors import InvalidInput

EXAMPLES = examples(
    "perflab tune sqlite:///lab.db --slo 20ms",
    "perflab tune postgresql://me@db/lab --slo 50ms --arrivals 2000 --budget 120",
    "PERFLAB_DATABASE_URL=postgresql://… perflab tune --slo 20ms --report ''",
)


def tune(
    url: DatabaseUrl = None,
    *,
    slo: Annotated[
        str,
        typer.Option(
            "--slo", metavar="TIME", help="The p99 from when an item is due to its result, such as 20ms or 0.5s."
        ),
    ] = "20ms",
    arrivals: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="Items a second that you expect. Without it a third of what the database takes, 5,000 at the most.",
            show_default=False,
        ),
    ] = None,
    budget: Annotated[float, typer.Option(metavar="SECONDS", help="How long measuring may take.")] = 60.0,
    durability: Annotated[Literal["normal", "full"], typer.Option(help="Of the database.")] = "normal",
    seed: Annotated[int, typer.Option(help="Of orders and arrivals.")] = 20130705,
    report: Annotated[
        str,
        typer.Option(metavar="FILE", help="An HTML page with figures goes here, with their data; '' for none."),
    ] = "reports/tune.html",
) -> None:
    """Measure your database and say which batch size and flush interval to use.

    Nothing of yours is read or written: on PostgreSQL it works in a scratch schema, on SQLite in a scratch folder
    beside the file, and both are removed at the end, also after Ctrl-C or SIGTERM; what kill -9 leaves is removed by
    the next run. The server does the work while it lasts, with a CHECKPOINT before each measurement where you may.
    Exits with 1 when no setting meets the target, or the second measurement did not confirm it.
    """
    from perflab.lab.quantities import parse_seconds
    from perflab.lab.tune.report import write_report
    from perflab.lab.tune.request import TuneRequest
    from perflab.lab.tune.tune import tune as find_setting

    request = TuneRequest(
        database_url(url),
        latency_target=parse_seconds(slo, "--slo"),
        arrivals=arrivals,
        budget=budget,
        durability=durability,
        seed=seed,
    )
    page = Path(report) if report else None
    if page is not None:
        prepare(page)
    found = find_setting(request)
    typer.echo(found.measured)
    for paragraph in found.describe():
        typer.echo(paragraph)
    typer.echo(f"\n{found.paste}")
    if page is not None:
        write_report(found, page)
        typer.echo(f"\nreport: {page}")
    if not found.confirmed:
        raise typer.Exit(1)


def prepare(page: Path) -> None:
    """Make sure, before anything is measured, that the page can be written.

    Raises:
        InvalidInput: it is a folder, or its own folder is not there.
    """
    if page.parent == Path("reports"):
        page.parent.mkdir(exist_ok=True)
    if page.is_dir() or not page.parent.is_dir():
        raise InvalidInput(f"--report is {str(page)!r}: name a file in a folder that exists, or '' for none")
