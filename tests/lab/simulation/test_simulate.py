"""The simulator against sums that can be made by hand, and against the formulas of the lab."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from perflab.batching.limits import Limits
from perflab.batching.sizing.policy import Target
from perflab.batching.sizing.polynomial_cost import PolynomialCost
from perflab.errors import InvalidInput
from perflab.events import Cause
from perflab.lab.arrivals_model import Arrivals, predict_latency
from perflab.lab.simulation.server import SimulatedServer
from perflab.lab.simulation.simulate import Clients, simulate
from perflab.lab.workloads.arrivals import poisson

LINE = PolynomialCost(1.0, 0.1)
LIMITS = Limits(batch_size=3, flush_interval=10.0)


def server(**settings: float) -> SimulatedServer:
    return SimulatedServer(LINE, random=Random(1), **settings)


def test_items_wait_for_the_batch_and_then_for_the_server() -> None:
    run = simulate([0.0, 1.0, 2.0, 2.5, 3.0], server(), LIMITS, "fixed")
    assert [(flush.left, flush.items, flush.cause) for flush in run.flushes] == [
        (2.0, 3, Cause.COUNT),
        (12.5, 2, Cause.AGE),
    ]
    assert run.flushes[0].seconds == pytest.approx(1.3)
    assert run.flushes[0].target == Target(3, 3, 10.0)
    assert run.waited.tolist() == [2.0, 1.0, 0.0, 10.0, 9.5]
    assert run.latency.tolist() == pytest.approx([3.3, 2.3, 1.3, 11.2, 10.7])
    assert run.seconds == pytest.approx(13.7)
    assert run.busy_seconds == pytest.approx(2.5)
    assert run.busy_share == pytest.approx(2.5 / 13.7)
    assert run.items_per_second == pytest.approx(5 / 13.7)


def test_what_comes_while_the_server_works_leaves_when_it_is_free() -> None:
    run = simulate([0.0, 0.1, 0.2, 0.3, 0.4], server(), Limits(batch_size=1, flush_interval=10.0), "fixed")
    assert [flush.left for flush in run.flushes] == pytest.approx([0.0, 1.1, 2.2, 3.3, 4.4])


def test_a_closed_loop_submits_when_it_is_answered() -> None:
    run = simulate(Clients(count=2, items=6, think_seconds=0.5), server(), Limits(2, 100.0), "fixed")
    # 0 and 0.5; answered at 1.7; back at 2.2 and 2.7; answered at 3.9; back at 4.4 and 4.9
    assert run.arrived.tolist() == pytest.approx([0.0, 0.5, 2.2, 2.7, 4.4, 4.9])
    assert [flush.items for flush in run.flushes] == [2, 2, 2]


def test_a_batch_that_is_too_much_is_tried_again_in_smaller_ones() -> None:
    arrivals = [0.0] * 64
    run = simulate(arrivals, server(too_much_items=10), Limits(64, 10.0), "adaptive")
    assert run.flushes[0].items > 10
    assert sum(flush.items for flush in run.flushes if flush.items <= 10) == 64
    assert np.isfinite(run.latency).all()


def test_the_same_seed_gives_the_same_run() -> None:
    def run(seed: int) -> list[float]:
        noisy = SimulatedServer(PolynomialCost(2e-4, 1e-5), noise=0.3, random=Random(2))
        load = Clients(count=1_000, items=20_000)
        return [float(value) for value in simulate(load, noisy, Limits(300, 0.010), "adaptive", seed=seed).latency]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_it_agrees_with_the_formula_for_poisson_arrivals() -> None:
    """Mean latency over five seeds within 5 % of the formula, which is exact but for the queue, short at this load."""
    cost = PolynomialCost(1e-3, 2e-5)
    expected = predict_latency(Arrivals(2_000.0, 20, 0.010), alpha=cost.alpha, beta=cost.beta).mean_latency_seconds
    means = [
        simulate(
            poisson(2_000.0, 5.0, seed=seed), SimulatedServer(cost, random=Random(1)), Limits(20, 0.010), "fixed"
        ).latency.mean()
        for seed in range(5)
    ]
    assert np.mean(means) == pytest.approx(expected, rel=0.05)


def test_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match="nothing arrives"):
        simulate([], server(), LIMITS, "fixed")
    with pytest.raises(InvalidInput, match="items is 1"):
        Clients(count=2, items=1)
