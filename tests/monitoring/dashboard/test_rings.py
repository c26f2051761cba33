"""The last hours in a bounded number of points."""

from __future__ import annotations

from math import isnan, nan

from perflab.monitoring.dashboard.rings import SPANS, Point, Rings

MINUTES, HOUR, HOURS = SPANS


def point(moment: float, items: float = 0.0, flush_p99: float = nan) -> Point:
    return Point(moment, items, 0, 0, 0, 0, 0, 0, 0, 0, 0, nan, flush_p99, nan, nan)


def test_a_longer_step_keeps_means_of_rates_and_the_worst_of_times() -> None:
    rings = Rings()
    for second, items, worst in ((0, 10, nan), (1, 20, 0.3), (2, 60, 0.2)):
        rings.add(point(100.0 + second, items, worst))
    assert [(one.items, one.moment) for one in rings.points(MINUTES)] == [(10, 100), (20, 101), (60, 102)]
    (together,) = rings.points(HOUR)
    assert (together.items, together.flush_p99, together.moment) == (30, 0.3, 101)


def test_where_nothing_was_seen_nothing_is_kept() -> None:
    rings = Rings()
    for second in range(3):
        rings.add(point(100.0 + second))
    (together,) = rings.points(HOURS)
    assert isnan(together.flush_p99)


def test_the_oldest_go_first() -> None:
    rings = Rings()
    for second in range(1_000):
        rings.add(point(second, second))
    points = rings.points(MINUTES)
    assert [one.items for one in points] == list(range(700, 1_000))
    assert len(rings.points(HOUR)) == 100


def test_a_moment_before_the_last_begins_anew() -> None:
    rings = Rings()
    rings.add(point(1_000.0))
    rings.add(point(10.0))
    for span in SPANS:
        assert [one.moment for one in rings.points(span)] == [10.0]


def test_eight_hours_and_more_are_kept_in_as_many_points_as_ever() -> None:
    rings = Rings()
    for second in range(10 * 3_600):
        rings.add(point(second, second))
    for span in SPANS:
        points = rings.points(span)
        assert len(points) == span.points
        assert points[-1].moment - points[0].moment == span.seconds - span.step_seconds
    assert [span.seconds for span in SPANS] == [300, 3_600, 8 * 3_600]
