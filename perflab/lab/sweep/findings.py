"""What a sweep found: its stored visits as tables, a cost model and a recommendation."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TextIO

import numpy as np
import pandas as pd

from perflab.errors import InvalidInput, StoreError
from perflab.lab.cost_model import CostModel, fit_cost_model
from perflab.lab.grid_points import GridPoint
from perflab.lab.recommend import NoRecommendation, Recommendation, recommend
from perflab.lab.statistics.intervals import Estimate, geometric_mean_interval
from perflab.lab.statistics.ratio import Ratio, paired_ratio
from perflab.lab.sweep.environment import Environment
from perflab.lab.sweep.measure import measure
from perflab.lab.sweep.plan import Mode, SweepPlan
from perflab.lab.sweep.run import MeasureCell, run_sweep
from perflab.lab.sweep.store import ResultsStore

CELL = ["batch_size", "flush_interval"]


class Findings:
    """The stored results of one plan.

    Raises:
        StoreError: visits of the plan are missing: run the sweep first.
        InvalidInput: the plan has several added latencies, and each has findings of its own, or sizing policies.
    """

    def __init__(self, plan: SweepPlan, store: ResultsStore) -> None:
        if len(plan.added_latencies) > 1:
            raise InvalidInput(
                f"the sweep {plan.name!r} adds {len(plan.added_latencies)} latencies: take the findings of one, with "
                "plan.at(…)"
            )
        if plan.sizings:
            raise InvalidInput(f"the sweep {plan.name!r} measures sizing policies: take its SizingFindings")
        self.plan = plan
        self.visits: pd.DataFrame = store.visits(plan)
        planned = sum(1 for _ in plan.visits())
        if len(self.visits) < planned:
            raise StoreError(
                f"{len(self.visits)} of {planned} visits of the sweep {plan.name!r} are measured: "
                "run the sweep to its end"
            )
        self.environment: Environment = store.environment(plan)
        self._flushes = store.flushes(plan)

    @cached_property
    def capacity(self) -> pd.DataFrame:
        """As fast as possible, one row for each batch size: items per second, end to end and of writer time.

        Columns: batch_size, items_per_second, items_per_second_low, items_per_second_high, items_per_writer_second
        (and its _low, _high), mean_batch, round_trips_per_item, blocks. Geometric means over blocks, 95 % t intervals.
        """
        visits = self._of(Mode.CLOSED_LOOP)
        rows = []
        for size, group in visits.groupby("batch_size", sort=True):
            rows.append(
                {
                    "batch_size": size,
                    **_interval("items_per_second", group["items_per_second"]),
                    **_interval("items_per_writer_second", group["items_per_writer_second"]),
                    "mean_batch": group["mean_batch"].mean(),
                    "round_trips_per_item": group["round_trips"].sum() / group["items"].sum(),
                    "blocks": len(group),
                }
            )
        return pd.DataFrame(rows)

    @property
    def full_flushes(self) -> pd.DataFrame:
        """The full, warm batches of the closed loop."""
        flushes = self._flushes
        return flushes[
            (flushes["mode"] == str(Mode.CLOSED_LOOP)) & flushes["warm"] & (flushes["items"] == flushes["batch_size"])
        ]

    @cached_property
    def round_trips_per_flush(self) -> dict[int, float]:
        """How many round trips a full batch took, by batch size; means, as counted."""
        means = self.full_flushes.groupby("batch_size")["round_trips"].mean()
        return {int(str(size)): float(mean) for size, mean in means.items()}

    @cached_property
    def cost_model(self) -> CostModel:
        """The cost of a flush, fitted to the full, warm batches of the closed loop.

        Raises:
            InvalidInput: fewer than three batch sizes filled a batch in every block.
        """
        full = self.full_flushes
        blocks: list[Hashable] = full["block"].tolist()
        return fit_cost_model(full["items"].to_numpy(float), full["seconds"].to_numpy(float), blocks)

    @cached_property
    def replay(self) -> pd.DataFrame:
        """The replayed trace, one row for each setting.

        Columns: batch_size, flush_interval (seconds), p50, p99 (seconds, with _low, _high; NaN where unstable),
        items_per_writer_second (and its _low, _high), mean_batch, round_trips, round_trips_unbatched,
        round_trips_saved (share), stable, offered_per_second, blocks, copied. Single items, which were replayed once
        for all intervals, stand at each of them; those that were not measured there are `copied`.
        """
        rows = []
        for (size, interval), group in self._replayed.groupby(CELL, sort=True):
            stable = bool(group["stable"].all())
            rows.append(
                {
                    "batch_size": size,
                    "flush_interval": interval,
                    **_interval("p50", group["p50"] if stable else None),
                    **_interval("p99", group["p99"] if stable else None),
                    **_interval("items_per_writer_second", group["items_per_writer_second"]),
                    "mean_batch": group["items"].sum() / (group["items"] / group["mean_batch"]).sum(),
                    "round_trips": int(group["round_trips"].sum()),
                    "round_trips_unbatched": int(group["round_trips_unbatched"].sum()),
                    "round_trips_saved": 1 - group["round_trips"].sum() / group["round_trips_unbatched"].sum(),
                    "stable": stable,
                    "offered_per_second": group["items"].sum() / (len(group) * self.plan.replay_seconds),
                    "blocks": len(group),
                    "copied": bool(group["copied"].all()),
                }
            )
        return pd.DataFrame(rows)

    @cached_property
    def causes(self) -> pd.DataFrame:
        """Why the flushes of the replay left, one row for each setting and cause that occurred.

        Columns: batch_size, flush_interval (seconds), cause, flushes, share (of the flushes of the setting).
        """
        replayed = self._replayed[["visit_key", *CELL]]
        flushes = self._flushes.drop(columns=CELL).merge(replayed, on="visit_key")
        counted = flushes.groupby([*CELL, "cause"], sort=True).size().rename("flushes").reset_index()
        counted["share"] = counted["flushes"] / counted.groupby(CELL)["flushes"].transform("sum")
        return counted

    @cached_property
    def answers(self) -> pd.DataFrame:
        """The check of the answers, one row for each block and number of items that its visits wrote.

        Each visit was compared with the trace before it was stored; visits that wrote the same items must agree, too.
        Columns: mode, block, items, visits, checksums (how many different ones: 1 if all agree).
        """
        groups = self.visits.groupby(["mode", "block", "items"], sort=True)["checksum"]
        return groups.agg(visits="size", checksums="nunique").reset_index()

    @cached_property
    def points(self) -> list[GridPoint]:
        """The replayed settings, for the frontier and the recommendation."""
        return [
            GridPoint(
                batch_size=int(group["batch_size"].iloc[0]),
                flush_interval_seconds=float(group["flush_interval"].iloc[0]),
                throughput_by_block=tuple(group["items_per_writer_second"]),
                p99_seconds_by_block=tuple(group["p99"]) if group["stable"].all() else (),
                mean_batch=float(group["mean_batch"].mean()),
                stable=bool(group["stable"].all()),
                arrivals_per_second=float(group["items"].sum() / (len(group) * self.plan.replay_seconds)),
            )
            for _, group in self._of(Mode.REPLAY).sort_values("block").groupby(CELL, sort=True)
        ]

    def recommend(self, latency_target_seconds: float) -> Recommendation | NoRecommendation:
        """The setting to use under a bound of the p99, or why there is none."""
        return recommend(self.points, latency_target_seconds, rng=np.random.default_rng(self.plan.seed))

    @cached_property
    def _replayed(self) -> pd.DataFrame:
        """The replays, those of single items at every interval: they wait for none, and were made once for all."""
        visits = self._of(Mode.REPLAY)
        single = visits[visits["batch_size"] == 1]
        copies = [
            single[single["flush_interval"] != interval].assign(flush_interval=interval, copied=True)
            for interval in self.plan.replay_flush_intervals
        ]
        return pd.concat([visits.assign(copied=False), *copies], ignore_index=True)

    def _of(self, mode: Mode) -> pd.DataFrame:
        visits = self.visits[self.visits["mode"] == str(mode)]
        if visits.empty:
            raise InvalidInput(f"the sweep {self.plan.name!r} has no visit in the mode {str(mode)!r}: add cells of it")
        return visits


def _interval(name: str, values: pd.Series[float] | None) -> dict[str, float]:
    if values is None:
        return {name: np.nan, f"{name}_low": np.nan, f"{name}_high": np.nan}
    estimate = geometric_mean_interval(values.to_numpy(float))
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The recommendation, measured a second time in blocks of its own, beside its neighbours.

    Attributes:
        recommended: the setting that was measured again.
        throughput: items per second of writer time, this time.
        p99: seconds, this time; None where the load was too much for it.
        against_unbatched, against_half, against_double: ratio of throughputs, recommended over the other, paired by
            block; None where the other is the recommended setting itself.
        predicted: the throughput of the first measurement.
    """

    recommended: Recommendation
    throughput: Estimate
    p99: Estimate | None
    against_unbatched: Ratio | None
    against_half: Ratio | None
    against_double: Ratio | None
    predicted: Estimate

    @property
    def meets_target(self) -> bool:
        return self.p99 is not None and self.p99.value <= self.recommended.latency_target_seconds

    @property
    def prediction_error(self) -> float:
        """(measured - predicted) / predicted throughput."""
        return self.throughput.value / self.predicted.value - 1


