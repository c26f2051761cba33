"""Trends of spans that are written down by hand, and how they are shown."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

import pytest

from perflab.monitoring.change import Change
from perflab.monitoring.history.report import as_json, as_markdown, as_text, sparkline
from perflab.monitoring.history.trend import Trend, trends
from perflab.monitoring.instruments import flushes
from perflab.monitoring.signals.catalogue import SIGNALS
from perflab.monitoring.table_state import JOBS, OLDEST
from tests.monitoring.snapshots import change_of

MINUTE = 60.0


def spans(ages: Sequence[float], queue: str = "mail") -> list[Change]:
    return [
        change_of(number * MINUTE, (number + 1) * MINUTE, gauges={(OLDEST, queue): age})
        for number, age in enumerate(ages)
    ]


def ages_with_a_step(change_at: int = 30) -> list[float]:
    draw = random.Random(1)
    return [draw.gauss(10.0 if number < change_at else 20.0, 1.0) for number in range(60)]


def test_a_change_of_level_is_found_where_it_was() -> None:
    (trend,) = trends(spans(ages_with_a_step()), [SIGNALS["queue_age_seconds"]])
    (change,) = trend.changes
    assert abs(change.index - 30) <= 1
    assert (change.before, change.after) == pytest.approx((10.0, 20.0), abs=1.0)
    assert (trend.labels, len(trend.moments), trend.moments[0]) == ((("queue", "mail"),), 60, MINUTE)


def test_where_nothing_changed_nothing_is_found() -> None:
    (trend,) = trends(spans(ages_with_a_step(60)), [SIGNALS["queue_age_seconds"]])
    assert not trend.changes


def test_growth_is_measured_from_span_to_span() -> None:
    depths = [0.0, 60.0, 60.0]
    found = trends(
        [
            change_of(number * MINUTE, (number + 1) * MINUTE, gauges={(JOBS, "mail ready"): depth})
            for number, depth in enumerate(depths)
        ],
        [SIGNALS["backlog_growth"]],
    )
    assert [list(trend.values) for trend in found] == [[1.0, 0.0]]


def test_signals_of_which_nothing_is_known_are_left_out_and_shares_without_events_too() -> None:
    busy = change_of(0.0, MINUTE, {(flushes.FLUSHES, "sqlite age"): 1.0, (flushes.FLUSHES, "sqlite count"): 3.0})
    quiet = change_of(MINUTE, 2 * MINUTE, {(flushes.FLUSHES, "sqlite age"): 0.0})
    found = trends([busy, quiet], SIGNALS.values())
    assert {trend.signal.name: list(trend.values) for trend in found} == {
        "timer_flush_share": [0.25],
        "flushes": [4.0, 0.0],
    }
    assert trends([], SIGNALS.values()) == []


def test_a_course_is_drawn_with_its_peaks() -> None:
    assert sparkline([0.0, 1.0, 2.0, 3.5, 7.0]) == "▁▂▃▅█"
    assert sparkline([0.0] * 100 + [1.0] + [0.0] * 99, width=10) == "▁▁▁▁▁█▁▁▁▁"
    assert sparkline([5.0, 5.0]) == "▁▁"


@pytest.fixture
def stepped() -> Sequence[Trend]:
    return trends(spans(ages_with_a_step(), "a|b"), [SIGNALS["queue_age_seconds"]])


def test_for_a_terminal(stepped: Sequence[Trend]) -> None:
    first, second = as_text(stepped).splitlines()
    assert first.startswith("queue_age_seconds {queue=a|b}")
    assert " s now, " in first
    assert second.endswith(" s after, 2 times")


def test_for_a_comment(stepped: Sequence[Trend]) -> None:
    *_, row = as_markdown(stepped).splitlines()
    assert row.startswith("| queue_age_seconds {queue=a\\|b} | ")
    assert row.count(" before, ") == 1


def test_for_a_program(stepped: Sequence[Trend]) -> None:
    (read,) = json.loads(as_json(stepped))
    assert (read["signal"], read["unit"], read["labels"]) == ("queue_age_seconds", "s", {"queue": "a|b"})
    assert read["values"] == list(stepped[0].values)
    (change,) = read["changes"]
    assert change["at"] in read["moments"]
