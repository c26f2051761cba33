"""`perflab alerts`: what is wrong with the processes and queues of a database."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perflab.cli.database_url import UrlOption, existing_database_url
from perflab.cli.examples import examples
from perflab.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perflab.monitoring.alerts.evaluation import Alert
    from perflab.monitoring.alerts.rule import AlertRule
    from perflab.monitoring.alerts.watch import Notify

WEBHOOK_VARIABLE = "PERFLAB_ALERTS_WEBHOOK"
HAS_FIRED = 1
LONGEST_SECONDS = 86_400.0

EXAMPLES = examples(
    "perflab alerts --url sqlite:///lab.db                          # until Ctrl-C",
    "perflab alerts --url sqlite:///lab.db --rules my.toml --seconds 60 --at-once    # in CI: 1 if one fires",
    "perflab alerts --print toml > rules.toml                       # to begin your own",
    "perflab alerts --rules rules.toml --print prometheus > perflab.rules.yml",
)


class Form(StrEnum):
    TOML = "toml"
    PROMETHEUS = "prometheus"


def alerts(
    *,
    url: UrlOption = None,
    rules: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Rules in TOML; else the default ones.", show_default=False)
    ] = None,
    interval: Annotated[float, typer.Option(help="Seconds from one check to the next.")] = 15.0,
    seconds: Annotated[
        float | None,
        typer.Option(help="Watch for so long, then exit with 1 if an alert has fired.", show_default=False),
    ] = None,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="An alert fires at once, and not only after the `for` of its rule.")
    ] = False,
    webhook: Annotated[
        str | None,
        typer.Option(
            envvar=WEBHOOK_VARIABLE,
            metavar="URL",
            help="Send alerts there, too, as Alertmanager does. The variable is safer for a secret.",
            show_default=False,
            show_envvar=True,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each alert, for machines.")] = False,
    form: Annotated[
        Form | None, typer.Option("--print", help="Print the rules instead, for here or for Prometheus.")
    ] = None,
) -> None:
    """Say when batching, queues or ticks of a database go wrong, and when they are well again.

    Rules are applied to what the tables say, and to what processes publish that run `perflab worker`, `perflab
    scheduler` or `monitored(db)`. Counts begin with the first check. Nothing is written. Without --seconds it watches
    until SIGTERM or Ctrl-C.
    """
    from dataclasses import replace

    from perflab.database.values import check_number
    from perflab.monitoring.alerts.rule_files import default_rules, read_rules

    if form is not None:
        _print_rules(form, rules)
        return
    chosen = default_rules() if rules is None else read_rules(rules)
    if at_once:
        chosen = tuple(replace(rule, for_seconds=0.0) for rule in chosen)
    if seconds is not None:
        check_number(seconds, "--seconds", above_low=True, high=LONGEST_SECONDS)
    fired: set[str] = set()

    def tell(alert: Alert) -> None:
        if alert.until is None:
            fired.add(alert.rule.name)
        typer.echo(_as_json(alert) if as_json else _as_line(alert))

    _watch(existing_database_url(url), chosen, tell, webhook=webhook, interval=interval, seconds=seconds)
    if seconds is not None:
        if not as_json:
            typer.echo(f"fired: {', '.join(sorted(fired))}" if fired else f"none of {len(chosen)} rules fired")
        raise typer.Exit(HAS_FIRED if fired else 0)


def _watch(
    url: str,
    rules: Sequence[AlertRule],
    tell: Notify,
    *,
    webhook: str | None,
    interval: float,
    seconds: float | None,
) -> None:
    """Until the time is over, or a signal comes; the last check is at the end."""
    import logging
    import threading
    import time
    from contextlib import ExitStack

    from perflab.database.database import Database
    from perflab.monitoring.alerts.watch import AlertWatch
    from perflab.monitoring.alerts.webhook import Webhook
    from perflab.monitoring.source import of_database
    from perflab.queue.stop_signals import stop_signals

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(process)d %(levelname)s %(message)s")
    stop = threading.Event()
    with ExitStack() as stack:
        database = stack.enter_context(Database.open(url))
        stack.enter_context(stop_signals(stop.set))
        notify: list[Notify] = [tell]
        if webhook is not None:
            notify.append(stack.enter_context(Webhook(webhook)))
        watch = stack.enter_context(AlertWatch(of_database(database), rules, notify=notify, interval=interval))
        end = None if seconds is None else time.monotonic() + seconds
        while not stop.is_set() and (end is None or time.monotonic() < end):
            # not every signal wakes the main thread out of a longer wait
            stop.wait(1.0 if end is None else min(1.0, max(0.0, end - time.monotonic())))
        if seconds is not None:
            watch.check()


def _print_rules(form: Form, path: Path | None) -> None:
    from perflab.monitoring.alerts.prometheus_rules import prometheus_rules
    from perflab.monitoring.alerts.rule_files import default_rules, default_rules_text, read_rules

    if form is Form.TOML:
        if path is not None:
            raise InvalidInput("--print toml shows the default rules: leave --rules out")
        typer.echo(default_rules_text(), nl=False)
    else:
        typer.echo(prometheus_rules(default_rules() if path is None else read_rules(path)), nl=False)


def _as_line(alert: Alert) -> str:
    moment = datetime.fromtimestamp(alert.until or alert.fired_at or alert.since, UTC).astimezone()
    summary = f"\n  {alert.rule.summary}" if alert.until is None and alert.rule.summary else ""
    return f"{moment:%H:%M:%S} {alert.rule.severity}: {alert.describe()}{summary}"


def _as_json(alert: Alert) -> str:
    from perflab.monitoring.alerts.webhook import message

    return json.dumps(message(alert)["alerts"][0])
