"""Where commands find the URL of the database: an argument, or the environment.

The environment is the better place for a URL with a password: arguments stand in the list of processes, which every
user of the machine may read, and in the history of the shell.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from perflab.errors import InvalidInput

VARIABLE = "PERFLAB_DATABASE_URL"

DatabaseUrl: TypeAlias = Annotated[
    str | None,
    typer.Argument(
        metavar="URL",
        envvar=VARIABLE,
        help="sqlite:///lab.db, postgresql://user@host/name or postgresql+embedded:///dir.",
        show_default=False,
    ),
]


def required(url: str | None) -> str:
    """The URL that was given.

    Raises:
        InvalidInput: none was.
    """
    if not url:
        raise InvalidInput(f"no database is named: give its URL, such as sqlite:///lab.db, or set {VARIABLE}")
    return url
