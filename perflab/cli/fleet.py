"""`perflab fleet`: see what the batchers of several processes do, and change their settings while they run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perflab.cli.database_url import DatabaseUrl, existing_database_url
from perflab.cli.examples import examples
from perflab.errors import InvalidInput

if TYPE_CHECKING:
    from perflab.batching.fleet.fleet import Fleet
    from perflab.batching.fleet.metrics import FleetMetrics
    from perflab.batching.fleet.settings import FleetSettings
    from perflab.database.database import Database

NONE = "none"
"""In place of a number: each batcher as it was made."""

Name = Annotated[str, typer.Argument(metavar="FLEET", help="Its name, as in Fleet(db, name).")]

fleet = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""See and steer a fleet: the batchers of several processes on one database.

    Processes join with Fleet(db, name).join(). What is set here holds for all of them, while they run; it only tightens
    what each batcher was made with.""",
)


@fleet.command("list", epilog=examples("perflab fleet list sqlite:///lab.db"))
def list_(url: DatabaseUrl = None) -> None:
    """Print the names of the fleets, one a line."""
    from perflab.batching.fleet.fleet import fleet_names
    from perflab.database.database import Database

    with Database.open(existing_database_url(url)) as database:
        for name in fleet_names(database):
            typer.echo(name)


@fleet.command(
    epilog=examples(
        "perflab fleet show ingest sqlite:///lab.db",
        "PERFLAB_DATABASE_URL=postgresql://… perflab fleet show ingest --json | jq .pending",
    )
)
def show(
    name: Name,
    url: DatabaseUrl = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show the settings of a fleet, its members, and what is in flight.

    Counts are those that the members reported with their last heartbeat. A member that missed three is lost: killed,
    hung, or cut off.
    """
    from perflab.database.database import Database

    with Database.open(existing_database_url(url)) as database:
        metrics = _existing(database, name).metrics()
    typer.echo(json.dumps(as_dictionary(metrics), indent=2) if as_json else describe(name, metrics))


@fleet.command(
    "set",
    epilog=examples(
        "perflab fleet set ingest sqlite:///lab.db --batch-size 2000 --jitter 0.2",
        "PERFLAB_DATABASE_URL=postgresql://… perflab fleet set ingest --max-in-flight 4 --flush-interval none",
    ),
)
def set_(
    name: Name,
    url: DatabaseUrl = None,
    *,
    batch_size: Annotated[str | None, typer.Option(metavar="N|none", help="The most items of a batch.")] = None,
    flush_interval: Annotated[
        str | None, typer.Option(metavar="SECONDS|none", help="The most seconds that an item waits for its batch.")
    ] = None,
    max_in_flight: Annotated[
        str | None, typer.Option(metavar="N|none", help="Flushes in the database at once; on SQLite it is always 1.")
    ] = None,
    jitter: Annotated[
        float | None, typer.Option(help="Share of its wait, 0 to 1, by which each batch leaves earlier at random.")
    ] = None,
) -> None:
    """Change settings of a fleet; what is not named stays as it is. A fleet that is not there is made.

    A cap holds from the next flush on. The others reach a process at once where it listens (PostgreSQL), and else with
    the answer to its next flush or with its next heartbeat. `none` leaves a matter to each batcher.
    """
    from dataclasses import replace

    from perflab.batching.fleet.fleet import Fleet
    from perflab.database.database import Database

    given: dict[str, Any] = {
        "batch_size": _number(batch_size, "--batch-size", int),
        "flush_interval": _number(flush_interval, "--flush-interval", float),
        "max_in_flight": _number(max_in_flight, "--max-in-flight", int),
        "jitter": jitter,
    }
    changed: dict[str, Any] = {
        setting: None if value == NONE else value for setting, value in given.items() if value is not None
    }
    if not changed:
        raise InvalidInput("nothing to set: give --batch-size, --flush-interval, --max-in-flight or --jitter")
    with Database.open(existing_database_url(url)) as database:
        one = Fleet(database, name)
        settings = replace(one.settings(), **changed)
        one.configure(settings)
    typer.echo(f"fleet {name}: {describe_settings(settings)}")


def _number(text: str | None, option: str, kind: type[int | float]) -> int | float | str | None:
    """The number that was given, or `none` as it is.

    Raises:
        InvalidInput: it is neither.
    """
    if text is None or text == NONE:
        return text
    try:
        return kind(text)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number of seconds"
        raise InvalidInput(f"{option} is {text!r}: give {wanted}, or {NONE}") from None


def _existing(database: Database, name: str) -> Fleet:
    """The fleet of a name; a look at one that is not there does not make it.

    Raises:
        InvalidInput: there is none.
    """
    from perflab.batching.fleet.fleet import Fleet, fleet_names

    names = fleet_names(database)
    if name not in names:
        known = f"it has {', '.join(names)}" if names else "it has none"
        raise InvalidInput(f"this database has no fleet {name!r}: {known}; a process makes one with Fleet(db, name)")
    return Fleet(database, name)


def describe_settings(settings: FleetSettings) -> str:
    """In words; what is left to each batcher is left out."""
    parts = [
        "" if settings.batch_size is None else f"at most {settings.batch_size:,} items a batch",
        "" if settings.flush_interval is None else f"{settings.flush_interval:g} s of waiting",
        "" if settings.max_in_flight is None else f"{settings.max_in_flight:,} flushes in flight",
        f"jitter {settings.jitter:g}" if settings.jitter else "",
    ]
    return ", ".join(filter(None, parts)) or "every batcher as it was made"


def describe(name: str, metrics: FleetMetrics) -> str:
    """The fleet for a reader: settings, what is in flight, a line for each member, and their sum."""
    from collections import Counter

    states = Counter(str(member.state) for member in metrics.members)
    members = ", ".join(f"{count} {state}" for state, count in states.items()) or "no members"
    in_flight = ""
    if metrics.flushes_in_flight is not None:
        in_flight = f"; {metrics.flushes_in_flight} flushes in flight, {metrics.flushes_waiting} waiting for a slot"
    head = ["member", "state", "heard", *map(_heading, COUNTS)]
    rows = [
        [
            member.instance,
            str(member.state),
            f"{member.reported_seconds_ago:.1f} s ago",
            *(f"{getattr(member, count):,}" for count in COUNTS),
        ]
        for member in metrics.members
    ]
    total = ["together", "", "", *(f"{getattr(metrics, count):,}" for count in COUNTS)]
    lines = [f"fleet {name}: {describe_settings(metrics.settings)}", f"{members}{in_flight}"]
    return "\n".join([*lines, *_aligned([head, *rows, total])] if rows else lines)


COUNTS = ("items", "batches", "round_trips", "round_trips_saved", "retries", "failed", "pending")


def _heading(count: str) -> str:
    return {"round_trips": "trips", "round_trips_saved": "saved"}.get(count, count)


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if at < 2 else cell.rjust(width)  # names and states are texts
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def as_dictionary(metrics: FleetMetrics) -> dict[str, Any]:
    """The fleet for a machine: all fields, and the sums."""
    from dataclasses import asdict

    return {**asdict(metrics), **{count: getattr(metrics, count) for count in COUNTS}}
