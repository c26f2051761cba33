"""`perflab doctor`: is this machine fit to measure, and what is installed on it?"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from perflab.cli.examples import examples
from perflab.cli.terminal import print_diagnosis

EXAMPLES = examples(
    "perflab doctor",
    "perflab doctor --strict && perflab sweep",
    "perflab doctor --json | jq '.checks[] | select(.verdict != \"ok\").advice'",
)


def doctor(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For machines: all checks with their figures.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 for a warning too.")] = False,
) -> None:
    """Say whether this machine is fit to measure, and which engines and extras are installed.

    It looks, and changes nothing. Each line begins with ok, note (worth knowing), warn (figures will be worse than they
    need be) or fail (nothing can be measured), and says what to do. Exits with 1 where one says fail. A database has a
    doctor of its own: perflab db doctor URL.
    """
    import tempfile
    from pathlib import Path

    from perflab.database.doctor.diagnosis import Verdict
    from perflab.lab.fitness.examine import examine_machine, next_step

    diagnosis = examine_machine(Path(tempfile.gettempdir()))
    if as_json:
        typer.echo(json.dumps({**diagnosis.as_json(), "next": next_step(diagnosis)}, indent=2))
    else:
        print_diagnosis(diagnosis)
        typer.echo(f"\n{next_step(diagnosis)}")
    if diagnosis.verdict is Verdict.FAILURE or (strict and diagnosis.verdict is Verdict.WARNING):
        raise typer.Exit(1)
