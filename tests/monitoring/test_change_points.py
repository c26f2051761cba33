from __future__ import annotations

import math
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from perflab.errors import InvalidInput
from perflab.monitoring.change_points import ChangePoint, _f_tail, find_change_points


def noise(count: int, *, seed: int, level: float = 100.0) -> list[float]:
    rng = Random(seed)
    return [level + rng.gauss() for _ in range(count)]


def stepped(count: int, *, at: int, by: float, until: int | None = None, seed: int = 1) -> list[float]:
    return [
        value + (by if at <= place < (count if until is None else until) else 0)
        for place, value in enumerate(noise(count, seed=seed))
    ]


def places(points: list[ChangePoint]) -> list[int]:
    return [point.index for point in points]


def test_a_step_is_found_where_it_is_with_both_levels() -> None:
    (point,) = find_change_points(stepped(60, at=40, by=20))
    assert point.index == 40
    assert point.before == pytest.approx(100, abs=1)
    assert point.after == pytest.approx(120, abs=1)
    assert point.ratio == pytest.approx(1.2, abs=0.02)
    assert point.p_value < 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_three_values_of_a_clearly_new_level_are_enough(seed: int) -> None:
    assert places(find_change_points(stepped(50, at=47, by=10, seed=seed))) == [47]


def test_two_values_are_not_unless_two_are_asked_for() -> None:
    values = stepped(50, at=48, by=30)
    assert find_change_points(values) == []
    assert places(find_change_points(values, min_segment=2)) == [48]


def test_a_change_that_was_taken_back_is_two() -> None:
    points = find_change_points(stepped(200, at=100, by=6, until=112))
    assert places(points) == [100, 112]
    assert points[1].after == pytest.approx(points[0].before, abs=1)


def test_a_short_history_shows_a_change_that_was_taken_back_too() -> None:
    assert places(find_change_points(stepped(20, at=8, by=40, until=14))) == [8, 14]


def test_several_levels_are_all_found() -> None:
    values = [value + 10 * (place // 25) for place, value in enumerate(noise(100, seed=3))]
    assert places(find_change_points(values)) == [25, 50, 75]


def test_noise_alone_shows_a_change_in_few_of_many_histories() -> None:
    alarms = sum(bool(find_change_points(noise(50, seed=seed), min_relative_change=0)) for seed in range(100))
    assert alarms <= 3  # 1 % is promised


def test_values_that_resemble_the_ones_before_show_few() -> None:
    alarms = 0
    for seed in range(40):
        rng = Random(seed)
        values = [0.0]
        for _ in range(100):
            values.append(0.6 * values[-1] + rng.gauss())
        alarms += bool(find_change_points(values, min_relative_change=0))
    assert alarms <= 4  # 13 of 40 for a test that takes them for independent


def test_skewed_noise_with_spikes_shows_few() -> None:
    alarms = 0
    for seed in range(60):
        rng = Random(seed)
        values = [rng.lognormvariate(0, 0.5) * (20 if rng.random() < 0.03 else 1) for _ in range(40)]
        alarms += bool(find_change_points(values, min_relative_change=0))
    assert alarms <= 4


@pytest.mark.parametrize("place", [0, 1, 30, 97, 98, 99])
def test_one_spike_is_no_change(place: int) -> None:
    values = noise(100, seed=5)
    values[place] *= 50
    assert find_change_points(values) == []


@pytest.mark.parametrize("place", [3, 50, 98])
def test_one_spike_among_equal_values_is_no_change(place: int) -> None:
    values = [0.0] * 100
    values[place] = 5.0
    assert find_change_points(values) == []


def test_a_step_is_found_beside_spikes() -> None:
    values = stepped(80, at=60, by=5)
    for place in (10, 33, 70):
        values[place] += 100
    assert places(find_change_points(values)) == [60]


def test_a_drift_is_a_staircase_in_its_direction() -> None:
    points = find_change_points([value + place * 0.3 for place, value in enumerate(noise(100, seed=7))])
    assert points
    assert all(point.after > point.before for point in points)


def test_a_step_of_values_that_repeat_exactly_is_certain() -> None:
    assert find_change_points([3.0] * 5 + [1.0] * 4) == [ChangePoint(5, 3.0, 1.0, 0.0)]


def test_a_level_that_was_zero_has_an_infinite_ratio() -> None:
    (point,) = find_change_points([0.0] * 10 + [2.0] * 10)
    assert point.ratio == math.inf


def test_rounding_is_no_change() -> None:
    assert find_change_points([0.3] * 20 + [0.1 + 0.2] * 20) == []


def test_changes_that_are_too_small_to_matter_are_left_out() -> None:
    values = [value / 100 for value in stepped(300, at=150, by=2)]
    assert places(find_change_points(values, min_relative_change=0.01)) == [150]
    assert find_change_points(values, min_relative_change=0.03) == []
    assert find_change_points(values, min_relative_change=0.01, min_change=0.05) == []


@pytest.mark.parametrize("count", range(6))
def test_too_few_values_have_no_change(count: int) -> None:
    assert find_change_points([1.0, 1.0, 1.0, 9.0, 9.0, 9.0][:count]) == []


@pytest.mark.parametrize(("degrees", "t"), [(1, 0.5), (4, 3.0), (10, 0.01), (48, 4.7), (300, 12.0)])
def test_the_tail_is_that_of_students_t(degrees: int, t: float) -> None:
    assert _f_tail(t * t, degrees, degrees) == pytest.approx(2 * stats.t.sf(t, degrees), rel=1e-9)


@given(st.lists(st.integers(-1_000_000, 1_000_000), max_size=40), st.sampled_from([-4.0, -1.0, 0.5, 8.0]))
def test_another_unit_changes_nothing_but_the_unit(values: list[float], factor: float) -> None:
    points = find_change_points(values)
    scaled = find_change_points([value * factor for value in values])
    assert places(scaled) == places(points)
    assert [point.before for point in scaled] == [point.before * factor for point in points]


@given(st.lists(st.sampled_from([0.0, 1.0, 1.5, 7.0, 1e9]), max_size=60), st.integers(2, 8))
def test_every_level_has_enough_values_and_neighbours_agree(values: list[float], min_segment: int) -> None:
    points = find_change_points(values, min_segment=min_segment, false_alarm_rate=0.5)
    bounds = [0, *places(points), len(values)]
    if points:
        assert all(stop - start >= min_segment for start, stop in pairwise(bounds))
    assert all(first.after == second.before for first, second in pairwise(points))
    assert all(point.p_value <= 0.5 for point in points)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"false_alarm_rate": 0.0}, "false_alarm_rate is 0.0: it must lie between 0 and 1"),
        ({"min_relative_change": -0.1}, "min_relative_change is -0.1"),
        ({"min_change": math.nan}, "min_change is nan"),
        ({"min_segment": 1}, "min_segment is 1: give a whole number of 2 or more"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        find_change_points([1.0] * 10, **settings)  # type: ignore[arg-type]  # wrong on purpose


def test_a_value_that_is_none_is_refused_with_its_place() -> None:
    with pytest.raises(InvalidInput, match="value 1 of 3 of a history is nan: leave it out"):
        find_change_points([1.0, math.nan, 2.0])
