"""`perflab metrics grafana`: a dashboard, and what it needs around it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perflab.cli.examples import examples

EXAMPLES = examples("perflab metrics grafana monitoring --rules rules.toml")


def grafana(
    folder: Annotated[Path, typer.Argument(help="Where to write them. Nothing that is there is overwritten.")],
    *,
    rules: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Rules in TOML; else the default ones.", show_default=False)
    ] = None,
) -> None:
    """Write a dashboard for Grafana, its provisioning, a scrape configuration for Prometheus, and alerting rules."""
    from perflab.monitoring.alerts.rule_files import default_rules, read_rules
    from perflab.monitoring.grafana.files import write_files

    for path in write_files(folder, default_rules() if rules is None else read_rules(rules)):
        typer.echo(path)
