"""What the visits say about ticks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from perflab.lab.statistics.intervals import geometric_mean_interval
from perflab.lab.statistics.ratio import Ratio, paired_ratio
from perflab.lab.sweep.environment import Environment
from perflab.lab.tick_cost.plan import MOST_ONE_BY_ONE, TickPlan, Way


class TickFindings:
    """Tables made of the visits.

    Attributes:
        plan: What was measured.
        environment: On what.
        visits: One row for each visit: block, position, way, due, measured_at, seconds, round_trips (of all its ticks).
    """

    def __init__(self, plan: TickPlan, visits: Sequence[Mapping[str, Any]], environment: Environment) -> None:
        self.plan = plan
        self.environment = environment
        self.visits = pd.DataFrame(visits)

    @cached_property
    def costs(self) -> pd.DataFrame:
        """One row for each way and number of due watches.

        Columns: way, due, seconds (geometric mean of the blocks, and its _low, _high), seconds_per_watch, round_trips
        (the most of any block), blocks.
        """
        rows = []
        for (way, due), visits in self.visits.groupby(["way", "due"]):
            estimate = geometric_mean_interval(visits["seconds"].to_numpy(float))
            rows.append(
                {
                    "way": way,
                    "due": due,
                    "seconds": estimate.value,
                    "seconds_low": estimate.low,
                    "seconds_high": estimate.high,
                    "seconds_per_watch": estimate.value / float(visits["due"].iloc[0]),
                    "round_trips": int(visits["round_trips"].max()),
                    "blocks": estimate.n,
                }
            )
        return pd.DataFrame(rows)

    def costs_of(self, way: Way) -> pd.DataFrame:
        """Those of one way, by rising number of due watches."""
        return self.costs[self.costs["way"] == str(way)].sort_values("due").reset_index(drop=True)

    @cached_property
    def compared_due(self) -> int:
        """The largest number of due watches that was ticked one by one, too."""
        return max(due for due in self.plan.due if due <= MOST_ONE_BY_ONE)

    @cached_property
    def times_faster(self) -> Ratio:
        """Time of single ticks ÷ time of one tick for `compared_due` interval watches, block by block."""
        at = self.visits[self.visits["due"] == self.compared_due]
        seconds = at.pivot_table(index="block", columns="way", values="seconds")
        slow, fast = (seconds[str(way)].to_numpy(float) for way in (Way.ONE_BY_ONE, Way.INTERVAL))
        return paired_ratio(slow, fast, rng=np.random.default_rng(len(seconds)))

    def headline(self) -> dict[str, float]:
        """The figures of the largest tick."""
        largest = self.costs_of(Way.INTERVAL).iloc[-1]
        return {
            "due_watches": int(largest["due"]),
            "tick_seconds": float(largest["seconds"]),
            "watch_seconds": float(largest["seconds_per_watch"]),
            "round_trips": int(largest["round_trips"]),
        }
