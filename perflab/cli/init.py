"""`perflab init`: a notebook and a workflow for CI in a project of yours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perflab.cli.examples import examples

EXAMPLES = examples(
    "perflab init",
    "perflab init services/ingest",
    "perflab init && perflab report notebooks/performance.ipynb --profile smoke",
)


def init(
    project: Annotated[
        Path, typer.Argument(metavar="DIR", help="Of your project; this one if not given.", show_default=False)
    ] = Path(),
) -> None:
    """Write a ready notebook and a workflow for GitHub Actions into a project.

    notebooks/performance.ipynb measures the database at your load and recommends a setting, and
    .github/workflows/perflab.yml runs it for each pull request, on both engines, and keeps the report. Both are yours
    to change. Nothing is overwritten: where one of them is there already, neither is written, and it exits with 2.
    """
    from perflab.lab.starter.write import write_starter

    notebook, workflow = write_starter(project)
    typer.echo(f"wrote {notebook} and {workflow}")
    typer.echo(f"next: perflab report {notebook} --profile smoke")
