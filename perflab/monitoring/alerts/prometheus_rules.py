"""Rules as a file that Prometheus reads, with the same meaning."""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import ceil

from perflab.monitoring.alerts.rule import AlertRule

GROUP = "perflab"
EVALUATED_SECONDS = 15


def prometheus_rules(rules: Iterable[AlertRule]) -> str:
    """A rule file (https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/).

    Texts are quoted as JSON, which is YAML, so that no name or sentence can be taken for anything else.
    """
    lines = ["groups:", f"  - name: {GROUP}", f"    interval: {EVALUATED_SECONDS}s", "    rules:"]
    for rule in rules:
        lines += [
            f"      - alert: {alert_name(rule)}",
            f"        expr: {json.dumps(expression(rule))}",
            f"        for: {_duration(rule.for_seconds)}",
            *([f"        keep_firing_for: {_duration(rule.keep_seconds)}"] if rule.keep_seconds else []),
            "        labels:",
            f"          severity: {rule.severity}",
            "        annotations:",
            f"          summary: {json.dumps(_escaped(rule.summary or rule.condition()))}",
            f"          description: {json.dumps(f'{rule.signal} is {{{{ $value }}}}; {_escaped(rule.condition())}')}",
        ]
    return "\n".join(lines) + "\n"


def alert_name(rule: AlertRule) -> str:
    """In the case that alerts of Prometheus have: PerflabQueueOld."""
    return "Perflab" + "".join(part.capitalize() for part in rule.name.split("_"))


def expression(rule: AlertRule) -> str:
    """When the rule is broken.

    Prometheus has one limit for an alert; the other one, `clear`, holds where it knows from `ALERTS` that it fires.
    """
    signal, seconds = rule.watched, ceil(rule.window_seconds)
    value = signal.reading.expression(signal.by, seconds)
    sign = ">" if rule.above is not None else "<"
    broken = f"({value}) {sign} {rule.limit:g}"
    on = ", ".join(("job", "instance", *signal.by))
    if rule.clear is not None:
        fires = f'ALERTS{{alertname="{alert_name(rule)}", alertstate="firing"}}'
        broken = f"{broken} or (({value}) {sign} {rule.clear:g} and on ({on}) {fires})"
    if signal.evidence is not None and rule.at_least is not None:
        broken = f"({broken}) and on ({on}) {signal.evidence.expression(signal.by, seconds)} >= {rule.at_least}"
    return broken


def _duration(seconds: float) -> str:
    return f"{ceil(seconds * 1_000)}ms" if seconds % 1 else f"{int(seconds)}s"


def _escaped(text: str) -> str:
    """Annotations are templates of Go: braces of a summary are to be shown."""
    return text.replace("{{", '{{ "{{" }}')
