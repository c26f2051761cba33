"""Quantiles of times at a fixed small cost, however many there were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, frexp, ldexp

BUCKETS_OF_AN_OCTAVE = 64
RELATIVE_ERROR = 1 / 128
"""At most: half of the widest bucket over its lower end."""
WINDOW = 4_096
SMALLEST_SECONDS = 1e-9


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Quantiles in seconds of the last 4,096 to 8,191 flushes, within 0.8 %; zero before the first.

    The maximum is exact.
    """

    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    maximum: float = 0.0


class Histogram:
    """Counts in buckets that grow with the value: each power of two is cut into 64 of one width.

    That is the idea of G. Tene's HdrHistogram (http://hdrhistogram.org), with a dictionary for the counts, so that no
    range need be stated.
    """

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        self.maximum = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bucket_of(seconds)] += 1
        self.maximum = max(self.maximum, seconds)

    def copy(self) -> Histogram:
        copied = Histogram()
        copied.counts, copied.maximum = self.counts.copy(), self.maximum
        return copied


def bucket_of(value: float) -> int:
    """The number of the bucket in which a value lies; larger values never have a smaller one."""
    mantissa, exponent = frexp(max(value, SMALLEST_SECONDS))
    return exponent * BUCKETS_OF_AN_OCTAVE + int((2 * mantissa - 1) * BUCKETS_OF_AN_OCTAVE)


def lowest_of(bucket: float) -> float:
    """The least value that lies in a bucket, if values of `SMALLEST_SECONDS` and less are taken for that."""
    exponent, part = divmod(bucket, BUCKETS_OF_AN_OCTAVE)
    return ldexp(1 + part / BUCKETS_OF_AN_OCTAVE, int(exponent) - 1)


def middle_of(bucket: int) -> float:
    """The middle of a bucket: within `RELATIVE_ERROR` of each value in it."""
    return lowest_of(bucket + 0.5)


class RecentTimes:
    """A histogram of what was measured lately: one is filled while the full one before it still counts."""

    def __init__(self) -> None:
        self._filling, self._before = Histogram(), Histogram()
        self._count = 0

    def add(self, seconds: float) -> None:
        if self._count == WINDOW:
            self._filling, self._before, self._count = Histogram(), self._filling, 0
        self._count += 1
        self._filling.add(seconds)

    def copy(self) -> RecentTimes:
        copied = RecentTimes()
        copied._filling, copied._before, copied._count = self._filling.copy(), self._before, self._count
        return copied

    def quantiles(self) -> Quantiles:
        return quantiles_of((self._before, self._filling))


def quantiles_of(histograms: Iterable[Histogram]) -> Quantiles:
    """Nearest-rank quantiles of all of them together: the middle of the bucket in which the rank lies."""
    counts: Counter[int] = Counter()
    maximum = 0.0
    for histogram in histograms:
        counts.update(histogram.counts)
        maximum = max(maximum, histogram.maximum)
    total = counts.total()
    if not total:
        return Quantiles()
    ranks = [ceil(share * total) for share in (0.50, 0.90, 0.99)]
    values: list[float] = []
    reached = 0
    for bucket in sorted(counts):
        reached += counts[bucket]
        while len(values) < len(ranks) and reached >= ranks[len(values)]:
            values.append(min(maximum, middle_of(bucket)))
    p50, p90, p99 = values
    return Quantiles(p50, p90, p99, maximum)
