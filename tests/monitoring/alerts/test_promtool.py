"""Exported rules in promtool: it reads them, and they fire and end as ours do. Run by `make test-prometheus`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from perflab.monitoring.alerts.evaluation import AlertEvaluator
from perflab.monitoring.alerts.prometheus_rules import prometheus_rules
from perflab.monitoring.alerts.rule import AlertRule
from perflab.monitoring.alerts.rule_files import default_rules
from perflab.monitoring.table_state import OLDEST
from tests.monitoring.snapshots import change_of

pytestmark = pytest.mark.prometheus
STEP = 15
AGES = [0, 150, 150, 90, 101, 120, 70, 40, 60, 110, 110, 110, 0, 0, 0, 0]


def promtool(*arguments: object) -> None:
    run = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_default_rules_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(prometheus_rules(default_rules()))
    promtool("check", "rules", path)


@pytest.mark.parametrize("clear", [None, 50.0])
@pytest.mark.parametrize(("for_seconds", "keep_seconds"), [(0.0, 0.0), (15.0, 0.0), (0.0, 30.0), (15.0, 30.0)])
def test_they_fire_when_ours_do(tmp_path: Path, clear: float | None, for_seconds: float, keep_seconds: float) -> None:
    rule = AlertRule(
        "queue_old",
        "queue_age_seconds",
        above=100.0,
        clear=clear,
        for_seconds=for_seconds,
        keep_seconds=keep_seconds,
        summary="Late.",
    )
    evaluator = AlertEvaluator([rule])
    is_firing = []
    for number, age in enumerate(AGES):
        evaluator.evaluate(change_of((number - 1) * STEP, number * STEP, gauges={(OLDEST, "mail"): age}))
        is_firing.append(any(alert.fired_at is not None for alert in evaluator.alerts))
    assert set(is_firing) == {True, False}

    (tmp_path / "rules.yml").write_text(prometheus_rules([rule]))
    case = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": f"{STEP}s",
        "tests": [
            {
                "interval": f"{STEP}s",
                "input_series": [
                    {
                        "series": 'perflab_queue_oldest_due_seconds{job="perflab", instance="a", queue="mail"}',
                        "values": " ".join(map(str, AGES)),
                    }
                ],
                "promql_expr_test": [
                    {
                        "expr": 'count by (queue) (ALERTS{alertstate="firing"})',
                        "eval_time": f"{number * STEP}s",
                        "exp_samples": [{"labels": '{queue="mail"}', "value": 1}] if fires else [],
                    }
                    for number, fires in enumerate(is_firing)
                ],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(json.dumps(case))
    promtool("test", "rules", tmp_path / "test.yml")