def confirm(
    recommendation: Recommendation,
    plan: SweepPlan,
    store: ResultsStore,
    *,
    url: str | None = None,
    progress: TextIO | bool | None = True,
    measure_cell: MeasureCell = measure,
    unbatched: bool = True,
) -> Confirmation:
    """Measure a recommended setting again, with half and double its batch size and unbatched, on other stretches.

    Args:
        recommendation: from a sweep of `plan`.
        plan: the sweep; its replay is repeated with another seed.
        store: where the new visits go.
        url: as for `run_sweep`.
        progress: as for `run_sweep`.
        measure_cell: as for `run_sweep`.
        unbatched: whether to measure single items too, which take long where each is a slow round trip.
    """
    size, interval = recommendation.batch_size, recommendation.flush_interval_seconds
    half, double = max(1, size // 2), 2 * size
    second = replace(
        plan,
        name=f"confirmation of {plan.name}",
        closed_loop_batch_sizes=(),
        replay_batch_sizes=tuple(sorted({half, size, double} | ({1} if unbatched else set()))),
        replay_flush_intervals=(interval,),
        seed=plan.seed + 1,
    )
    run_sweep(second, store, url=url, progress=progress, measure_cell=measure_cell)
    points = {point.batch_size: point for point in Findings(second, store).points}
    chosen = points[size]

    def against(other: int) -> Ratio | None:
        if other == size or other not in points:
            return None
        return paired_ratio(
            chosen.throughput_by_block,
            points[other].throughput_by_block,
            rng=np.random.default_rng(second.seed),
        )

    return Confirmation(
        recommended=recommendation,
        throughput=chosen.throughput,
        p99=chosen.p99 if chosen.stable else None,
        against_unbatched=against(1),
        against_half=against(half),
        against_double=against(double),
        predicted=recommendation.throughput,
    )
