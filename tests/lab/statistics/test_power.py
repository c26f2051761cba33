from __future__ import annotations

import math

import numpy as np
import pytest

from perflab.errors import InvalidInput
from perflab.lab.statistics.power import blocks_for, power
from perflab.lab.statistics.ratio import minimum_detectable_difference, paired_ratio


def test_the_power_is_the_share_of_experiments_that_find_the_effect() -> None:
    rng = np.random.default_rng(3)
    effect, deviation, blocks = 0.03, 0.03, 8
    logs = math.log1p(effect) + deviation * rng.normal(size=(2_000, blocks))
    found = np.mean([paired_ratio(np.exp(row), np.ones(blocks), rng=rng).low > 1 for row in logs])
    assert power(effect, deviation, blocks) == pytest.approx(float(found), abs=0.03)


def test_the_blocks_that_are_needed_have_the_power_and_one_less_has_not() -> None:
    for effect in (0.01, 0.02, 0.05, 0.20):
        blocks = blocks_for(effect, 0.03)
        assert blocks is not None
        assert power(effect, 0.03, blocks) >= 0.8
        assert blocks == 2 or power(effect, 0.03, blocks - 1) < 0.8


@pytest.mark.parametrize("blocks", [4, 20, 60])
def test_it_is_the_inverse_of_the_smallest_detectable_difference(blocks: int) -> None:
    logs = np.tile([0.03, -0.03], blocks // 2)
    deviation = float(np.std(logs, ddof=1))
    assert power(minimum_detectable_difference(logs), deviation, blocks) == pytest.approx(0.8, abs=1e-6)


def test_noise_that_no_number_of_blocks_beats_is_said() -> None:
    assert blocks_for(0.0001, 1.0) is None
    assert blocks_for(0.05, 0.0) == 2


@pytest.mark.parametrize(
    "wrong", [{"effect": 0.0}, {"effect": -0.1}, {"deviation": 0.0}, {"blocks": 1}, {"level": 1.0}]
)
def test_what_is_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    values: dict[str, float] = {"effect": 0.05, "deviation": 0.03, "blocks": 10, "level": 0.95, **wrong}
    with pytest.raises(InvalidInput):
        power(values["effect"], values["deviation"], int(values["blocks"]), level=values["level"])
