"""`perflab metrics record` and `history`: what happened, minute by minute, and where it changed."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from perflab.cli.database_url import UrlOption, existing_database_url
from perflab.cli.examples import examples
from perflab.errors import InvalidInput

LONGEST_DAYS = 3_660.0
RECORD_EXAMPLES = examples("perflab metrics record --url sqlite:///lab.db    # until SIGTERM, as a service of its own")
HISTORY_EXAMPLES = examples(
    "perflab metrics history --url sqlite:///lab.db",
    "perflab metrics history --url sqlite:///lab.db --signal flush_p99_seconds --days 30 --step 3600",
)


class Form(StrEnum):
    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"


def record(
    *,
    url: UrlOption = None,
    minutes_days: Annotated[float, typer.Option(help="Days for which each minute has a row; then each hour.")] = 2.0,
    hours_days: Annotated[float, typer.Option(help="Days for which each hour has one.")] = 400.0,
) -> None:
    """Keep what happens in a table of the database, minute by minute, for `perflab metrics history`.

    Several may run: each minute is kept once.
    """
    import logging
    import threading

    from perflab.database.database import Database
    from perflab.monitoring.history.recorder import HistoryRecorder
    from perflab.monitoring.history.store import Retention
    from perflab.queue.stop_signals import stop_signals

    retention = Retention(minutes_days, hours_days)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(message)s")
    stop = threading.Event()
    with (
        Database.open(existing_database_url(url)) as database,
        stop_signals(stop.set),
        HistoryRecorder(database, retention),
    ):
        typer.echo(f"history of {database.url} is kept each minute")
        while not stop.wait(1.0):  # not every signal wakes the main thread out of a longer wait
            pass


def history(
    *,
    url: UrlOption = None,
    signal: Annotated[
        list[str] | None, typer.Option(help="Only this one; may be given several times.", show_default=False)
    ] = None,
    days: Annotated[float, typer.Option(help="How far to look back.")] = 1.0,
    step: Annotated[float, typer.Option(help="Seconds of a span, 60 or more.")] = 300.0,
    form: Annotated[Form, typer.Option("--format", help="For people, for a comment, or for a program.")] = Form.TEXT,
) -> None:
    """Show how signals went, and since when they are on another level.

    It reads what `perflab metrics record` has kept.
    """
    import time

    from perflab.database.database import Database
    from perflab.database.values import check_number
    from perflab.monitoring.history import report
    from perflab.monitoring.history.store import DAY_SECONDS, History
    from perflab.monitoring.history.trend import trends
    from perflab.monitoring.signals.catalogue import SIGNALS

    if unknown := sorted(set(signal or ()) - SIGNALS.keys()):
        raise InvalidInput(f"--signal is {unknown[0]!r}: choose of {', '.join(SIGNALS)}")
    check_number(days, "--days", above_low=True, high=LONGEST_DAYS)
    now = time.time()
    with Database.open(existing_database_url(url)) as database:
        spans = History(database).between(now - days * DAY_SECONDS, now, step)
    found = trends(spans, [SIGNALS[name] for name in signal or SIGNALS])
    if not found and form is Form.TEXT:
        typer.echo(f"nothing was kept of the last {days:g} days: `perflab metrics record` keeps it while it runs")
        return
    write = {Form.TEXT: report.as_text, Form.MARKDOWN: report.as_markdown, Form.JSON: report.as_json}[form]
    typer.echo(write(found))
