"""What a recommendation says: the setting, its figures, and how sure the choice is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perflab.lab.quantities import (
    format_count,
    format_factor,
    format_percent,
    format_rate_interval,
    format_seconds,
    format_seconds_interval,
)
from perflab.lab.statistics.intervals import median_rank

if TYPE_CHECKING:
    from perflab.lab.grid_points import GridPoint
    from perflab.lab.statistics.intervals import Estimate
    from perflab.lab.statistics.ratio import Ratio

REGRET_LIMIT = 0.02
"""A loss of throughput that nobody minds: points that stay within it are interchangeable."""

FLAT_SPAN = 8


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A setting, what it gives, and how far the data support it.

    Attributes:
        batch_size: Items at which to send.
        flush_interval_seconds: Age of the oldest item at which to send.
        mean_batch: Items per flush that were really sent: well below `batch_size` where the interval sends.
        throughput: Items per second of writer time.
        p99: 99th percentile of the latency in seconds; its upper bound meets the target.
        latency_target_seconds: The target; infinity for none.
        gain_over_unbatched: Throughput over that of batch size 1; None where that was not measured
            in the same blocks, or is the choice itself.
        selection_frequency: Share of the resamples in which the rule chose this same setting.
        batch_size_range: 5th and 95th percentile of the batch sizes chosen, over the resamples with a choice.
        expected_regret: Mean share of throughput lost against the best point that meets the target.
        indifference_set: Points that meet the target and lose at most 2 % in at least 95 % of the resamples.
        reason: Why this one.
        resamples: Resamples drawn.
        items_at_risk: Accepted and not yet written when the process is killed; None where arrivals are not known.
    """

    batch_size: int
    flush_interval_seconds: float
    mean_batch: float
    throughput: Estimate
    p99: Estimate
    latency_target_seconds: float
    gain_over_unbatched: Ratio | None
    selection_frequency: float
    batch_size_range: tuple[int, int]
    expected_regret: float
    indifference_set: tuple[GridPoint, ...]
    reason: str
    resamples: int
    items_at_risk: float | None = None

    @property
    def flat_optimum(self) -> bool:
        """Whether the indifference set spans more than a factor of eight in batch size."""
        sizes = [point.batch_size for point in self.indifference_set]
        return bool(sizes) and max(sizes) > FLAT_SPAN * min(sizes)

    def describe(self) -> str:
        """One paragraph: the setting, its figures, and how sure the choice is."""
        setting = in_words(self.batch_size, self.flush_interval_seconds)
        mean_batch = f"flushes held {_items(self.mean_batch)} on average"
        return " ".join(
            part
            for part in (
                f"Send at {setting}; {mean_batch}.",
                self._figures,
                self.reason,
                self._certainty,
                self._indifference,
                self._risk,
            )
            if part
        )

    @property
    def _figures(self) -> str:
        throughput = format_rate_interval(self.throughput.value, self.throughput.low, self.throughput.high)
        p99 = format_seconds_interval(self.p99.value, self.p99.low, self.p99.high)
        target = ""
        if math.isfinite(self.latency_target_seconds):
            target = f" (target {format_seconds(self.latency_target_seconds)})"
        figures = f"Throughput is {throughput}, p99 {p99}{target}."
        gain = self.gain_over_unbatched
        if gain is None:
            return figures
        low, high = format_factor(gain.low), format_factor(gain.high)
        return f"{figures} That is {format_factor(gain.value)} [{low}, {high}] times the unbatched throughput."

    @property
    def _certainty(self) -> str:
        smallest, largest = self.batch_size_range
        caution = "" if median_rank(self.throughput.n) else " (so few blocks make this look surer than it is)"
        return (
            f"In {self.resamples:,} resamples of the {self.throughput.n} blocks this setting was chosen in "
            f"{format_percent(self.selection_frequency)}, 90% of the choices lay between {smallest:,} and "
            f"{_items(largest)}, and the expected loss against the best is "
            f"{format_percent(self.expected_regret)}{caution}."
        )

    @property
    def _risk(self) -> str:
        if self.items_at_risk is None:
            return ""
        lost = _items(math.ceil(self.items_at_risk))
        return f"A crash loses what is accepted and not yet written: about {lost} at this rate, more in a burst."

    @property
    def _indifference(self) -> str:
        sizes = [point.batch_size for point in self.indifference_set]
        within = f"within {REGRET_LIMIT:.0%} of the best"
        if not sizes:
            return f"No setting is {within} for certain; more blocks would narrow this down."
        smallest, largest = min(sizes), max(sizes)
        if self.flat_optimum:
            return (
                f"Flat optimum: settings from {smallest:,} to {_items(largest)} are {within}; "
                "choose by memory, or by what a crash may lose."
            )
        if smallest == largest:
            return f"Only batches of {_items(smallest)} are {within} for certain."
        return f"Settings from {smallest:,} to {_items(largest)} are {within}."


@dataclass(frozen=True, slots=True)
class NoRecommendation:
    """No measured point meets the target, so there is nothing to recommend.

    Attributes:
        reason: Why not, and what to do.
        fastest_p99: The lowest p99 that was measured, in seconds; None when no point was stable.
        latency_target_seconds: The target.
    """

    reason: str
    fastest_p99: Estimate | None
    latency_target_seconds: float

    def describe(self) -> str:
        """The reason as a sentence."""
        return self.reason


def in_words(batch_size: int, flush_interval_seconds: float) -> str:
    """A setting as a reader says it: `"64 items or after 10.0 ms"`."""
    if math.isinf(flush_interval_seconds):
        return _items(batch_size)
    after = f"after {format_seconds(flush_interval_seconds)}" if flush_interval_seconds else "at once what is there"
    return f"{_items(batch_size)} or {after}"


def _items(count: float) -> str:
    return f"{format_count(count)} item{'' if count == 1 else 's'}"
