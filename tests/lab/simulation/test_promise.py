"""The promise of adaptive sizing where chance is fixed: 95 % of the best fixed setting, its p99 within the target."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import pytest

from perflab.batching.limits import Limits
from perflab.batching.sizing.choice import SizingChoice
from perflab.batching.sizing.cost_model import CostModelSizing
from perflab.batching.sizing.polynomial_cost import PolynomialCost
from perflab.lab.simulation.server import SimulatedServer
from perflab.lab.simulation.simulate import Clients, simulate
from perflab.lab.sizing_judgement import REACHED
from perflab.lab.sweep.sizing_study import SHARES
from perflab.lab.workloads.arrivals import poisson

ITEMS = 12_000
LEARNING = 600
"""First items, which are written before anything is known; the policies of a sweep have a warm-up, too."""
NOISE = 0.1
GRID = [(size, interval) for size in (10, 100, 300, 1_000) for interval in (0.0, 0.002, 0.010)]


class World(NamedTuple):
    cost: PolynomialCost
    target: float


NEARBY = World(PolynomialCost(200e-6, 10e-6), 0.020)
DISTANT = World(PolynomialCost(2e-3, 20e-6), 0.100)
"""A fixed cost of a hundred items, as behind a longer line or where each commit reaches the disk."""


def run(world: World, share: float | None, limits: Limits, sizing: SizingChoice) -> tuple[float, float]:
    """Items per second, and the p99, under a share of the capacity; None: clients that wait for their results."""
    rate = (share or 1.0) * world.cost.best_throughput
    clients = int(rate * world.target / 4)
    load = Clients(clients, ITEMS, think_seconds=1e-6) if share is None else poisson(rate, ITEMS / rate, seed=7)
    done = simulate(load, SimulatedServer(world.cost, noise=NOISE, random=Random(7)), limits, sizing, seed=7)
    return done.items_per_second, float(sorted(done.latency[LEARNING:])[int(0.99 * (len(done.latency) - LEARNING))])


@pytest.mark.parametrize("world", [NEARBY, DISTANT], ids=["nearby", "distant"])
@pytest.mark.parametrize("share", [*SHARES, None], ids=lambda share: "saturated" if share is None else f"{share:.0%}")
def test_adaptive_reaches_the_best_fixed_setting_within_the_target(world: World, share: float | None) -> None:
    fixed = [run(world, share, Limits(size, interval, None, 10**9), "fixed") for size, interval in GRID]
    best = max(throughput for throughput, p99 in fixed if p99 <= world.target)
    adaptive = CostModelSizing(latency_target=world.target)
    throughput, p99 = run(world, share, Limits(5_000, 0.010, None, 10**9), adaptive)
    assert throughput >= REACHED * best
    assert p99 <= world.target


def test_the_sweep_can_tell_a_poor_setting() -> None:
    """Otherwise there would be nothing to reach: what is quickest under the light load is not enough when saturated."""
    fixed = {
        share: [run(DISTANT, share, Limits(size, interval, None, 10**9), "fixed") for size, interval in GRID]
        for share in (0.10, None)
    }
    quickest = min(range(len(GRID)), key=lambda place: fixed[0.10][place][1])
    assert fixed[None][quickest][0] < REACHED * max(throughput for throughput, _ in fixed[None])
