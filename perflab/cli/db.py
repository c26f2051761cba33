"""`perflab db`: embedded servers, migrations, and a look at a database.

To add a command: write its function here or in a module of its own, and register it with `db.command()`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from perflab.cli.database_url import DatabaseUrl, database_url
from perflab.cli.db_advise import advise
from perflab.cli.examples import examples
from perflab.cli.terminal import print_diagnosis
from perflab.errors import InvalidInput, LifecycleError

DIRECTORY = Path("perflab-postgres")

Directory: TypeAlias = Annotated[
    Path,
    typer.Argument(metavar="DIR", help=f"Where the server lives; ./{DIRECTORY} if not given.", show_default=False),
]

db = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Start a PostgreSQL of your own, migrate a database, look at its health.

    Where a URL is asked for, the environment variable PERFLAB_DATABASE_URL will do too, and is the better place for a
    password. Passwords may also be left out of the URL: PGPASSWORD and ~/.pgpass are read.""",
)


@db.command(
    epilog=examples(
        "perflab db start",
        "export PERFLAB_DATABASE_URL=$(perflab db start /var/tmp/lab)",
        "perflab db start /var/tmp/lab --setting work_mem=64MB",
    )
)
def start(
    directory: Directory = DIRECTORY,
    setting: Annotated[
        list[str] | None,
        typer.Option("--setting", metavar="NAME=VALUE", help="Of PostgreSQL, until it stops; may be repeated."),
    ] = None,
) -> None:
    """Start an embedded PostgreSQL.

    Prints its URL. It goes on until `perflab db stop`; where there is none it is made, and where it runs it is left as
    it is.
    """
    from perflab.database.embedded import EmbeddedServer

    with EmbeddedServer.start(directory, settings=parse_settings(setting or []) or None, keep_running=True) as server:
        typer.echo(server.url)
    typer.echo(f"it runs until: perflab db stop {directory}", err=True)


@db.command(epilog=examples("perflab db stop", "perflab db stop /var/tmp/lab"))
def stop(
    directory: Directory = DIRECTORY,
    mode: Annotated[
        Literal["fast", "immediate"],
        typer.Option(help="fast rolls back what is open; immediate is a crash, after which the next start recovers."),
    ] = "fast",
) -> None:
    """Stop an embedded PostgreSQL.

    Its data stays, and whoever else uses it loses the connection.
    """
    from perflab.database.embedded import EmbeddedServer

    check_was_started(directory)
    server = EmbeddedServer.attach(directory)
    if server is None:
        typer.echo(f"no server runs in {directory}")
        return
    with server:
        server.stop(mode)
    typer.echo(f"stopped the server in {directory}")


@db.command(epilog=examples('psql "$(perflab db url /var/tmp/lab)"'))
def url(directory: Directory = DIRECTORY) -> None:
    """Print the URL of an embedded PostgreSQL.

    Exits with 2 where none runs in the directory.
    """
    from perflab.database.embedded import EmbeddedServer

    check_was_started(directory)
    server = EmbeddedServer.attach(directory)
    if server is None:
        raise LifecycleError(f"no server runs in {directory}: start it with perflab db start {directory}")
    with server:
        typer.echo(server.url)


@db.command(
    epilog=examples(
        "perflab db upgrade sqlite:///lab.db", "PERFLAB_DATABASE_URL=postgresql://me@db/lab perflab db upgrade"
    )
)
def upgrade(url: DatabaseUrl = None) -> None:
    """Make or migrate perflab's tables.

    Says from which revision to which. Tables of a newer perflab are refused and left alone.
    """
    from perflab.database.database import Database
    from perflab.database.schema import SCHEMA_REVISION
    from perflab.database.schema import upgrade as run_migrations

    with Database.open(database_url(url)) as database:
        before = run_migrations(database)
        if before == SCHEMA_REVISION:
            typer.echo(f"{database.url} is in revision {before} already, the newest")
        elif before is None:
            typer.echo(f"{database.url}: created perflab's tables in revision {SCHEMA_REVISION}")
        else:
            typer.echo(f"{database.url}: from revision {before} to {SCHEMA_REVISION}")


@db.command(
    epilog=examples(
        "perflab db doctor postgresql://me@db/lab",
        "perflab db doctor sqlite:///lab.db --json | jq '.checks[] | select(.verdict != \"ok\")'",
    )
)
def doctor(
    url: DatabaseUrl = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines: all checks with their figures.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 for a warning too.")] = False,
) -> None:
    """Say whether a database is fit.

    It looks, and changes nothing. Each line begins with ok, note (worth knowing), warn (slow, full or less durable than
    expected) or fail (perflab cannot work here, or can lose data). Exits with 1 where one says fail.
    """
    from perflab.database.doctor.diagnosis import Verdict
    from perflab.database.doctor.examine import examine

    diagnosis = examine(database_url(url))
    if as_json:
        typer.echo(json.dumps(diagnosis.as_json(), indent=2))
    else:
        print_diagnosis(diagnosis)
    failing = (Verdict.FAILURE, Verdict.WARNING) if strict else (Verdict.FAILURE,)
    if diagnosis.verdict in failing:
        raise typer.Exit(1)


db.command(
    epilog=examples(
        "perflab db advise postgresql://me@db/lab",
        "perflab db advise sqlite:///lab.db --statement 'SELECT * FROM job WHERE owner = ? ORDER BY run_at LIMIT 10'",
        "perflab db advise sqlite:///lab.db --no-prove --json",
    )
)(advise)


def check_was_started(directory: Path) -> None:
    """Refuse a directory in which there was never a server: most likely it is not the one that is meant.

    Raises:
        InvalidInput: it is one.
    """
    from perflab.database.embedded_directory import is_server_directory

    if not is_server_directory(directory):
        raise InvalidInput(f"no embedded server was ever started in {str(directory)!r}: name another directory")


def parse_settings(assignments: list[str]) -> dict[str, str]:
    """`name=value` texts as a mapping.

    Raises:
        InvalidInput: one has no equals sign, or a name that was given before.
    """
    settings: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise InvalidInput(f"give a setting as NAME=VALUE, such as --setting work_mem=64MB, not as {name!r}")
        if name in settings:
            raise InvalidInput(f"the setting {name!r} is given twice: give it once")
        settings[name] = value
    return settings
