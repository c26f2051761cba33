"""What policies do where the right answer is known: a cost that changes, and loads from light to too much."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

import pandas as pd

from perflab.batching.limits import Limits
from perflab.batching.sizing.aimd import AimdSizing
from perflab.batching.sizing.choice import SizingChoice
from perflab.batching.sizing.cost_model import P99, CostModelSizing
from perflab.batching.sizing.polynomial_cost import PolynomialCost
from perflab.lab.markdown_table import markdown_table
from perflab.lab.quantities import format_count, format_percent, format_rate, format_seconds
from perflab.lab.simulation.saturate import saturate
from perflab.lab.simulation.server import Regime, SimulatedServer
from perflab.lab.simulation.simulate import Clients, simulate
from perflab.lab.workloads.arrivals import poisson

COST = PolynomialCost(200e-6, 10e-6)
"""Of a flush to a server nearby: 0.2 ms, and 10 µs for each item."""
NOISE = 0.1
LIMITS = Limits(5_000, 0.010, None, 10**9)
SLOWER = 4.0
EFFICIENCY = 0.97
NEAR = 0.25
"""Share of the right size within which another one will do: the optimum is flat."""
CLOSED_LOOP_CLIENTS = 16


@dataclass(frozen=True, slots=True)
class Change:
    """How a policy took a change of the cost.

    Attributes:
        policy: Its name.
        slower: Whether the cost rose.
        wanted: Items that are right after the change.
        flushes: Flushes from the change until the size came within a quarter of that; None if it never did.
    """

    policy: str
    slower: bool
    wanted: float
    flushes: int | None


@dataclass(frozen=True, slots=True)
class ChangeStudy:
    """Sizes flush by flush, over a cost that rises fourfold and falls again.

    Attributes:
        data: Columns policy, flush, size, wanted (items that are right at that time), seconds (of the flush).
        changes: How each policy took each change.
    """

    data: pd.DataFrame
    changes: tuple[Change, ...]


def policies(latency_target: float) -> Mapping[str, SizingChoice]:
    """What is compared, by name."""
    return {
        "adaptive": CostModelSizing(latency_target=latency_target, efficiency=EFFICIENCY),
        "AIMD": AimdSizing(latency_target=latency_target),
    }


def right_size(policy: str, cost: PolynomialCost, latency_target: float) -> float:
    """What a policy looks for.

    The smallest batch near the best throughput whose p99 stays within half of the target; AIMD knows of no throughput
    and no noise, and looks for the largest that takes half of the target.
    """
    if policy == "AIMD":
        return min(cost.largest_within(latency_target / 2), LIMITS.batch_size)
    within = cost.largest_within(latency_target / 2 / math.exp(P99 * NOISE))
    return max(1.0, min(cost.batch_for_efficiency(EFFICIENCY), within, LIMITS.batch_size))


def change_study(latency_target: float, *, flushes: int = 200, seed: int = 1) -> ChangeStudy:
    """Full batches, of which each third costs something else.

    Args:
        latency_target: seconds.
        flushes: of each third, about.
        seed: of noise and probes.
    """
    slow = PolynomialCost(COST.alpha * SLOWER, COST.beta * SLOWER)
    # as long as so many flushes of the right size take
    lengths = [flushes * cost.seconds(right_size("adaptive", cost, latency_target)) for cost in (COST, slow)]
    regimes = [Regime(0.0, COST), Regime(lengths[0], slow), Regime(sum(lengths), COST)]
    frames, changes = [], []
    for name, sizing in policies(latency_target).items():
        server = SimulatedServer(regimes, noise=NOISE, random=Random(seed))
        run = saturate(server, LIMITS, sizing, flushes=4 * flushes, seed=seed)
        rows = [
            {
                "policy": name,
                "flush": number,
                "size": flush.size,
                "wanted": right_size(name, server.cost(flush.left), latency_target),
                "seconds": flush.seconds,
            }
            for number, flush in enumerate(run.flushes)
            if flush.left < 2 * lengths[0] + lengths[1]
        ]
        frame = pd.DataFrame(rows)
        frames.append(frame)
        changes += _changes(name, frame)
    return ChangeStudy(pd.concat(frames, ignore_index=True), tuple(changes))


def _changes(name: str, frame: pd.DataFrame) -> list[Change]:
    found = []
    wanted = frame["wanted"].to_numpy(float)
    # without the smaller batches that probe
    sizes = frame["size"].rolling(8, min_periods=1).max().to_numpy(float)
    starts = [number for number in range(1, len(wanted)) if wanted[number] != wanted[number - 1]]
    for start, end in zip(starts, [*starts[1:], len(wanted)], strict=True):
        near = (number for number, size in enumerate(sizes[start:end]) if abs(size / wanted[start] - 1) <= NEAR)
        found.append(
            Change(
                policy=name,
                slower=bool(wanted[start] < wanted[start - 1]),
                wanted=float(wanted[start]),
                flushes=next(near, None),
            )
        )
    return found


def load_study(latency_target: float, *, items: int = 20_000, seed: int = 1) -> pd.DataFrame:
    """Poisson arrivals at shares of the highest throughput, and a closed loop of clients that wait for each result.

    Args:
        latency_target: seconds.
        items: of each run.
        seed: of arrivals, noise and probes.

    Returns:
        Columns load, policy, p99 (seconds), busy (share of the server's time), mean_batch, items_per_second.
    """
    arms = {**policies(latency_target), "500 at 10 ms": "fixed", "no batching": "fixed"}
    limits = {"500 at 10 ms": Limits(500, 0.010, None, 10**9), "no batching": Limits(1, 0.0, None, 10**9)}
    rows = []
    for share in (0.01, 0.10, 0.50, 0.90, None):
        rate = (share or 1.0) * COST.best_throughput
        load = (
            Clients(CLOSED_LOOP_CLIENTS, items, think_seconds=5e-6)
            if share is None
            else poisson(rate, items / rate, seed=seed)
        )
        for name, sizing in arms.items():
            server = SimulatedServer(COST, noise=NOISE, random=Random(seed))
            run = simulate(load, server, limits.get(name, LIMITS), sizing, seed=seed)
            rows.append(
                {
                    "load": f"{CLOSED_LOOP_CLIENTS} clients" if share is None else f"{share:.0%} of capacity",
                    "policy": name,
                    "p99": run.latency_quantile(0.99),
                    "busy": run.busy_share,
                    "mean_batch": len(run.latency) / len(run.flushes),
                    "items_per_second": run.items_per_second,
                }
            )
    return pd.DataFrame(rows)


def load_table(loads: pd.DataFrame) -> str:
    """The result of `load_study` as a Markdown table."""
    header = ["load", "policy", "p99", "server busy", "mean batch", "throughput"]
    rows = [
        (
            row["load"],
            row["policy"],
            format_seconds(row["p99"]),
            format_percent(row["busy"]),
            format_count(row["mean_batch"]),
            format_rate(row["items_per_second"]),
        )
        for row in loads.to_dict("records")
    ]
    return markdown_table(header, rows)
