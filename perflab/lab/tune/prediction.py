"""What flush intervals would do, from a cost model: the real accumulator over a simulated server."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from random import Random
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from perflab.batching.limits import Limits
from perflab.batching.sizing.polynomial_cost import PolynomialCost
from perflab.lab.cost_model import CostModel
from perflab.lab.simulation.server import SimulatedServer
from perflab.lab.simulation.simulate import simulate
from perflab.lab.workloads.arrivals import poisson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from perflab.lab.statistics.intervals import Estimate

SIMULATED_ITEMS = 4_000
SHARES_OF_TARGET = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Flush intervals to choose among, besides none."""
EFFICIENCY = 0.99
"""A batch with this share of the best throughput is large enough."""
HEADROOM = 1.5
"""How many times the items of a target's time fit into a batch: a backlog may leave in larger ones."""
NEAR_BEST = 0.98
"""A throughput that nobody would tell from the best; the shortest interval with it is wanted."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one flush interval would do.

    Attributes:
        flush_interval: Seconds.
        p99: Seconds from the arrival of an item to its result.
        throughput: Items per second of writer time.
        mean_batch: Items per flush.
    """

    flush_interval: float
    p99: float
    throughput: float
    mean_batch: float


def batch_limit(model: CostModel, arrivals: float, latency_target: float) -> int:
    """The batch size to allow: none larger would pay, or none larger comes together within the target.

    Args:
        model: what flushes cost.
        arrivals: items per second.
        latency_target: seconds.

    Returns:
        A number of the series 10, 20, 50, 100, …
    """
    within_target = arrivals * latency_target * HEADROOM
    pays = min(model.batch_for_efficiency(EFFICIENCY), model.curve.best_batch)
    wanted = max(10.0, min(within_target + 4 * math.sqrt(within_target), pays, float(model.batch_sizes[-1])))
    magnitude = 10 ** math.floor(math.log10(wanted))
    return int(next(step * magnitude for step in (1, 2, 5, 10) if step * magnitude >= wanted))


def predict_intervals(
    model: CostModel, noise: float, arrivals: float, latency_target: float, batch_size: int, *, seed: int
) -> tuple[Prediction, ...]:
    """What each interval of a ladder up to the target would do.

    Args:
        model: what flushes cost. Where they follow no formula, the nearest line is taken.
        noise: standard deviation of the logarithm of the time of flushes of one size.
        arrivals: items per second, independent of each other.
        latency_target: seconds.
        batch_size: items at which a batch leaves whatever the interval.
        seed: of the arrivals and of the noise, the same for all intervals.
    """
    cost = PolynomialCost(model.alpha.value, model.beta.value, model.bend)
    offsets = poisson(arrivals, SIMULATED_ITEMS / arrivals, seed=seed)
    found = []
    for interval in (0.0, *(float(f"{share * latency_target:.2g}") for share in SHARES_OF_TARGET)):
        server = SimulatedServer(cost, noise=noise, random=Random(seed))
        run = simulate(offsets, server, Limits(batch_size, interval, None, 10**9), "fixed", seed=seed)
        found.append(
            Prediction(
                flush_interval=interval,
                p99=run.latency_quantile(0.99),
                throughput=len(run.latency) / run.busy_seconds,
                mean_batch=len(run.latency) / len(run.flushes),
            )
        )
    return tuple(found)


def choose(predictions: tuple[Prediction, ...], latency_target: float) -> Prediction:
    """The shortest interval near the best throughput within the target; if none is within, that with the least p99."""
    within = [prediction for prediction in predictions if prediction.p99 <= latency_target]
    if not within:
        return min(predictions, key=lambda prediction: prediction.p99)
    wanted = NEAR_BEST * max(prediction.throughput for prediction in within)
    return next(prediction for prediction in within if prediction.throughput >= wanted)


def corrected(
    predictions: tuple[Prediction, ...], measured: Mapping[float, Estimate | None], latency_target: float
) -> tuple[Prediction, ...]:
    """The predictions as far as measurements bear them out.

    A measured interval has the upper bound of its p99, which is what must meet the target; infinity where the writer
    did not keep up. Others are shifted by what the measured ones were off in the median. None that is longer than one
    that missed the target will meet it.

    Args:
        predictions: by rising interval.
        measured: p99 by interval, seconds; None where the writer did not keep up.
        latency_target: seconds.
    """
    predicted = {prediction.flush_interval: prediction.p99 for prediction in predictions}
    stable = {interval: p99 for interval, p99 in measured.items() if p99 is not None}
    # where nothing kept up, the latency is out of all proportion to what was predicted
    shift = median(p99.value - predicted[interval] for interval, p99 in stable.items()) if stable else latency_target
    missed = min((interval for interval, p99 in stable.items() if p99.high > latency_target), default=math.inf)

    def p99_of(interval: float) -> float:
        if interval in measured:
            return stable[interval].high if interval in stable else math.inf
        return math.inf if interval > missed else predicted[interval] + shift

    return tuple(replace(one, p99=p99_of(one.flush_interval)) for one in predictions)


def noise_of(seconds: list[float], items: list[float], model: CostModel) -> float:
    """Standard deviation of the logarithm of flush times around the model."""
    curve = [model.curve.seconds(count) for count in items]
    return float(np.std(np.log(np.array(seconds) / np.array(curve))))
