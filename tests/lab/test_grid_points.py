from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.errors import InvalidInput
from perflab.lab.grid_points import GridPoint, pareto


def _point(batch_size: int, throughput: float, p99_seconds: float, *, stable: bool = True) -> GridPoint:
    return GridPoint(batch_size, 0.01, (throughput,) * 3, (p99_seconds,) * 3, float(batch_size), stable)


def test_estimates_are_geometric_means_over_blocks() -> None:
    point = GridPoint(8, 0.01, (100.0, 400.0), (0.01, 0.04), 8.0, stable=True)

    assert point.throughput.value == pytest.approx(200)
    assert point.p99.value == pytest.approx(0.02)
    assert point.p99.n == 2


def test_beaten_and_unstable_points_leave_the_frontier() -> None:
    slow, fast, both = _point(1, 100, 0.001), _point(64, 900, 0.010), _point(16, 500, 0.004)
    beaten, unstable = _point(32, 400, 0.005), _point(2, 9999, 0.0001, stable=False)

    assert pareto([fast, beaten, unstable, slow, both]) == [slow, both, fast]


def test_equal_points_stay_together() -> None:
    first, second = _point(8, 500, 0.004), _point(16, 500, 0.004)

    assert pareto([first, second, _point(4, 500, 0.005)]) == [first, second]


def test_no_points_have_no_frontier() -> None:
    assert pareto([]) == []


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), min_size=1, max_size=25))
def test_the_frontier_holds_exactly_the_points_that_none_beats(figures: list[tuple[int, int]]) -> None:
    points = [_point(1 + number, float(t), float(p)) for number, (t, p) in enumerate(figures)]

    def beats(one: GridPoint, other: GridPoint) -> bool:
        t1, p1, t2, p2 = (
            one.throughput_by_block[0],
            one.p99_seconds_by_block[0],
            other.throughput_by_block[0],
            other.p99_seconds_by_block[0],
        )
        return t1 >= t2 and p1 <= p2 and (t1, p1) != (t2, p2)

    expected = {point.batch_size for point in points if not any(beats(other, point) for other in points)}
    frontier = pareto(points)

    assert {point.batch_size for point in frontier} == expected
    assert [point.p99.value for point in frontier] == sorted(point.p99.value for point in frontier)


@pytest.mark.parametrize(
    ("batch_size", "interval", "mean_batch"), [(0, 0.01, 1.0), (1, -0.01, 1.0), (1, math.nan, 1.0), (1, 0.01, 0.0)]
)
def test_a_setting_must_be_possible(batch_size: int, interval: float, mean_batch: float) -> None:
    with pytest.raises(InvalidInput, match="A grid point needs"):
        GridPoint(batch_size, interval, (1.0,), (1.0,), mean_batch, stable=True)


@pytest.mark.parametrize(
    ("throughputs", "percentiles", "message"),
    [
        ((1.0, 2.0), (1.0,), "has 2 throughputs but 1 values of p99"),
        ((), (), "Throughput of batch size 8, flush interval 0.01 s needs at least 1"),
        ((1.0, 0.0), (1.0, 1.0), "Throughput of batch size 8.*above zero"),
        ((1.0, 1.0), (1.0, math.inf), "p99 of batch size 8.*finite"),
    ],
)
def test_a_stable_point_has_its_figures(
    throughputs: tuple[float, ...], percentiles: tuple[float, ...], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        GridPoint(8, 0.01, throughputs, percentiles, 8.0, stable=True)


def test_an_unstable_point_may_lack_percentiles() -> None:
    assert not GridPoint(8, 0.01, (5.0, 6.0), (), 8.0, stable=False).stable
