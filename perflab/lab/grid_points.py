"""The measured points of a sweep over batch size and flush interval, and the frontier of the best among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perflab.errors import InvalidInput
from perflab.lab.statistics.inputs import positive_samples
from perflab.lab.statistics.intervals import Estimate, geometric_mean_interval

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class GridPoint:
    """One setting and what was measured with it.

    Attributes:
        batch_size: Items at which a batch is sent.
        flush_interval_seconds: Age of the oldest item at which it is sent; 0 for at once, infinity for never.
        throughput_by_block: Items per second of writer time, one value for each block.
        p99_seconds_by_block: 99th percentile of the latency of an item, for the same blocks in the same order.
        mean_batch: Items per flush that were really sent.
        stable: Whether the writer kept up. A point that did not has no percentiles, and its figures are not used.
        arrivals_per_second: Items that came; None where that is not known.

    Raises:
        InvalidInput: A setting is out of range; or the point is stable, and its two rows of figures differ in length,
            are empty, or hold a value that is not finite and above zero.
    """

    batch_size: int
    flush_interval_seconds: float
    throughput_by_block: tuple[float, ...]
    p99_seconds_by_block: tuple[float, ...]
    mean_batch: float
    stable: bool
    arrivals_per_second: float | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1 or not self.flush_interval_seconds >= 0 or not self.mean_batch > 0:
            raise InvalidInput(
                "A grid point needs a batch size of at least 1, a flush interval that is not negative and a mean batch "
                f"above zero; got {self.batch_size}, {self.flush_interval_seconds} s and {self.mean_batch}."
            )
        if not self.stable:
            return
        throughputs = positive_samples(self.throughput_by_block, f"Throughput of {self.name}")
        percentiles = positive_samples(self.p99_seconds_by_block, f"p99 of {self.name}")
        if throughputs.size != percentiles.size:
            raise InvalidInput(
                f"The point of {self.name} has {throughputs.size} throughputs but {percentiles.size} values of p99; "
                "every block must have both."
            )

    @property
    def name(self) -> str:
        """The setting in words, for messages."""
        return f"batch size {self.batch_size:,}, flush interval {self.flush_interval_seconds:g} s"

    @property
    def throughput(self) -> Estimate:
        """Geometric mean of the throughput over the blocks."""
        return geometric_mean_interval(self.throughput_by_block)

    @property
    def p99(self) -> Estimate:
        """Geometric mean of the p99 over the blocks, seconds."""
        return geometric_mean_interval(self.p99_seconds_by_block)

    @property
    def items_at_risk(self) -> float | None:
        """Items that are accepted and not yet written at a bad moment, which a killed process loses.

        All that came within the last p99 of latency: of what came earlier 99 % is written. Little's law gives the mean
        in the same way, with the mean latency (J. D. C. Little, "A Proof for the Queuing Formula L = lambda W",
        *Operations Research* 9, 1961). A burst has more. None where arrivals are not known.
        """
        return None if self.arrivals_per_second is None else self.arrivals_per_second * self.p99.value


def pareto(points: Sequence[GridPoint]) -> list[GridPoint]:
    """The stable points that no other stable point beats in both throughput and p99, by rising p99.

    A point beats another when it is at least as good in both and better in one. Points that are equal in both stay.
    """
    rated = sorted(
        ((point.p99.value, -point.throughput.value, point) for point in points if point.stable),
        key=lambda entry: entry[:2],
    )
    frontier: list[GridPoint] = []
    best = (float("inf"), 0.0)
    for p99, negative_throughput, point in rated:
        if negative_throughput < best[1] or (p99, negative_throughput) == best:
            frontier.append(point)
            best = (p99, negative_throughput)
    return frontier
