"""`perflab compare`: the regression gate."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from perflab.cli.examples import examples
from perflab.errors import PerflabError

EXAMPLES = examples(
    "perflab compare main.duckdb branch.duckdb",
    "perflab compare base/ head/ --format markdown",
)

EXIT_NOT_MEASURED = 3
_USAGE_ERROR: Any = typer.BadParameter.__base__  # Typer has no name of its own for it


class GateCommand(TyperCommand):
    """A command whose 2 means "inconclusive": what is refused, or lacks a package, must not look like that."""

    def make_context(self, *arguments: Any, **settings: Any) -> Any:
        try:
            return super().make_context(*arguments, **settings)
        except _USAGE_ERROR as error:
            error.show()
            raise typer.Exit(EXIT_NOT_MEASURED) from error

    def invoke(self, *arguments: Any, **settings: Any) -> Any:
        try:
            return super().invoke(*arguments, **settings)
        except PerflabError as error:
            reason = str(error)
        except ModuleNotFoundError as error:
            reason = f"this command needs the package {error.name}; install it with: pip install 'perflab[lab]'"
        except typer.Exit:
            raise
        except Exception as error:  # a fault of ours must not end with Python's 1, which says "regression"
            traceback.print_exc()
            raise typer.Exit(EXIT_NOT_MEASURED) from error
        typer.echo(f"perflab: {' '.join(reason.split())}", err=True)
        raise typer.Exit(EXIT_NOT_MEASURED)


def compare(
    before: Annotated[Path, typer.Argument(metavar="A", help="The run to hold it against.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="The run to judge.")],
    *,
    margin: Annotated[float, typer.Option(metavar="PERCENT", help="Largest acceptable rise of a cost.")] = 10.0,
    floor_us: Annotated[
        float, typer.Option(metavar="US", help="Smaller rises of a time per item are acceptable, in microseconds.")
    ] = 0.05,
    floor_ms: Annotated[
        float, typer.Option(metavar="MS", help="Smaller rises of a latency are acceptable, in milliseconds.")
    ] = 0.5,
    level: Annotated[float, typer.Option(help="Confidence of the intervals, and of all regressions together.")] = 0.95,
    force: Annotated[bool, typer.Option("--force", help="Compare what different machines measured, too.")] = False,
    form: Annotated[Literal["text", "markdown", "json"], typer.Option("--format", help="How to print it.")] = "text",
) -> None:
    """Say whether B costs more than A.

    A and B are each a results store of `perflab sweep`, a folder that `perflab bench` wrote, or a folder with six or
    more of these: rounds, which are best measured in turns (A, B, B, A, …) so that what the machine does meets both.

    Exits with 0 for pass: a rise beyond the margin is ruled out; 1 for a regression: it is proven; 2 for inconclusive:
    measure more; 3 when it could not be measured, cells are missing, or it was refused.
    """
    from perflab.lab.gate.compare_runs import compare_runs
    from perflab.lab.gate.judgement import Thresholds
    from perflab.lab.gate.rendering import render

    thresholds = Thresholds(margin / 100, floor_us / 1e6, floor_ms / 1e3, level)
    comparison = compare_runs(before, after, thresholds, force=force)
    typer.echo(render(comparison, form), nl=False)
    raise typer.Exit(comparison.outcome.exit_code)
