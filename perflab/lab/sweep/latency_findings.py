"""What added latency does to a sweep, and what the cost model of its baseline said it would do.

A flush of b items that takes k round trips costs T(b) = alpha + beta b without added latency. With r seconds added to
each round trip it should cost T(b) + k r, if latency changes nothing else. That is the prediction, made from the visits
with 0 added alone; the others are measured, and compared with it block by block.
"""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from perflab.lab.cost_curve import InterpolatedCost
from perflab.lab.cost_model import CostModel
from perflab.lab.markdown_table import markdown_table
from perflab.lab.quantities import format_seconds
from perflab.lab.statistics.inputs import FloatArray
from perflab.lab.statistics.intervals import Estimate, geometric_mean_interval
from perflab.lab.statistics.ratio import Ratio, paired_ratio
from perflab.lab.sweep.findings import Findings
from perflab.lab.sweep.plan import SweepPlan
from perflab.lab.sweep.store import ResultsStore

TOLERANCE = 0.20
"""How far measured throughput may lie from the predicted one for the prediction to have held."""
GOOD_ENOUGH = 0.80
"""Share of the highest throughput that the best batch reaches: from there on, larger ones bring little."""
BASELINE = 0.0
LEAST_SHARE = 0.01
"""Of the prediction of all blocks: no block alone predicts less."""


