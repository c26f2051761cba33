"""The sweeps of the notebook `04_adaptive_batching`: fixed settings and policies, from a light load to saturation.

What a light load is depends on the machine. So the capacity is measured first, and loads are shares of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, get_args

from perflab.database.pools import Durability
from perflab.errors import InvalidInput
from perflab.lab.sweep.measure import measure
from perflab.lab.sweep.plan import Engine, SweepPlan
from perflab.lab.sweep.profiles import Profile
from perflab.lab.sweep.run import MeasureCell, SweepReport, run_sweep
from perflab.lab.sweep.server import server_label
from perflab.lab.sweep.sizing_findings import SizingFindings
from perflab.lab.sweep.store import ResultsStore
from perflab.lab.workloads.request_traces import REQUESTS, missing_traces

AS_FAST_AS_POSSIBLE = "as fast as possible"
SATURATED = "saturated"
SHARES = (0.10, 0.30, 0.60, 0.85)
"""Of the capacity; saturation is the fifth load."""
FEWEST_ITEMS, MOST_ITEMS = 1_200, 15_000
"""Of a replay: a p99 needs a thousand, and the week's trace has some twenty thousand."""

_BASE: Mapping[Profile, SweepPlan] = {
    "smoke": SweepPlan(replay_batch_sizes=(100,), replay_flush_intervals=(0.010,), blocks=3, sizings=("adaptive",)),
    "quick": SweepPlan(
        replay_batch_sizes=(10, 100, 1_000),
        replay_flush_intervals=(0.0, 0.002, 0.010),
        sizings=("adaptive", "ski rental", "AIMD"),
    ),
    "full": SweepPlan(
        replay_batch_sizes=(1, 10, 100, 1_000, 5_000),
        replay_flush_intervals=(0.0, 0.002, 0.005, 0.010, 0.030),
        blocks=12,
        sizings=("adaptive", "ski rental", "AIMD"),
        source="year",
    ),
}

_CLOSED_LOOP: Mapping[Profile, dict[str, Any]] = {
    "smoke": {"closed_loop_batch_sizes": (100,), "closed_loop_items": 8_000},
    "quick": {"closed_loop_batch_sizes": (10, 50, 200, 1_000, 5_000), "closed_loop_items": 19_000, "blocks": 12},
    "full": {"closed_loop_batch_sizes": (10, 50, 100, 200, 500, 1_000, 2_000, 5_000), "closed_loop_items": 100_000},
}

_TRACES: Mapping[str, dict[str, Any]] = {
    "flights, 100,000-fold": {"speed_up": 100_000.0, "replay_seconds": 1.0},
    "conversations, 700-fold": {"arrivals": "azure conversations", "speed_up": 700.0, "replay_seconds": 1.0},
    "bursts of requests, 1,500-fold": {"arrivals": "azure code", "speed_up": 1_500.0, "replay_seconds": 1.0},
}


@dataclass(frozen=True, slots=True)
class SizingStudy:
    """Which plans are measured, and on what.

    Attributes:
        profile: "smoke" takes some thirty seconds, "quick" about ten minutes, "full" two hours, over the year's trace.
        latency_target: Seconds that the policies are to keep within.
        engine: "sqlite" or "postgresql".
        url: Of the user's own server, which the plans know by its label only; None for an embedded one.
        seed: Of orders and slices.
        durability: "normal" or "full".

    Raises:
        InvalidInput: there is no such profile.
    """

    profile: Profile
    latency_target: float
    engine: Engine = "sqlite"
    url: str | None = field(default=None, repr=False)
    seed: int = 20130705
    durability: Durability = "normal"

    def __post_init__(self) -> None:
        if self.profile not in get_args(Profile):
            raise InvalidInput(f"profile is {self.profile!r}: use one of {', '.join(map(repr, get_args(Profile)))}")

    def as_fast_as_possible(self) -> SweepPlan:
        """A closed loop that waits for no result: what the database takes, at whatever latency."""
        return replace(self._base(AS_FAST_AS_POSSIBLE), replay_batch_sizes=(), **_CLOSED_LOOP[self.profile])

    def saturated(self, throughput: float) -> SweepPlan:
        """A closed loop of so many clients that each waits for a quarter of the latency target at that throughput.

        By Little's law (J. D. C. Little, *Operations Research* 9, 1961) that many items are on their way at once. A
        quarter, because clients that wait for results get less throughput, and the p99 is above the mean. Fixed
        settings wait up to 2 ms for more.

        Args:
            throughput: items per second, as fast as possible.
        """
        clients = max(2, int(_two_digits(throughput * self.latency_target / 4)))
        return replace(
            self.as_fast_as_possible(), name=SATURATED, closed_loop_clients=clients, closed_loop_flush_interval=0.002
        )

    def replays(self, capacity: float) -> dict[str, SweepPlan]:
        """Independent arrivals at shares of the capacity, and the traces that are there, by name.

        Args:
            capacity: items per second that the best fixed setting writes when saturated.
        """
        wanted = {
            share: max(FEWEST_ITEMS, min(MOST_ITEMS, share * capacity * self._base("").replay_seconds))
            for share in SHARES
        }
        plans: dict[str, dict[str, Any]] = {
            f"{share:.0%} of capacity": {
                "arrivals": "independent",
                "speed_up": (rate := _two_digits(share * capacity)),
                "replay_seconds": float(f"{items / rate:.3g}"),
            }
            for share, items in wanted.items()
        }
        plans |= {name: trace for name, trace in _TRACES.items() if self._has(trace)}
        return {name: replace(self._base(name), **plan) for name, plan in plans.items()}

    def _has(self, trace: Mapping[str, Any]) -> bool:
        of_requests = trace.get("arrivals") in REQUESTS
        if self.profile != "full" and trace.get("arrivals") == "azure conversations":
            return False  # almost independent of each other: the shares of the capacity show the same
        return not (of_requests and missing_traces())

    def _base(self, name: str) -> SweepPlan:
        return replace(
            _BASE[self.profile],
            name=name,
            replay_seconds=0.4 if self.profile == "smoke" else 1.0,
            engine=self.engine,
            server=server_label(self.engine, self.url),
            latency_target=self.latency_target,
            seed=self.seed,
            durability=self.durability,
        )


def run_sizing_study(
    study: SizingStudy, store: ResultsStore, *, measure_cell: MeasureCell = measure
) -> tuple[SweepReport, SizingFindings]:
    """Measure what the store does not have: first the capacity, then every other load. The saturated one is the last.

    Raises:
        LabError: what `run_sweep` raises.
    """
    fastest = study.as_fast_as_possible()
    run = partial(run_sweep, store=store, url=study.url, measure_cell=measure_cell)
    report = run(fastest)
    saturated = study.saturated(_best_throughput(fastest, store))
    report += run(saturated)
    replays = study.replays(_best_throughput(saturated, store))
    for plan in replays.values():
        report += run(plan)
    return report, SizingFindings({**replays, SATURATED: saturated, AS_FAST_AS_POSSIBLE: fastest}, store)


def _best_throughput(plan: SweepPlan, store: ResultsStore) -> float:
    """Items per second of the best fixed setting of a closed loop."""
    arms = SizingFindings({plan.name: plan}, store).arms
    return max(arm.items_per_second.value for arm in arms if arm.cell.sizing == "fixed")


def _two_digits(value: float) -> float:
    """Rounded, so that figures are round and small differences of machines make the same plan."""
    return float(f"{value:.1e}")
