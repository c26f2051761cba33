from __future__ import annotations

import numpy as np
import pytest

from perflab.errors import InvalidInput
from perflab.lab.statistics.ratio import paired_ratio
from perflab.lab.statistics.selection import best_of_others, gain_of_the_best


def test_each_block_judges_the_best_of_the_others() -> None:
    # the second arm is best only by its last block, and so it is not for that one
    values = np.array([[10.0, 9.0], [10.0, 9.0], [10.0, 40.0]])
    assert best_of_others(values).tolist() == [1, 1, 0]
    assert best_of_others(values[:1]).tolist() == [0]


def test_a_clear_winner_has_its_whole_gain() -> None:
    rng = np.random.default_rng(1)
    values = rng.lognormal(0, 0.02, (8, 3)) * [1.0, 2.0, 1.5]
    found = gain_of_the_best(values, 0, rng=rng)
    assert found.value == pytest.approx(float(np.exp(np.log(values[:, 1] / values[:, 0]).mean())))
    assert found.low < 2.0 < found.high


def test_equal_arms_have_no_gain_though_the_same_blocks_would_show_one() -> None:
    rng = np.random.default_rng(2)
    honest, flattered = [], []
    for _ in range(300):
        values = rng.lognormal(0, 0.05, (6, 12))
        honest.append(gain_of_the_best(values, 0, rng=rng))
        best = int(np.log(values).mean(axis=0).argmax())
        flattered.append(paired_ratio(values[:, best], values[:, 0], rng=rng))
    assert np.mean([ratio.low > 1 for ratio in honest]) <= 0.025
    assert np.mean([ratio.low > 1 for ratio in flattered]) > 0.06
    assert np.mean([ratio.value for ratio in honest]) == pytest.approx(1.0, abs=0.01)
    assert np.mean([ratio.value for ratio in flattered]) > 1.02


@pytest.mark.parametrize("baseline", [-1, 2])
def test_a_baseline_that_is_not_there_is_refused(baseline: int) -> None:
    with pytest.raises(InvalidInput, match="needs blocks by arms and a baseline"):
        gain_of_the_best(np.ones((6, 2)), baseline, rng=np.random.default_rng(1))
