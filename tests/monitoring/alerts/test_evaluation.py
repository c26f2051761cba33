"""When alerts begin and end, on changes that are written down by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.errors import InvalidInput
from perflab.monitoring.alerts.evaluation import Alert, AlertEvaluator, AlertState
from perflab.monitoring.alerts.rule import AlertRule
from perflab.monitoring.instruments import flushes
from perflab.monitoring.table_state import OLDEST
from tests.monitoring.snapshots import change_of

STEP = 10.0
OLD = AlertRule("queue_old", "queue_age_seconds", above=100.0)


class Course:
    """A queue's age, step by step."""

    def __init__(self, rule: AlertRule) -> None:
        self.evaluator = AlertEvaluator([rule])
        self.now = 0.0

    def step(self, **ages: float) -> Sequence[Alert]:
        self.now += STEP
        gauges = {(OLDEST, queue): age for queue, age in ages.items()}
        return self.evaluator.evaluate(change_of(self.now - STEP, self.now, gauges=gauges))

    def states(self, *ages: float) -> list[str]:
        """What is told at each step."""
        return [" ".join(alert.state for alert in self.step(mail=age)) for age in ages]


def test_without_a_duration_it_fires_at_once_and_ends_at_the_limit() -> None:
    assert Course(OLD).states(100, 101, 500, 100, 101) == ["", "firing", "", "resolved", "firing"]


def test_it_fires_only_when_broken_for_as_long_as_the_rule_says() -> None:
    course = Course(AlertRule("old", "queue_age_seconds", above=100.0, for_seconds=20.0))
    assert course.states(101, 101, 99, 101, 101) == ["", "", "", "", ""]
    (pending,) = course.evaluator.alerts
    assert (pending.state, pending.since, pending.value) == (AlertState.PENDING, 40.0, 101.0)
    (firing,) = course.step(mail=130.0)
    assert (firing.state, firing.since, firing.fired_at, firing.until) == (AlertState.FIRING, 40.0, 60.0, None)


def test_it_ends_where_it_clears_and_not_before() -> None:
    course = Course(AlertRule("old", "queue_age_seconds", above=100.0, clear=50.0))
    assert course.states(99, 101, 60, 51, 50, 60) == ["", "firing", "", "", "resolved", ""]


def test_it_has_to_stay_away_for_as_long_as_the_rule_says() -> None:
    course = Course(AlertRule("old", "queue_age_seconds", above=100.0, keep_seconds=20.0))
    assert course.states(101, 0, 0, 101, 0, 0) == ["firing", "", "", "", "", ""]
    (resolved,) = course.step(mail=0.0)
    assert (resolved.state, resolved.fired_at, resolved.until) == (AlertState.RESOLVED, 10.0, 70.0)
    assert not course.evaluator.alerts


def test_a_lower_limit_is_the_mirror_image() -> None:
    course = Course(AlertRule("old", "queue_age_seconds", below=100.0, clear=150.0))
    assert course.states(100, 99, 149, 150, 149) == ["", "firing", "", "resolved", ""]


def test_each_series_has_a_state_of_its_own() -> None:
    course = Course(OLD)
    (first,) = course.step(mail=101.0, bulk=0.0)
    assert first.labels == (("queue", "mail"),)
    (second,) = course.step(mail=101.0, bulk=101.0)
    assert second.labels == (("queue", "bulk"),)
    assert [dict(alert.labels)["queue"] for alert in course.evaluator.alerts] == ["bulk", "mail"]


def test_what_is_not_told_any_more_is_over() -> None:
    course = Course(OLD)
    course.step(mail=101.0)
    (resolved,) = course.step()
    assert (resolved.state, resolved.value) == (AlertState.RESOLVED, 101.0)


def test_counts_are_those_of_the_window() -> None:
    evaluator = AlertEvaluator([AlertRule("lost", "items_failed", above=0.0, window_seconds=30.0)])
    failed: Mapping[int, float] = {2: 5.0}
    told = [
        evaluator.evaluate(change_of(now * STEP - STEP, now * STEP, {(flushes.FAILED, "sqlite"): failed.get(now, 0.0)}))
        for now in range(8)
    ]
    assert [[(alert.state, alert.value) for alert in step] for step in told] == [
        *([], [], [(AlertState.FIRING, 5.0)], [], []),
        *([(AlertState.RESOLVED, 0.0)], [], []),
    ]


@pytest.mark.parametrize(("flushed", "fires"), [(19.0, False), (20.0, True)])
def test_a_share_of_too_few_says_nothing(flushed: float, fires: bool) -> None:
    evaluator = AlertEvaluator([AlertRule("timer", "timer_flush_share", above=0.9, at_least=20)])
    evaluator.evaluate(change_of(0.0, 0.0))
    assert bool(evaluator.evaluate(change_of(0.0, 10.0, {(flushes.FLUSHES, "sqlite age"): flushed}))) is fires


AGES = st.lists(st.sampled_from([0.0, 50.0, 75.0, 100.0, 101.0]), max_size=40)


@given(AGES, st.sampled_from([0.0, 10.0, 30.0]), st.sampled_from([0.0, 10.0, 30.0]), st.sampled_from([None, 50.0]))
def test_what_fires_is_resolved_before_it_fires_again(
    ages: list[float], for_seconds: float, keep_seconds: float, clear: float | None
) -> None:
    rule = AlertRule(
        "old", "queue_age_seconds", above=100.0, clear=clear, for_seconds=for_seconds, keep_seconds=keep_seconds
    )
    course = Course(rule)
    told = [state for state in course.states(*ages) if state]
    assert told == ["firing", "resolved"] * (len(told) // 2) + ["firing"] * (len(told) % 2)
    is_firing = any(alert.state is AlertState.FIRING for alert in course.evaluator.alerts)
    assert is_firing is (len(told) % 2 == 1)


def test_it_says_what_is_wrong_in_words() -> None:
    (alert,) = Course(OLD).step(mail=412.0)
    assert alert.describe() == ("queue_old firing: queue_age_seconds is 412 s (queue mail), and is to stay below 100 s")


def test_rules_need_names_of_their_own() -> None:
    with pytest.raises(InvalidInput, match="two rules are named 'queue_old'"):
        AlertEvaluator([OLD, OLD])
    with pytest.raises(InvalidInput, match="no rules"):
        AlertEvaluator([])
