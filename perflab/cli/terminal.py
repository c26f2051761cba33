"""What only a terminal gets: colour, and not where NO_COLOR asks for none (https://no-color.org)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from perflab.database.doctor.diagnosis import Diagnosis

COLOURS = {"ok": typer.colors.GREEN, "note": typer.colors.CYAN, "warn": typer.colors.YELLOW, "fail": typer.colors.RED}


def print_diagnosis(diagnosis: Diagnosis) -> None:
    """A line for each check; typer takes the colours out where it does not write to a terminal."""
    for check in diagnosis.checks:
        verdict, rest = check.describe().split(maxsplit=1)
        coloured = typer.style(f"{verdict:<4}", fg=COLOURS[verdict])
        typer.echo(f"{coloured}  {rest}", color=False if os.environ.get("NO_COLOR") else None)
