"""`perflab report`: run a notebook with parameters and write a self-contained HTML page."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from perflab.cli.examples import examples
from perflab.errors import InvalidInput

EXAMPLES = examples(
    "perflab report 02",
    "perflab report 02 --engine postgresql --profile full",
    "perflab report notebooks/01_first_look.ipynb -p engine=sqlite --output reports/nightly",
)
NOTEBOOKS = Path("notebooks")


def report(  # noqa: PLR0917  # options of a command are given by name
    notebook: Annotated[str, typer.Argument(help="A notebook file, or the name or number of one in ./notebooks.")],
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", metavar="KEY=VALUE", help="A parameter of the notebook; may be repeated."),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="smoke, quick or full, if the notebook has profiles.")
    ] = None,
    engine: Annotated[
        Literal["sqlite", "postgresql"] | None,
        typer.Option(
            help="What to measure, if the notebook has a choice. PostgreSQL is an embedded server, or the one that the "
            "environment variable PERFLAB_LAB_URL names: in a scratch schema there, which is removed again."
        ),
    ] = None,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the report is written.")] = Path("reports"),
    timeout: Annotated[
        int | None, typer.Option(metavar="SECONDS", min=1, help="Stop when one cell runs longer than this.")
    ] = None,
) -> None:
    """Run a notebook and write a self-contained HTML report.

    Prints the path of the report, then the headline numbers. Exits with 1 when a cell failed: the report is then
    written as far as the run came. Exits with 2 when the notebook or a parameter was refused and nothing ran.
    """
    path = find_notebook(notebook, folder=NOTEBOOKS)
    parameters = parse_parameters([*(parameter or []), *([f"engine={engine}"] if engine else [])])

    from perflab.lab.report.run import run_report

    result = run_report(
        path,
        parameters=parameters,
        profile=profile,
        output_directory=output,
        cell_timeout_seconds=timeout,
        progress=sys.stderr.isatty(),
    )
    typer.echo(result.html)
    if result.headline:
        typer.echo(result.headline)
    if result.failed_cell is not None:
        reason = " ".join((result.error or "").split())
        typer.echo(f"perflab: cell {result.failed_cell} of {path.name} failed: {reason}", err=True)
        raise typer.Exit(1)


def find_notebook(name: str, *, folder: Path) -> Path:
    """The notebook that `name` means: a file, or in `folder` a name, or the beginning of one up to an underscore.

    Raises:
        InvalidInput: There is none, or more than one.
    """
    if name.endswith(".ipynb") and Path(name).exists():
        return Path(name)
    if Path(name).name != name:
        raise InvalidInput(f"there is no notebook {name!r}: give the path of an .ipynb file, or a name in {folder}/")
    known = {path.stem: path for path in sorted(folder.glob("*.ipynb"))}
    wanted = name.removesuffix(".ipynb")
    matches = [wanted] if wanted in known else [stem for stem in known if stem.startswith(f"{wanted}_")]
    if len(matches) == 1:
        return known[matches[0]]
    if matches:
        raise InvalidInput(f"{name!r} is the beginning of {', '.join(matches)} in {folder}/: give more of the name")
    near = difflib.get_close_matches(wanted, known, n=1)
    if near:
        raise InvalidInput(f"there is no notebook {name!r}: did you mean {near[0]}?")
    listed = f"{folder}/ has {', '.join(known)}" if known else f"there are none in {folder.resolve()}"
    raise InvalidInput(f"there is no notebook {name!r}: {listed}")


def parse_parameters(assignments: list[str]) -> dict[str, str]:
    """`key=value` texts as a mapping; everything after the first equals sign is the value.

    Raises:
        InvalidInput: One has no equals sign, no name, or a name that was given before.
    """
    parameters: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name.isidentifier():
            from perflab.database.urls import redact

            raise InvalidInput(
                f"give a parameter as key=value, such as -p batch_size=500, not as {redact(assignment)!r}"
            )
        if name in parameters:
            raise InvalidInput(f"the parameter {name!r} is given twice: give it once")
        parameters[name] = value
    return parameters
