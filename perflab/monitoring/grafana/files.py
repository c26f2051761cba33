"""Writes the files to where a Grafana and a Prometheus can take them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

from perflab.errors import InvalidInput
from perflab.monitoring.alerts.prometheus_rules import prometheus_rules
from perflab.monitoring.alerts.rule import AlertRule

RULES_FILE = "perflab.rules.yml"
PACKAGED = (
    "dashboards/perflab.json",
    "provisioning/dashboards/perflab.yml",
    "provisioning/datasources/perflab.yml",
    "prometheus.yml",
)


def write_files(folder: Path, rules: Iterable[AlertRule]) -> Sequence[Path]:
    """Write the dashboard, its provisioning, a scrape configuration and the rules into a folder.

    Returns:
        What was written.

    Raises:
        InvalidInput: one of the files is there already, or cannot be written; then none was written.
    """
    texts = {name: files("perflab.monitoring.grafana").joinpath(name).read_text(encoding="utf-8") for name in PACKAGED}
    texts[RULES_FILE] = prometheus_rules(rules)
    written = {folder / name: text for name, text in texts.items()}
    if there := [path for path in written if path.exists()]:
        raise InvalidInput(f"{str(there[0])!r} is there already: name another folder, or remove it")
    try:
        for path, text in written.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{str(folder)!r} cannot be written ({error.strerror}): name another folder") from error
    return list(written)
