"""`perflab dashboard`: a live page of what processes and tables of a database say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perflab.cli.database_url import VARIABLE, database_url
from perflab.cli.examples import examples
from perflab.cli.metrics import parse_address

EXAMPLES = examples(
    "perflab dashboard --url sqlite:///lab.db",
    "PERFLAB_DATABASE_URL=postgresql://… perflab dashboard --listen 127.0.0.1:8080",
    "PERFLAB_DASHBOARD_TOKEN=… perflab dashboard --url sqlite:///lab.db --listen 0.0.0.0:8765",
)
TOKEN_VARIABLE = "PERFLAB_DASHBOARD_TOKEN"  # noqa: S105  # the name of a variable
ALERT_SECONDS = 5.0
"""Between two applications of the rules, whose windows are minutes."""


def dashboard(
    *,
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", envvar=VARIABLE, help="Of the database.", show_default=False)
    ] = None,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to serve; port 0 takes a free one.")
    ] = "127.0.0.1:8765",
    rules: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Of alerts, in TOML; else the default ones.", show_default=False)
    ] = None,
    sweep: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Of a sweep's results; how far it is is shown where one is or was run."),
    ] = Path("reports/sweep.duckdb"),
    interval: Annotated[float, typer.Option(help="Seconds between two looks at the database, at least.")] = 1.0,
) -> None:
    """Serve a live page: throughput, batch sizes, flush causes and times, round trips saved, queues, workers, ticks.

    The figures come from the tables of the database and from what each process publishes into it, as `perflab worker`,
    `perflab scheduler` and programs inside of `with monitored(db)` do. Nothing is written, and reading takes at most a
    tenth of the time.

    Only this machine reaches it at 127.0.0.1. Elsewhere who looks at it needs a token: that of PERFLAB_DASHBOARD_TOKEN,
    or one that is drawn and printed. It goes over plain HTTP: on a network that you do not trust, use an SSH tunnel.
    """
    import logging
    import os
    import secrets
    import threading
    import time

    from perflab.database.database import Database
    from perflab.database.schema import check_schema
    from perflab.monitoring.alerts.rule_files import default_rules, read_rules
    from perflab.monitoring.alerts.watch import AlertWatch
    from perflab.monitoring.dashboard.live import Live
    from perflab.monitoring.dashboard.rings import SPANS
    from perflab.monitoring.dashboard.server import DashboardServer, is_loopback
    from perflab.monitoring.history.store import History
    from perflab.monitoring.source import of_database
    from perflab.monitoring.sweep_progress import SweepProgress
    from perflab.queue.stop_signals import stop_signals

    host, port = parse_address(listen)
    token = os.environ.get(TOKEN_VARIABLE) or (None if is_loopback(host) else secrets.token_urlsafe())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(message)s")
    chosen = default_rules() if rules is None else read_rules(rules)
    stop = threading.Event()
    with Database.open(database_url(url)) as database:
        check_schema(database)
        source = of_database(database)
        with AlertWatch(source, chosen, notify=(), interval=ALERT_SECONDS) as watch:
            live = Live(source, str(database.url), alerts=lambda: watch.alerts, sweep=lambda: SweepProgress.read(sweep))
            live.recall(History(database).between(time.time() - SPANS[-1].seconds, time.time()))
            with DashboardServer(live, host, port, token=token, interval=interval) as server, stop_signals(stop.set):
                typer.echo(f"dashboard of {database.url} at {server.url}")
                while not stop.wait(1.0):  # not every signal wakes the main thread out of a longer wait
                    pass
