from __future__ import annotations

import pytest

from perflab.errors import InvalidInput
from perflab.lab.statistics.proportion import proportion_interval, too_many_p_value


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # the rule of three and the closed forms at the ends; 5 of 10 is in every table
    [(0, 20, 0.0, 1 - 0.025 ** (1 / 20)), (20, 20, 0.025 ** (1 / 20), 1.0), (5, 10, 0.1871, 0.8129)],
)
def test_the_bounds_are_those_of_clopper_and_pearson(successes: int, trials: int, low: float, high: float) -> None:
    found = proportion_interval(successes, trials)
    assert found.value == successes / trials
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)
    assert found.n == trials


@pytest.mark.parametrize("share", [0.05, 0.5, 0.8])
def test_the_interval_covers_at_least_at_its_level(share: float) -> None:
    trials = 20
    covered = sum(
        too_many_p_value(count, trials, share) - (too_many_p_value(count + 1, trials, share) if count < trials else 0)
        for count in range(trials + 1)
        if proportion_interval(count, trials).low <= share <= proportion_interval(count, trials).high
    )
    assert covered >= 0.95


def test_the_chance_of_many_is_exact() -> None:
    assert too_many_p_value(0, 20, 0.05) == pytest.approx(1)
    assert too_many_p_value(1, 20, 0.05) == pytest.approx(1 - 0.95**20)
    assert too_many_p_value(20, 20, 0.05) == pytest.approx(0.05**20)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(successes: int, trials: int) -> None:
    with pytest.raises(InvalidInput, match="A share needs trials and successes among them"):
        proportion_interval(successes, trials)
