"""Where commands find the URL of the database: an argument or an option, or the environment.

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
"""Of commands whose object is a database."""

UrlOption: TypeAlias = Annotated[
    str | None, typer.Option("--url", metavar="URL", envvar=VARIABLE, help="Of the database.", show_default=False)
]
"""Of commands that look at one."""

ServerUrl: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="Your PostgreSQL server, or postgresql+embedded:///dir, with --engine postgresql; PERFLAB_LAB_URL is "
        "safer for a password. "
        "It is measured in a scratch schema that is removed again, with a CHECKPOINT before each visit where you may. "
        "Without it an embedded server is started.",
        show_default=False,
    ),
]
"""Of commands that load a server to measure it."""


SchedulerAddress: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Of a Dask scheduler, such as tcp://host:8786, whose workers do it.",
        show_default=False,
    ),
]
"""Of commands that can measure on several machines. Who may use a Dask scheduler may run anything on its workers."""


def database_url(url: str | None) -> str:
    """The URL that was given.

    Raises:
        InvalidInput: none was.
    """
    if not url:
        raise InvalidInput(f"no database is named: give its URL, such as sqlite:///lab.db, or set {VARIABLE}")
    return url


def existing_database_url(url: str | None) -> str:
    """The URL that was given, of a database that is there: a command must not make one where a path is mistyped.

    Raises:
        InvalidInput: none was given, or it is wrong.
        DatabaseUnusable: there is no such file or directory.
    """
    from perflab.database.presence import check_is_there

    given = database_url(url)
    check_is_there(given)
    return given


def server_url(url: str | None, engine: str) -> str | None:
    """The server that is measured, from the option or the lab's own variable; None for SQLite and the embedded one.

    Raises:
        InvalidInput: it was given for SQLite.
    """
    from perflab.lab.notebook import own_server_url

    if url is not None and engine == "sqlite":
        raise InvalidInput("--url names a PostgreSQL server: add --engine postgresql")
    return url or own_server_url(engine)
