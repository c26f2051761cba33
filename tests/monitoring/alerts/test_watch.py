"""The watch: it reads, evaluates and tells."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import pytest

from perflab.errors import DatabaseError, InvalidInput
from perflab.monitoring.alerts.evaluation import Alert, AlertState
from perflab.monitoring.alerts.rule import AlertRule, Severity
from perflab.monitoring.alerts.watch import AlertWatch, log_alert
from perflab.monitoring.source import Labelled
from perflab.monitoring.table_state import OLDEST
from tests.monitoring.snapshots import snapshot_of
from tests.processes import wait_for

OLD = AlertRule("queue_old", "queue_age_seconds", above=100.0, severity=Severity.CRITICAL, summary="Start a worker.")


class Ages:
    """A source that says what it is told to."""

    def __init__(self) -> None:
        self.age = 0.0
        self.is_up = True
        self.reads = 0

    def __call__(self) -> Iterable[Labelled]:
        self.reads += 1
        if not self.is_up:
            raise DatabaseError("the database is away")
        return [Labelled(snapshot_of(gauges={(OLDEST, "mail"): self.age}), {})]


def test_whoever_wants_to_know_is_told_once() -> None:
    told: list[Alert] = []
    source = Ages()
    with AlertWatch(source, [OLD], notify=[told.append], interval=600.0) as watch:
        assert not watch.alerts
        source.age = 101.0
        watch.check()
        watch.check()
        assert watch.alerts == told
        source.age = 0.0
        watch.check()
    assert [alert.state for alert in told] == [AlertState.FIRING, AlertState.RESOLVED]


def test_it_checks_by_itself() -> None:
    told: list[Alert] = []
    source = Ages()
    with AlertWatch(source, [OLD], notify=[told.append], interval=0.1):
        source.age = 101.0
        wait_for(lambda: told)


def test_while_the_source_is_away_alerts_stay_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    source = Ages()
    source.age = 101.0
    with AlertWatch(source, [OLD], notify=[], interval=0.1) as watch:
        source.is_up = False
        reads = source.reads
        wait_for(lambda: source.reads > reads + 2)
        assert [alert.state for alert in watch.alerts] == [AlertState.FIRING]
        source.is_up = True
        wait_for(lambda: "can be evaluated again" in caplog.text)
    assert caplog.text.count("the database is away") == 1, "once, and not at each check"


def test_one_that_raises_does_not_keep_it_from_others(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_alert: Alert) -> None:
        raise ZeroDivisionError

    told: list[Alert] = []
    source = Ages()
    source.age = 101.0
    with AlertWatch(source, [OLD], notify=[fail, told.append], interval=600.0):
        assert len(told) == 1
    assert "the alert queue_old could not be told" in caplog.text


def test_an_alert_is_one_line_with_fields(caplog: pytest.LogCaptureFixture) -> None:
    source = Ages()
    source.age = 101.0
    with caplog.at_level(logging.INFO), AlertWatch(source, [OLD], interval=600.0) as watch:
        source.age = 0.0
        watch.check()
    begins, ends = [record for record in caplog.records if record.name == "perflab.alerts"]
    assert (begins.levelname, ends.levelname) == ("ERROR", "INFO")
    assert begins.message.endswith("below 100 s. Start a worker.")
    assert ends.message.startswith("queue_old resolved: queue_age_seconds is 0 s (queue mail)")
    fields = {name: vars(begins)[name] for name in ("alert", "state", "severity", "signal", "value", "limit", "labels")}
    assert fields == {
        "alert": "queue_old",
        "state": "firing",
        "severity": "critical",
        "signal": "queue_age_seconds",
        "value": 101.0,
        "limit": 100.0,
        "labels": {"queue": "mail"},
    }


def test_by_default_it_logs_and_uses_the_default_rules() -> None:
    with AlertWatch(Ages(), interval=600.0) as watch:
        assert watch._notify == (log_alert,)
        assert "queue_old" in {rule.name for rule in watch._evaluator.rules}


def test_a_source_that_cannot_be_read_and_an_interval_out_of_range_are_refused() -> None:
    source = Ages()
    with pytest.raises(InvalidInput, match="interval"):
        AlertWatch(source, [OLD], interval=0.0)
    source.is_up = False
    with pytest.raises(DatabaseError, match="away"):
        AlertWatch(source, [OLD])
