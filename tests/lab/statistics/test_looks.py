from __future__ import annotations

import math

import numpy as np
import pytest

from perflab.errors import InvalidInput
from perflab.lab.statistics.intervals import Estimate, mean_interval
from perflab.lab.statistics.looks import Looks, Stop, Stopped, look_until, relative_width, widest


@pytest.mark.parametrize(("count", "alpha"), [(2, 0.0294), (3, 0.0221), (4, 0.0182), (5, 0.0158), (10, 0.0106)])
def test_equal_steps_have_the_levels_of_pococks_table(count: int, alpha: float) -> None:
    looks = Looks(tuple(10 * number for number in range(1, count + 1)))
    assert 1 - looks.level_of_each == pytest.approx(alpha, abs=6e-5)


def test_one_look_needs_no_correction() -> None:
    assert Looks((10,), 0.9).level_of_each == 0.9


def test_peeking_finds_no_more_differences_than_promised() -> None:
    rng = np.random.default_rng(5)
    looks = Looks((10, 20, 30))
    alarms = plain = 0
    for _ in range(1_000):
        samples = rng.normal(size=30)
        parts = [samples[:blocks] for blocks in looks.blocks]
        alarms += any(not _holds_zero(mean_interval(part, level=looks.level_of_each)) for part in parts)
        plain += any(not _holds_zero(mean_interval(part)) for part in parts)
    assert alarms / 1_000 == pytest.approx(0.05, abs=0.021)
    assert plain / 1_000 > 0.08


def _holds_zero(found: Estimate) -> bool:
    return found.low <= 0 <= found.high


def test_looks_are_spread_evenly() -> None:
    assert Looks.spread(10, 30).blocks == (10, 20, 30)
    assert Looks.spread(6, 7).blocks == (6, 7)
    assert Looks.spread(12, 12).blocks == (12,)


@pytest.mark.parametrize("blocks", [(), (1, 2), (10, 10), (20, 10)])
def test_looks_that_do_not_rise_are_refused(blocks: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match="Looks come after rising numbers of blocks"):
        Looks(blocks)


@pytest.mark.parametrize(("first", "most", "count"), [(10, 9, 3), (10, 20, 1)])
def test_looks_without_room_are_refused(first: int, most: int, count: int) -> None:
    with pytest.raises(InvalidInput, match="Looks need two or more"):
        Looks.spread(first, most, count=count)


class Blocks:
    """Blocks that take a second each, on a clock of their own."""

    def __init__(self) -> None:
        self.done = 0

    def measure_until(self, blocks: int) -> None:
        assert blocks > self.done
        self.done = blocks

    def clock(self) -> float:
        return float(self.done)

    def run(self, *, enough: int, budget: float = math.inf) -> Stopped:
        return look_until(
            self.measure_until,
            lambda: self.done >= enough,
            Looks((10, 20, 30)),
            budget_seconds=budget,
            clock=self.clock,
        )


def test_it_ends_when_enough_is_known() -> None:
    assert Blocks().run(enough=15) == Stopped(20, Stop.KNOWN, 20.0)
    assert Blocks().run(enough=1) == Stopped(10, Stop.KNOWN, 10.0)


def test_it_ends_at_the_last_look() -> None:
    assert Blocks().run(enough=99) == Stopped(30, Stop.MOST, 30.0)


def test_it_begins_no_blocks_that_do_not_fit_into_the_budget() -> None:
    assert Blocks().run(enough=99, budget=29.0) == Stopped(20, Stop.BUDGET, 20.0)
    assert Blocks().run(enough=99, budget=1.0) == Stopped(10, Stop.BUDGET, 10.0)  # the first look is always made
    assert Blocks().run(enough=99, budget=30.0) == Stopped(30, Stop.MOST, 30.0)


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match="budget_seconds must be above zero"):
        Blocks().run(enough=1, budget=0.0)


def test_the_width_is_that_of_the_farther_side() -> None:
    assert relative_width(Estimate(2.0, 1.8, 2.1, 6)) == pytest.approx(0.1)
    assert relative_width(Estimate(2.0, 1.9, 2.4, 6)) == pytest.approx(0.2)
    assert math.isinf(relative_width(Estimate(2.0, 0.0, math.inf, 1)))
    assert widest([Estimate(1.0, 0.9, 1.1, 6), Estimate(1.0, 0.99, 1.3, 6)]) == pytest.approx(0.3)
    assert math.isinf(widest([]))
    with pytest.raises(InvalidInput):
        relative_width(Estimate(0.0, 0.0, 1.0, 6))
