"""`perflab metrics`: what processes and tables of a database say, as Prometheus reads it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from perflab.cli.database_url import UrlOption, existing_database_url
from perflab.cli.examples import examples
from perflab.cli.metrics_grafana import EXAMPLES as GRAFANA_EXAMPLES
from perflab.cli.metrics_grafana import grafana
from perflab.cli.metrics_history import HISTORY_EXAMPLES, RECORD_EXAMPLES, history, record
from perflab.errors import InvalidInput

if TYPE_CHECKING:
    from perflab.database.database import Database

LARGEST_PORT = 65_535

MetricsOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        help="Each second, write what this process has counted into the database, and log each failure in a line."
    ),
]
"""Of commands that work on a database for others to see."""


def monitored_if(wanted: bool, database: Database) -> AbstractContextManager[object]:
    """What `MetricsOption` asks for, for the length of a `with` block."""
    from perflab.monitoring.monitored import monitored

    return monitored(database) if wanted else nullcontext()


metrics = typer.Typer(rich_markup_mode=None)


@metrics.callback(
    invoke_without_command=True,
    no_args_is_help=True,
    epilog=examples(
        "perflab metrics --url sqlite:///lab.db --listen 127.0.0.1:9464",
        "PERFLAB_DATABASE_URL=postgresql://… perflab metrics --listen 127.0.0.1:9464",
        "perflab metrics --url sqlite:///lab.db --print    # once, for a script or the textfile collector",
    ),
)
def serve(
    context: typer.Context,
    *,
    url: UrlOption = None,
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Serve /metrics there until SIGTERM or Ctrl-C. Names of queues can be read by whoever reaches it.",
            show_default=False,
        ),
    ] = None,
    print_once: Annotated[bool, typer.Option("--print", help="Print them once instead.")] = False,
) -> None:
    """Serve metrics of a database for Prometheus, or print them.

    Two kinds: how queues, workers and watches are now, read from their tables at each scrape; and what each process
    counts that publishes into this database, as `perflab worker`, `perflab scheduler` and programs inside of
    `with monitored(db)` do, its series with a `process` label, which stay for five minutes after it has ended.
    Nothing is written.
    """
    if context.invoked_subcommand is not None:
        return
    import logging
    import threading

    from perflab.database.database import Database
    from perflab.monitoring.prometheus import MetricsServer, collector_registry
    from perflab.monitoring.source import of_database
    from perflab.queue.stop_signals import stop_signals

    if (listen is None) is not print_once:
        raise InvalidInput("say what to do with the metrics: --listen HOST:PORT, or --print")
    address = None if listen is None else parse_address(listen)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(message)s")
    with Database.open(existing_database_url(url)) as database:
        read = of_database(database)
        read()  # or say now why it cannot be
        registry = collector_registry(read)
        if address is None:
            from prometheus_client import generate_latest

            typer.echo(generate_latest(registry).decode(), nl=False)
            return
        stop = threading.Event()
        with MetricsServer(registry, *address) as server, stop_signals(stop.set):
            typer.echo(f"metrics of {database.url} at http://{server.host}:{server.port}/metrics")
            while not stop.wait(1.0):  # not every signal wakes the main thread out of a longer wait
                pass


def parse_address(text: str) -> tuple[str, int]:
    """The host and the port of `--listen`.

    Raises:
        InvalidInput: it is no address.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or len(port) > 5 or int(port) > LARGEST_PORT:
        raise InvalidInput(f"--listen is {text!r}: give a host and a port, such as 127.0.0.1:9464")
    return host, int(port)


metrics.command(epilog=RECORD_EXAMPLES)(record)
metrics.command(epilog=HISTORY_EXAMPLES)(history)
metrics.command(epilog=GRAFANA_EXAMPLES)(grafana)
