"""What sizing policies did under each load, against the fixed settings that were measured beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from perflab.errors import StoreError
from perflab.lab.statistics.intervals import Estimate, geometric_mean_interval
from perflab.lab.statistics.ratio import Ratio, paired_ratio
from perflab.lab.sweep.environment import Environment
from perflab.lab.sweep.plan import Cell, Mode, SweepPlan
from perflab.lab.sweep.store import ResultsStore


@dataclass(frozen=True, slots=True)
class Arm:
    """One setting or policy under one load.

    Attributes:
        load: Name of the load.
        cell: What was measured.
        p99: Seconds from the intended time (of clients, from `submit`) to the result; None where it did not keep up in
            every block, or where items are submitted as fast as possible.
        lag_p99: Seconds by which the load itself came late, the median of the blocks; None in a closed loop. It is part
            of the p99, and says how busy the machine was.
        writer_seconds_per_item: Seconds of the writer's time.
        items_per_second: End to end.
        round_trips_per_item: As counted.
        blocks: How many.
    """

    load: str
    cell: Cell
    p99: Estimate | None
    lag_p99: float | None
    writer_seconds_per_item: Estimate
    items_per_second: Estimate
    round_trips_per_item: float
    blocks: int

    @property
    def label(self) -> str:
        """`"adaptive"`, `"100 at 2 ms"`."""
        if self.cell.sizing != "fixed":
            return self.cell.sizing
        if self.cell.mode is Mode.CLOSED_LOOP:
            return f"{self.cell.batch_size:,}"
        return f"{self.cell.batch_size:,} at {self.cell.flush_interval * 1e3:g} ms"


@dataclass(frozen=True, slots=True)
class Contest:
    """A policy against the best fixed setting of a load, chosen after the fact.

    Attributes:
        load: Name of the load.
        sizing: The policy.
        figure: What is compared: a column of the visits.
        best: Label of the fixed setting.
        ratio: Policy over fixed setting, paired by block; None where one of them did not keep up.
    """

    load: str
    sizing: str
    figure: str
    best: str
    ratio: Ratio | None


class SizingFindings:
    """The stored results of the plans of `sizing_plans`, or of some like them.

    Raises:
        StoreError: visits of a plan are missing: run the sweeps first.
    """

    def __init__(self, plans: Mapping[str, SweepPlan], store: ResultsStore) -> None:
        self.plans = dict(plans)
        self.visits: pd.DataFrame = pd.concat(
            [store.visits(plan).assign(load=load) for load, plan in plans.items()], ignore_index=True
        )
        self.visits["writer_seconds_per_item"] = self.visits["writer_seconds"] / self.visits["items"]
        for load, plan in plans.items():
            measured, planned = int((self.visits["load"] == load).sum()), sum(1 for _ in plan.visits())
            if measured < planned:
                raise StoreError(
                    f"{measured} of {planned} visits of the load {load!r} are measured: run the sweep to its end"
                )
        self.environment: Environment = store.environment(next(iter(plans.values())))
        self.target = next(iter(plans.values())).latency_target

    @cached_property
    def arms(self) -> list[Arm]:
        """Every setting and policy under every load, in the order of the plans."""
        return [self._arm(load, cell) for load, plan in self.plans.items() for cell in plan.cells]

    @cached_property
    def answers(self) -> pd.DataFrame:
        """The check of the answers, as `Findings.answers`, with the load."""
        groups = self.visits.groupby(["load", "block", "items"], sort=False)["checksum"]
        return groups.agg(visits="size", checksums="nunique").reset_index()

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each arm.

        Columns: load, mode, arm, sizing, batch_size, flush_interval; p99 (seconds; NaN where there is none),
        writer_seconds_per_item, items_per_second, each with _low and _high; round_trips_per_item, blocks.
        """
        rows = [
            {
                "load": arm.load,
                "mode": str(arm.cell.mode),
                "arm": arm.label,
                "sizing": arm.cell.sizing,
                "batch_size": arm.cell.batch_size,
                "flush_interval": arm.cell.flush_interval,
                **_columns("p99", arm.p99),
                **_columns("writer_seconds_per_item", arm.writer_seconds_per_item),
                **_columns("items_per_second", arm.items_per_second),
                "round_trips_per_item": arm.round_trips_per_item,
                "blocks": arm.blocks,
            }
            for arm in self.arms
        ]
        return pd.DataFrame(rows)

    def offered(self, load: str) -> float:
        """Items per second that a replay offers."""
        visits = self.visits[(self.visits["load"] == load) & (self.visits["mode"] == str(Mode.REPLAY))]
        return float(visits["items"].mean()) / self.plans[load].replay_seconds

    def headline(self) -> dict[str, float | str]:
        """What adaptive sizing did: its p99 of each replay, and its throughput over the best when saturated."""
        found: dict[str, float | str] = {}
        for arm in self.arms:
            if arm.cell.sizing == "adaptive" and arm.cell.mode is Mode.REPLAY:
                name = "".join(letter if letter.isalnum() else "_" for letter in arm.load).replace("__", "_")
                found |= {f"p99_{name}_seconds": arm.p99.value} if arm.p99 else {f"p99_{name}": "did not keep up"}
        for contest in self.contests:
            if contest.sizing == "adaptive" and contest.figure == "items_per_second" and contest.ratio is not None:
                found.setdefault("throughput_over_the_best_fixed", contest.ratio.value)
        return found

    @cached_property
    def contests(self) -> list[Contest]:
        """Each policy against the best fixed setting of each load.

        Of a replay: the lowest p99, and the least of the writer's time among those whose p99 meets the target. Of the
        closed loop: the highest throughput. The best of many is partly the luckiest, so this favours the fixed ones.
        """
        found: list[Contest] = []
        for load, plan in self.plans.items():
            arms = [arm for arm in self.arms if arm.load == load]
            policies = [arm for arm in arms if arm.cell.sizing != "fixed"]
            for figure, best in self._best(plan, [arm for arm in arms if arm.cell.sizing == "fixed"]).items():
                found += [self._contest(policy, best, figure) for policy in policies]
        return found

    def ratio(self, above: Arm, below: Arm, figure: str) -> Ratio:
        """A figure (a column of the visits) of one arm over that of another one of the same load, paired by block."""
        both = (self._of(arm.load, arm.cell)[figure].to_numpy(float) for arm in (above, below))
        return paired_ratio(*both, rng=np.random.default_rng(self.plans[above.load].seed))

    def _best(self, plan: SweepPlan, fixed: list[Arm]) -> dict[str, Arm]:
        if plan.closed_loop_batch_sizes:
            return {"items_per_second": max(fixed, key=lambda arm: arm.items_per_second.value)}
        rated = [(arm.p99.value, arm) for arm in fixed if arm.p99 is not None]
        if not rated:
            return {}
        best = {"p99": min(rated, key=lambda pair: pair[0])[1]}
        within = [arm for p99, arm in rated if p99 <= self.target]
        if within:
            best["writer_seconds_per_item"] = min(within, key=lambda arm: arm.writer_seconds_per_item.value)
        return best

    def _contest(self, policy: Arm, best: Arm, figure: str) -> Contest:
        ratio = None
        if figure != "p99" or policy.p99 is not None:
            ratio = self.ratio(policy, best, figure)
        return Contest(policy.load, policy.cell.sizing, figure, best.label, ratio)

    def _arm(self, load: str, cell: Cell) -> Arm:
        visits = self._of(load, cell)
        rated = bool(visits["p99"].notna().all())
        return Arm(
            load=load,
            cell=cell,
            p99=geometric_mean_interval(visits["p99"].to_numpy(float)) if rated else None,
            lag_p99=None if visits["lag_p99"].isna().any() else float(visits["lag_p99"].median()),
            writer_seconds_per_item=geometric_mean_interval(visits["writer_seconds_per_item"].to_numpy(float)),
            items_per_second=geometric_mean_interval(visits["items_per_second"].to_numpy(float)),
            round_trips_per_item=float(visits["round_trips"].sum() / visits["items"].sum()),
            blocks=len(visits),
        )

    def _of(self, load: str, cell: Cell) -> pd.DataFrame:
        """The visits of one arm, by block."""
        visits = self.visits
        return visits[
            (visits["load"] == load)
            & (visits["mode"] == str(cell.mode))
            & (visits["sizing"] == cell.sizing)
            & (visits["batch_size"] == cell.batch_size)
            & (visits["flush_interval"] == cell.flush_interval)
        ].sort_values("block")


def _columns(name: str, estimate: Estimate | None) -> dict[str, float]:
    if estimate is None:
        return {name: np.nan, f"{name}_low": np.nan, f"{name}_high": np.nan}
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
