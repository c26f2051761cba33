"""How long each rule waits, case by case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perflab.batching.sizing.policy import Target
from perflab.batching.sizing.waits import Interval, SelfClocking, Situation, SkiRental

BUSY = Situation(
    items=100,
    longest_seconds=0.010,
    fixed_cost_seconds=0.001,
    arrivals_per_second=5_000.0,
    most_pending=30.0,
    patience=4.0,
)
"""Twenty more items come in four fixed costs."""


def test_self_clocking_gathers_what_comes_in_four_fixed_costs() -> None:
    assert SelfClocking().target(BUSY) == Target(100, 21, 0.004)
    reason = SelfClocking().reason(BUSY)
    assert reason == (
        "An idle writer waits for 21 items, at the longest 4 ms: 20 more are expected in 4 ms, and no more than 30 "
        "were pending at once lately."
    )


@pytest.mark.parametrize(
    "situation",
    [
        replace(BUSY, arrivals_per_second=249.0),  # less than one in the four fixed costs
        replace(BUSY, arrivals_per_second=None),
        replace(BUSY, fixed_cost_seconds=None),
        replace(BUSY, most_pending=1.0),  # all that could come is here
        replace(BUSY, longest_seconds=0.0),
        replace(BUSY, items=1),
    ],
)
def test_self_clocking_sends_at_once_where_nothing_else_is_expected(situation: Situation) -> None:
    assert SelfClocking().target(situation) == Target(situation.items, 1, 0.0)
    assert "An idle writer sends at once" in SelfClocking().reason(situation)


def test_self_clocking_waits_for_nobody_who_cannot_come() -> None:
    assert SelfClocking().target(replace(BUSY, most_pending=8.1)) == Target(100, 9, 0.004)


def test_no_rule_waits_longer_than_it_may() -> None:
    short = replace(BUSY, longest_seconds=0.002)
    assert SelfClocking().target(short) == Target(100, 11, 0.002)
    assert SkiRental().target(short).wait_seconds == 0.002
    assert Interval().target(short) == Target(100, 100, 0.002)


def test_ski_rental_sums_ages_up_to_the_fixed_cost() -> None:
    assert SkiRental().target(replace(BUSY, patience=1.0)) == Target(100, 100, 0.010, 0.001)
    assert SkiRental().reason(BUSY) == (
        "They leave when the ages of all that waits add up to 4 ms, 4 times the fixed cost of a flush."
    )


def test_ski_rental_sends_at_once_before_it_knows_the_fixed_cost() -> None:
    unknown = replace(BUSY, fixed_cost_seconds=None)
    assert SkiRental().target(unknown) == Target(100, 1, 0.0)
    assert "not known yet" in SkiRental().reason(unknown)


def test_the_interval_waits_for_a_full_batch() -> None:
    assert Interval().target(BUSY) == Target(100, 100, 0.010)
    assert Interval().reason(BUSY) == "They wait up to 10 ms."