class Agreement(enum.StrEnum):
    """What the blocks say about a prediction."""

    HELD = "held"
    """The whole interval of measured over predicted lies within the tolerance."""
    FAILED = "failed"
    """The whole interval lies outside of it."""
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One batch size at one added latency.

    Attributes:
        batch_size: Items.
        predicted: Items per second of writer time, from the visits with 0 added.
        measured: Items per second of writer time, in full batches.
        ratio: Measured over predicted, paired by block.
        slowdown: Measured with nothing added over measured here, paired by block.
    """

    batch_size: int
    predicted: Estimate
    measured: Estimate
    ratio: Ratio
    slowdown: Ratio

    @property
    def agreement(self) -> Agreement:
        low, high = 1 / (1 + TOLERANCE), 1 + TOLERANCE
        if low <= self.ratio.low and self.ratio.high <= high:
            return Agreement.HELD
        return Agreement.FAILED if self.ratio.high < low or self.ratio.low > high else Agreement.UNDECIDED


@dataclass(frozen=True, slots=True)
class AtLatency:
    """What was predicted and measured at one added latency.

    Attributes:
        asked: Seconds that the proxy was asked to add to a round trip.
        added: Seconds that it was measured to add beyond the baseline's proxy, median over the visits.
        comparisons: One for each batch size, rising.
        predicted_best: The smallest batch that reaches `GOOD_ENOUGH` of the highest throughput of those measured.
        measured_best: The same, measured.
    """

    asked: float
    added: float
    comparisons: tuple[Comparison, ...]
    predicted_best: Estimate
    measured_best: Estimate


class LatencyFindings:
    """The stored results of a plan with added latencies, 0 among them.

    Args:
        plan: of `latency_plan`, or one like it.
        store: with all of its visits.

    Raises:
        StoreError: visits of the plan are missing: run the sweep first.
        InvalidInput: 0 is not among its latencies, or there are too few batch sizes for a cost model.
    """

    def __init__(self, plan: SweepPlan, store: ResultsStore) -> None:
        self.plan = plan
        self.baseline = Findings(plan.at(BASELINE), store)
        self.model: CostModel = self.baseline.cost_model
        self._at = {latency: Findings(plan.at(latency), store) for latency in sorted(plan.added_latencies)}
        self._rng = np.random.default_rng(plan.seed)

    @cached_property
    def latencies(self) -> list[AtLatency]:
        """By rising latency; the first is the baseline, whose prediction is the fit itself."""
        nothing = _median_added(self.baseline)
        return [self._compare(asked, found, _median_added(found) - nothing) for asked, found in self._at.items()]

    @cached_property
    def answers(self) -> pd.DataFrame:
        """The check of the answers of all latencies, as `Findings.answers`: what wrote the same must agree."""
        groups = self._visits.groupby(["mode", "block", "items"], sort=True)["checksum"]
        return groups.agg(visits="size", checksums="nunique").reset_index()

    @cached_property
    def round_trips(self) -> pd.DataFrame:
        """Round trips as they were counted, one row for each batch size and added latency.

        Columns: batch_size, added_latency (seconds asked), items, round_trips, round_trips_unbatched,
        round_trips_per_item, round_trips_saved (share).
        """
        columns = ["items", "round_trips", "round_trips_unbatched"]
        table = self._visits.groupby(["batch_size", "added_latency"], sort=True)[columns].sum().reset_index()
        table["round_trips_per_item"] = table["round_trips"] / table["items"]
        table["round_trips_saved"] = 1 - table["round_trips"] / table["round_trips_unbatched"]
        return table

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """Predicted and measured throughput, one row for each added latency and batch size.

        Columns: added_latency (seconds asked), added (seconds measured), batch_size, predicted, measured (items per
        second of writer time) and ratio (measured over predicted), each with its _low and _high; agreement, blocks.
        """
        rows = [
            {
                "added_latency": at.asked,
                "added": at.added,
                "batch_size": one.batch_size,
                **_columns("predicted", one.predicted),
                **_columns("measured", one.measured),
                **_columns("ratio", one.ratio.estimate),
                "agreement": str(one.agreement),
                "blocks": one.measured.n,
            }
            for at in self.latencies
            for one in at.comparisons
        ]
        return pd.DataFrame(rows)

    @cached_property
    def best_batches(self) -> pd.DataFrame:
        """The best batch by added latency: added_latency, added, predicted and measured with _low and _high, blocks."""
        rows = [
            {
                "added_latency": at.asked,
                "added": at.added,
                **_columns("predicted", at.predicted_best),
                **_columns("measured", at.measured_best),
                "blocks": at.measured_best.n,
            }
            for at in self.latencies
        ]
        return pd.DataFrame(rows)

    def added_table(self) -> str:
        """What was asked of the proxies and what they were measured to add, as a Markdown table."""
        measured = self._visits.groupby("added_latency", sort=True)["added_round_trip"]
        rows = [
            (format_seconds(float(str(asked))), *map(format_seconds, (values.median(), values.min(), values.max())))
            for asked, values in measured
        ]
        return markdown_table(["asked", "measured, median of the visits", "smallest", "largest"], rows)

    def headline(self) -> dict[str, str | float]:
        """The values for `publish_headline`."""
        agreement = Counter(one.agreement for at in self.latencies[1:] for one in at.comparisons)
        total = agreement.total()
        near, far = self.latencies[0], self.latencies[-1]
        return {
            "prediction": f"held for {agreement[Agreement.HELD]} of {total} settings with latency added, failed for "
            f"{agreement[Agreement.FAILED]}, undecided for {agreement[Agreement.UNDECIDED]}",
            "largest_added_seconds": far.added,
            "best_batch_with_nothing_added": round(near.measured_best.value),
            "best_batch_with_the_largest_added": round(far.measured_best.value),
        }

    @cached_property
    def _visits(self) -> pd.DataFrame:
        return pd.concat([found.visits for found in self._at.values()])

    def _compare(self, asked: float, found: Findings, added: float) -> AtLatency:
        own = found.cost_model
        sizes = np.array(own.batch_sizes)
        measured_seconds, predicted_seconds = np.array(own.seconds_by_block), self._predicted_seconds(sizes, added)
        measured, predicted = sizes / measured_seconds, sizes / predicted_seconds
        nothing_added = sizes / np.array(self.model.seconds_by_block)
        comparisons = tuple(
            Comparison(
                batch_size=int(size),
                predicted=geometric_mean_interval(predicted[:, place]),
                measured=geometric_mean_interval(measured[:, place]),
                ratio=paired_ratio(measured[:, place], predicted[:, place], rng=self._rng),
                slowdown=paired_ratio(nothing_added[:, place], measured[:, place], rng=self._rng),
            )
            for place, size in enumerate(sizes)
        )
        return AtLatency(asked, added, comparisons, _best(sizes, predicted_seconds), _best(sizes, measured_seconds))

    def _predicted_seconds(self, sizes: FloatArray, added: float) -> FloatArray:
        """Seconds per flush, one row for each block and one column for each size, from the block's own fit at 0."""
        counts = self.baseline.round_trips_per_flush
        trips = np.array([counts[int(size)] for size in sizes])
        seconds = np.array([self.model.predict_by_block(size) for size in sizes]).T + trips * added
        # the fit of one noisy block may fall below zero, which no flush does
        return np.maximum(seconds, LEAST_SHARE * np.array([self.model.predict(size) for size in sizes]))


def _median_added(found: Findings) -> float:
    return float(found.visits["added_round_trip"].median())


def _best(sizes: FloatArray, seconds: FloatArray) -> Estimate:
    """Over the blocks: the smallest batch, between those measured, with `GOOD_ENOUGH` of the highest throughput."""
    return geometric_mean_interval(
        [InterpolatedCost(tuple(sizes), tuple(row)).batch_for_efficiency(GOOD_ENOUGH) for row in seconds]
    )


def _columns(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
