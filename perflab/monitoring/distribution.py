"""How often which value was seen: a frozen value that can be added, subtracted and asked for quantiles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from types import MappingProxyType

from perflab.batching.histogram import Histogram, bucket_of, lowest_of, middle_of
from perflab.database.values import check_number


@dataclass(frozen=True, slots=True)
class Distribution:
    """Values in the buckets of `Histogram`, which are narrow enough for quantiles within 0.8 %."""

    counts: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    """How many values, by the number of the bucket."""
    total: float = 0.0
    """The sum of all values, in their unit."""

    @property
    def count(self) -> int:
        return sum(self.counts.values())

    @property
    def mean(self) -> float:
        """0.0 where nothing was seen."""
        return self.total / self.count if self.counts else 0.0

    def quantile(self, share: float) -> float:
        """The nearest-rank quantile: the middle of the bucket in which the rank lies; 0.0 where nothing was seen.

        Args:
            share: 0 … 1, such as 0.99.

        Raises:
            InvalidInput: the share is out of its range.
        """
        check_number(share, "share", high=1.0)
        rank, reached = max(1, ceil(share * self.count)), 0
        for bucket in sorted(self.counts):
            reached += self.counts[bucket]
            if reached >= rank:
                return middle_of(bucket)
        return 0.0

    def at_most(self, bound: float) -> int:
        """How many values were not above the bound, to the end of the bucket in which it lies (at most 1.6 % above it).

        Whole numbers up to 128 have a bucket each, and are exact.
        """
        last = bucket_of(bound)
        return sum(count for bucket, count in self.counts.items() if bucket <= last)

    def values(self, bounds: Iterable[float]) -> Sequence[tuple[float, int]]:
        """Values, and how often each, that could have been those seen: one in each bucket, which add up to `total`.

        None is above a bound that `at_most` counts it under; where that leaves no room, the sum is up to 1.6 % short.

        Args:
            bounds: as `at_most` gets them.
        """
        bound_in = {bucket_of(bound): bound for bound in bounds}
        ends = [
            (lowest_of(bucket), bound_in.get(bucket, lowest_of(bucket + 1)), count)
            for bucket, count in sorted(self.counts.items())
        ]
        least = sum(low * count for low, _, count in ends)
        room = sum((high - low) * count for low, high, count in ends)
        share = min(max((self.total - least) / room, 0.0), 1.0) if room else 0.0
        return [(min(low + share * (high - low), high), count) for low, high, count in ends]

    def __add__(self, other: Distribution) -> Distribution:
        return Distribution(
            MappingProxyType(dict(Counter(self.counts) + Counter(other.counts))), self.total + other.total
        )

    def since(self, earlier: Distribution) -> Distribution:
        """What was seen after an earlier state of the same series; all of it where that was of another life."""
        left = Counter(self.counts)
        left.subtract(earlier.counts)
        if min(left.values(), default=0) < 0:
            return self
        return Distribution(MappingProxyType(dict(+left)), self.total - earlier.total)


class DistributionRecorder:
    """Records values, at about half a microsecond each. Its owner holds the lock."""

    __slots__ = ("_histogram", "_total")

    def __init__(self) -> None:
        self._histogram = Histogram()
        self._total = 0.0

    def add(self, value: float) -> None:
        self._histogram.add(value)
        self._total += value

    def distribution(self) -> Distribution:
        return Distribution(MappingProxyType(dict(self._histogram.counts)), self._total)
