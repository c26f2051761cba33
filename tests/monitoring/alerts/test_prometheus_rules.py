"""The rule file for Prometheus, by its structure; promtool reads it in `make test-prometheus`."""

from __future__ import annotations

from typing import Any

import yaml

from perflab.monitoring.alerts.prometheus_rules import prometheus_rules
from perflab.monitoring.alerts.rule import AlertRule, Severity
from perflab.monitoring.alerts.rule_files import default_rules


def read(*rules: AlertRule) -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(prometheus_rules(rules))["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def test_each_rule_is_there_with_its_name_duration_and_severity() -> None:
    rules = default_rules()
    found = read(*rules)
    assert [rule["alert"] for rule in found][:2] == ["PerflabItemsLost", "PerflabJobsDead"]
    assert [rule["for"] for rule in found] == [f"{rule.for_seconds:g}s" for rule in rules]
    assert [rule["labels"]["severity"] for rule in found] == [rule.severity for rule in rules]
    assert [rule["annotations"]["summary"] for rule in found] == [rule.summary for rule in rules]


def test_limit_hysteresis_and_evidence_stand_in_the_expression() -> None:
    (rule,) = read(
        AlertRule(
            "timer",
            "timer_flush_share",
            above=0.9,
            clear=0.5,
            for_seconds=1.5,
            keep_seconds=20.0,
            window_seconds=60.0,
            at_least=7,
        )
    )
    share = (
        '(sum by (job, instance, engine) (increase(perflab_flushes_total{cause="age"}[60s]))'
        " / (sum by (job, instance, engine) (increase(perflab_flushes_total[60s])) > 0))"
    )
    assert rule["expr"] == (
        f"({share} > 0.9 or ({share} > 0.5 and on (job, instance, engine) "
        'ALERTS{alertname="PerflabTimer", alertstate="firing"})) '
        "and on (job, instance, engine) sum by (job, instance, engine) (increase(perflab_flushes_total[60s])) >= 7"
    )
    assert (rule["for"], rule["keep_firing_for"]) == ("1500ms", "20s")


def test_a_summary_is_shown_and_never_run() -> None:
    (rule,) = read(
        AlertRule("x", "flushes", above=1.0, severity=Severity.INFO, summary='say "{{ .Labels }}":\n- no: list')
    )
    assert rule["annotations"]["summary"] == 'say "{{ "{{" }} .Labels }}":\n- no: list'
