"""What the visits say about a queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from perflab.lab.quantities import format_count
from perflab.lab.queue_cost.plan import Depth, Handler, Hold, QueuePlan
from perflab.lab.statistics.intervals import geometric_mean_interval
from perflab.lab.statistics.ratio import Ratio, paired_ratio
from perflab.lab.sweep.environment import Environment


@dataclass(frozen=True)
class QueueFindings:
    """Tables made of the visits.

    Attributes:
        plan: What was measured.
        environment: On what.
        calls: One row for each visit and call: what `visit_calls` returns, with block, position, measured_at.
        drains: The same of `visit_drain`.
        depths: The same of `visit_depth`.
        snapshots: The same of `visit_snapshot`, for each step.
    """

    plan: QueuePlan
    environment: Environment
    calls: pd.DataFrame
    drains: pd.DataFrame
    depths: pd.DataFrame
    snapshots: pd.DataFrame

    @property
    def visits(self) -> pd.DataFrame:
        """One row for each visit: part, block, position, measured_at."""
        parts = {"calls": self.calls, "drain": self.drains, "depth": self.depths, "snapshot": self.snapshots}
        columns = ["block", "position", "measured_at"]
        visits = [rows[columns].drop_duplicates().assign(part=part) for part, rows in parts.items()]
        return pd.concat(visits, ignore_index=True)

    @cached_property
    def call_costs(self) -> pd.DataFrame:
        """Columns: call, batch_size, seconds_per_job (and its _low, _high), round_trips_per_job, blocks."""
        costs = _means(self.calls, ["call", "batch_size"], "seconds_per_job")
        trips = self.calls.groupby(["call", "batch_size"], as_index=False)["round_trips_per_job"].max()
        return costs.merge(trips)

    @cached_property
    def drain_rates(self) -> pd.DataFrame:
        """Columns: handler, workers, jobs_per_second (and its _low, _high), blocks."""
        return _means(self.drains, ["handler", "workers"], "jobs_per_second")

    @cached_property
    def claim_costs(self) -> pd.DataFrame:
        """Columns: ready, scheduled, claim_seconds (and its _low, _high), blocks; in the order of the plan."""
        return _means(self.depths, ["scheduled", "ready"], "claim_seconds")

    @cached_property
    def snapshot_steps(self) -> pd.DataFrame:
        """Columns: step, hold, jobs, claim_seconds and bytes_on_disk (and their _low, _high), blocks."""
        by = ["step", "hold", "jobs"]
        return _means(self.snapshots, by, "claim_seconds").merge(_means(self.snapshots, by, "bytes_on_disk"))

    def batching_gain(self, call: str) -> Ratio:
        """Time per job in calls of one ÷ that in calls of the largest size, block by block."""
        visits = self.calls[self.calls["call"] == call]
        sizes = (self.plan.batch_sizes[0], self.plan.batch_sizes[-1])
        return _ratio(visits, "batch_size", "seconds_per_job", *sizes)

    def speed_up(self, handler: Handler, workers: int) -> Ratio:
        """Jobs per second with so many workers ÷ that with one, block by block."""
        visits = self.drains[self.drains["handler"] == str(handler)]
        return _ratio(visits, "workers", "jobs_per_second", workers, 1)

    def growth(self, depth: Depth) -> Ratio:
        """Time of a claim from this queue ÷ that from the smallest one, block by block."""
        return _ratio(self.depths, "depth", "claim_seconds", str(depth), str(self.plan.depths[0]))

    def slow_down(self, hold: Hold) -> Ratio:
        """Time of a claim in the last step while or after the snapshot was held ÷ that in the last one before."""
        last = self.snapshots.groupby(["block", "hold"], as_index=False).last()
        return _ratio(last, "hold", "claim_seconds", str(hold), str(Hold.BEFORE))

    def headline(self) -> dict[str, str | float]:
        """The rate of the drain, and what a deep queue and a held snapshot do to a claim."""
        one = self.drain_rates[self.drain_rates["handler"] == str(Handler.NOTHING)].sort_values("workers").iloc[0]
        deepest = Depth(self.plan.ready[-1])
        return {
            "one_worker_jobs_per_second": float(one["jobs_per_second"]),
            "deep_queue": f"{format_count(self.growth(deepest).value)} times the claim, with {deepest}",
            "held_snapshot": f"{format_count(self.slow_down(Hold.HELD).value)} times the claim before",
        }


def _means(visits: pd.DataFrame, by: Sequence[str], column: str) -> pd.DataFrame:
    """The geometric mean of the blocks, with its interval, for each group."""
    rows = []
    for key, group in visits.groupby(list(by), sort=True):
        estimate = geometric_mean_interval(group[column].to_numpy(float))
        bounds = {column: estimate.value, f"{column}_low": estimate.low, f"{column}_high": estimate.high}
        rows.append({**dict(zip(by, key, strict=True)), **bounds, "blocks": estimate.n})
    return pd.DataFrame(rows)


def _ratio(visits: pd.DataFrame, by: str, column: str, first: object, second: object) -> Ratio:
    table = visits.pivot_table(index="block", columns=by, values=column)
    pair = (table[arm].to_numpy(float) for arm in (first, second))
    return paired_ratio(*pair, rng=np.random.default_rng(len(table)))
