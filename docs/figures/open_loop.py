"""One standstill, as an open and as a closed loop see it."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pandas as pd

from perflab.batching.limits import Limits
from perflab.batching.sizing.polynomial_cost import PolynomialCost
from perflab.lab.plots.plot import Plot
from perflab.lab.plots.style import BLUE, ORANGE, end_labels, label_ticks, log_axis, new_figure
from perflab.lab.quantities import format_seconds
from perflab.lab.simulation.server import Regime, SimulatedServer
from perflab.lab.simulation.simulate import Clients, simulate
from perflab.lab.workloads.arrivals import poisson

COST = PolynomialCost(200e-6, 10e-6)
STANDSTILL_SECONDS = 1.0
STANDSTILL = (Regime(0.0, COST), Regime(10.0, PolynomialCost(STANDSTILL_SECONDS, 10e-6)), Regime(10.5, COST))
"""One flush leaves in this half of a second, for it takes a whole one."""
LIMITS = Limits(100, 0.002, None, 10**9)
ITEMS, RATE, CLIENTS = 20_000, 1_000.0, 16
FRACTIONS = (0.5, 0.9, 0.95, 0.99, 0.999)


def latency_of_a_standstill() -> Plot:
    """Quantiles of the latency of 20 s at 1,000 items a second, of which the database stands still for one.

    Data columns: loop, percentile, seconds.
    """
    loops: dict[str, Iterable[float] | Clients] = {
        "open loop, from the intended time": poisson(RATE, ITEMS / RATE, seed=1),
        f"closed loop, {CLIENTS} clients": Clients(CLIENTS, ITEMS, think_seconds=CLIENTS / RATE),
    }
    rows = []
    for name, load in loops.items():
        run = simulate(load, SimulatedServer(STANDSTILL, random=Random(1)), LIMITS, "fixed")
        rows += [(name, 100 * fraction, run.latency_quantile(fraction)) for fraction in FRACTIONS]
    data = pd.DataFrame(rows, columns=["loop", "percentile", "seconds"])
    p99 = data[data["percentile"] == 100 * 0.99].set_index("loop")["seconds"]
    honest, flattering = (format_seconds(p99[name]) for name in loops)
    title = f"A second of standstill: the p99 of an open loop is {honest}, that of a closed one {flattering}"
    figure, (axes,) = new_figure(
        title,
        f"Simulated: {ITEMS:,} items, {RATE:,.0f} a second, batches of up to {LIMITS.batch_size} after "
        f"{format_seconds(LIMITS.flush_interval)}; one flush takes {format_seconds(STANDSTILL_SECONDS)}.",
        plot_height_inches=3.0,
        right_inches=2.5,
    )
    log_axis(axes, "y", format_seconds, ticks=(1.0,))
    places = range(len(FRACTIONS))
    ends = []
    for name, color in zip(loops, (ORANGE, BLUE), strict=True):
        seconds = data[data["loop"] == name]["seconds"].tolist()
        axes.plot(places, seconds, "o-", color=color, linewidth=1.4, markersize=5)
        ends.append(seconds[-1])
    label_ticks(axes, list(places), [f"p{100 * fraction:g}" for fraction in FRACTIONS])
    axes.set_xlim(-0.2, len(FRACTIONS) - 0.8)
    axes.set_ylabel("latency")
    end_labels(axes, [len(FRACTIONS) - 1.0] * 2, ends, list(loops), [ORANGE, BLUE])
    reading = (
        f"Of {ITEMS:,} items the standstill met about {RATE * STANDSTILL_SECONDS:,.0f}, which a closed loop never sent "
        f"in that second: its p99 is {flattering} where users had {honest}."
    )
    return Plot(figure, title, reading, data)
