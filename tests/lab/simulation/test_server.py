"""What the simulated server takes for a flush."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest

from perflab.batching.sizing.polynomial_cost import PolynomialCost
from perflab.errors import InvalidInput
from perflab.lab.simulation.server import Regime, SimulatedServer

LINE, SLOW = PolynomialCost(2e-4, 1e-5), PolynomialCost(1e-3, 1e-5)


def test_without_noise_a_flush_takes_its_cost() -> None:
    server = SimulatedServer(LINE, random=Random(1))
    assert server.seconds(20, 5.0) == LINE.seconds(20)


def test_noise_is_that_of_the_logarithm() -> None:
    server = SimulatedServer(LINE, noise=0.3, random=Random(1))
    logarithms = np.log([server.seconds(20, 0.0) / LINE.seconds(20) for _ in range(4_000)])
    assert np.mean(logarithms) == pytest.approx(0, abs=0.02)
    assert np.std(logarithms) == pytest.approx(0.3, rel=0.05)


def test_stalls_come_as_often_as_stated() -> None:
    server = SimulatedServer(LINE, stall_chance=0.1, stall_seconds=1.0, random=Random(1))
    stalls = sum(server.seconds(20, 0.0) > 1 for _ in range(4_000))
    assert stalls / 4_000 == pytest.approx(0.1, abs=0.02)


def test_the_cost_is_that_of_the_time() -> None:
    server = SimulatedServer([Regime(0.0, LINE), Regime(3.0, SLOW)], random=Random(1))
    assert [server.cost(now) for now in (0.0, 2.999, 3.0, 9.0)] == [LINE, LINE, SLOW, SLOW]


def test_a_batch_that_is_too_large_takes_the_time_of_the_timeout() -> None:
    server = SimulatedServer(LINE, too_much_items=50, random=Random(1))
    assert [server.takes(items) for items in (50, 51)] == [True, False]
    assert server.seconds(1_000, 0.0) == LINE.seconds(50)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"regimes": []}, "the first starts at 0"),
        ({"regimes": [Regime(1.0, LINE)]}, "the first starts at 0"),
        ({"regimes": [Regime(0.0, LINE), Regime(5.0, SLOW), Regime(2.0, LINE)]}, "and the others in order"),
        ({"regimes": LINE, "noise": -0.1}, "noise is -0.1"),
        ({"regimes": LINE, "stall_chance": 1.5}, "stall_chance is 1.5"),
        ({"regimes": LINE, "stall_seconds": math.nan}, "stall_seconds is nan"),
    ],
)
def test_a_server_that_cannot_be_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        SimulatedServer(random=Random(1), **arguments)  # type: ignore[arg-type]
