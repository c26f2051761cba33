"""`perflab history`: costs over many runs, and where their level changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from perflab.cli.examples import examples

EXAMPLES = examples(
    "perflab bench enqueue claim done --output history/$(date +%F)",
    "perflab history history/ --html history.html",
    "perflab history history/ --since 2026-11-01",
)


def history(
    paths: Annotated[list[Path], typer.Argument(help="Runs, or folders that have them at any depth.")],
    *,
    min_change: Annotated[float, typer.Option(metavar="PERCENT", help="Smaller changes of level are left out.")] = 3.0,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="Rises before this time (UTC) are known: no 1."),
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with all figures.")] = None,
    form: Annotated[Literal["text", "json"], typer.Option("--format", help="How to print it.")] = "text",
) -> None:
    """Show how the costs of runs went over time, where their level changed, and what else changed then.

    Reads results stores of `perflab sweep` and folders of `perflab bench`. Costs of a bench are taken over the raw
    forms of the same run, so that a slow machine is no change.

    Exits with 0; with 1 when the last change of a cost is a rise that came with no change of machine or versions; with
    3 when it could not be read.
    """
    from perflab.lab.gate.history_page import write_history_page
    from perflab.lab.gate.history_text import history_data, history_text
    from perflab.lab.gate.run_history import read_history

    found = read_history(paths, min_relative_change=min_change / 100)
    if html is not None:
        write_history_page(found, html)
    typer.echo(json.dumps(history_data(found), indent=2, ensure_ascii=False) if form == "json" else history_text(found))
    if found.rises(None if since is None else since.replace(tzinfo=UTC)):
        raise typer.Exit(1)
