"""What the visits say about the arms."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pandas as pd

from perflab.lab.cache_warming.board import SLOT_SECONDS
from perflab.lab.cache_warming.plan import Arm, WarmingPlan
from perflab.lab.cache_warming.visit import VisitReading
from perflab.lab.statistics.intervals import mean_interval
from perflab.lab.statistics.percentiles import percentile_over_blocks
from perflab.lab.statistics.ratio import Ratio, paired_ratio
from perflab.lab.sweep.environment import Environment

MINUTES = 60
"""Of a window for a p99: all routes are polled four times in it, which is more than the thousand jobs that it needs."""


class WarmingFindings:
    """Tables made of the readings of a contest.

    Attributes:
        plan: What was measured.
        environment: On what.
    """

    def __init__(self, plan: WarmingPlan, readings: Sequence[VisitReading], environment: Environment) -> None:
        self.plan = plan
        self.environment = environment
        self._readings = list(readings)

    @cached_property
    def visits(self) -> pd.DataFrame:
        """One row for each visit.

        Columns: block, position, arm, measured_at, jobs, asked (keys), hits, outdated (rows), read_round_trips,
        warm_round_trips, job_seconds (in all jobs together), warm_seconds, precision.
        """
        return pd.DataFrame(
            {
                "block": reading.block,
                "position": reading.position,
                "arm": str(reading.arm),
                "measured_at": reading.measured_at,
                "jobs": sum(len(tick.job_seconds) for tick in reading.ticks),
                "asked": sum(tick.asked for tick in reading.ticks),
                "hits": sum(tick.hits for tick in reading.ticks),
                "outdated": sum(tick.outdated for tick in reading.ticks),
                "read_round_trips": sum(tick.read_round_trips for tick in reading.ticks),
                "warm_round_trips": sum(tick.warm_round_trips for tick in reading.ticks),
                "job_seconds": sum(sum(tick.job_seconds) for tick in reading.ticks),
                "warm_seconds": sum(tick.warm_seconds for tick in reading.ticks),
                "precision": reading.metrics.precision,
            }
            for reading in self._readings
        )

    @cached_property
    def hit_rates(self) -> pd.DataFrame:
        """Columns: arm, minute, hit_rate (mean of the blocks)."""
        rows = [
            {"arm": str(reading.arm), "minute": tick.minute, "hit_rate": tick.hits / tick.asked}
            for reading in self._readings
            for tick in reading.ticks
            if tick.asked
        ]
        means = pd.DataFrame(rows).groupby(["arm", "minute"], sort=False)["hit_rate"].mean()
        return means.to_frame().reset_index()

    @cached_property
    def waits(self) -> pd.DataFrame:
        """What a job waited for its rows, hour by hour.

        Columns: arm, hour (from 1), p99_seconds (and its _low, _high), jobs (in each block).
        """
        rows = []
        for arm in Arm:
            for hour in range(self.plan.hours):
                blocks = [self._waits_of(reading, hour) for reading in self._readings if reading.arm is arm]
                estimate = percentile_over_blocks(blocks, 0.99).estimate
                bounds = (estimate.value, estimate.low, estimate.high) if estimate else (np.nan, np.nan, np.nan)
                rows.append(
                    {
                        "arm": str(arm),
                        "hour": hour + 1,
                        "p99_seconds": bounds[0],
                        "p99_seconds_low": bounds[1],
                        "p99_seconds_high": bounds[2],
                        "jobs": len(blocks[0]),
                    }
                )
        return pd.DataFrame(rows)

    @staticmethod
    def _waits_of(reading: VisitReading, hour: int) -> list[float]:
        return [
            seconds
            for tick in reading.ticks
            if hour * MINUTES <= tick.minute < (hour + 1) * MINUTES
            for seconds in tick.job_seconds
        ]

    @cached_property
    def costs(self) -> pd.DataFrame:
        """What each arm cost, means of the blocks.

        Columns: arm, hit_rate, jobs_round_trips and all_round_trips (for 1,000 jobs: those that they waited for, and
        with those of the warmer), job_seconds and all_seconds (of a job: its wait for its rows, and with its share of
        the warming; each with _low and _high), outdated (share of the rows served), precision.
        """
        return pd.DataFrame([self._cost(str(arm)) for arm in Arm])

    def _cost(self, arm: str) -> dict[str, object]:
        rows = self.visits[self.visits["arm"] == arm]
        jobs, asked = rows["jobs"].to_numpy(float), rows["asked"].to_numpy(float)
        read, warm = rows["read_round_trips"].to_numpy(float), rows["warm_round_trips"].to_numpy(float)
        seconds = rows["job_seconds"].to_numpy(float) / jobs
        waits = mean_interval(seconds)
        whole = mean_interval(seconds + rows["warm_seconds"].to_numpy(float) / jobs)
        return {
            "arm": arm,
            "hit_rate": float(np.mean(rows["hits"].to_numpy(float) / asked)),
            "jobs_round_trips": float(np.mean(1_000 * read / jobs)),
            "all_round_trips": float(np.mean(1_000 * (read + warm) / jobs)),
            "job_seconds": waits.value,
            "job_seconds_low": waits.low,
            "job_seconds_high": waits.high,
            "all_seconds": whole.value,
            "all_seconds_low": whole.low,
            "all_seconds_high": whole.high,
            "outdated": float(np.mean(rows["outdated"].to_numpy(float) / asked)),
            "precision": float(rows["precision"].mean()),
        }

    def ratio(self, column: str, arm: Arm = Arm.PREDICTED) -> Ratio:
        """What an arm has of a column of `visits`, as a ratio to the cold one, paired by block."""
        table = self.visits.pivot_table(index="block", columns="arm", values=column)
        first, second = (table[str(each)].to_numpy(float) for each in (arm, Arm.COLD))
        return paired_ratio(first, second, rng=np.random.default_rng(self.plan.seed))

    def headline(self) -> dict[str, str | float]:
        """The figures in short."""
        costs = self.costs.set_index("arm")
        found: dict[str, str | float] = {}
        for arm in Arm:
            name = str(arm).replace(" ", "_")
            found[f"hit_rate_{name}_fraction"] = float(costs["hit_rate"][str(arm)])
        for arm in (Arm.COLD, Arm.PREDICTED):
            p99 = self.waits.loc[self.waits["arm"] == str(arm), "p99_seconds"].iloc[-1]
            found[f"p99_wait_{arm}_seconds"] = float(p99)
        return found

    @property
    def tick_minutes(self) -> float:
        return SLOT_SECONDS / 60
