"""What one process saw of a load, small enough to be sent, and added to what the others saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np

from perflab.batching.histogram import Histogram
from perflab.lab.workloads.arrivals import Offsets


@dataclass(slots=True)
class Observed:
    """Times are seconds. The histograms have the measured part; the counts and the end have the warm-up, too.

    Attributes:
        windows: Response times, from the intended moment to the end, by the window of the intended moment.
        service: From the actual start to the end.
        lag: From the intended moment to the actual start.
        sent: Items that were started.
        unsent: Items that were due, and were given up because all was too late.
        done: Acknowledged items, by operation.
        failed: Items that failed, by the type of their error.
        first_errors: One message of each type.
        checksum: Sum of the numbers of the acknowledged jobs.
        measured: Acknowledged items of the measured part.
        last_end: From the start of the schedule.
    """

    windows: list[Histogram]
    service: Histogram = field(default_factory=Histogram)
    lag: Histogram = field(default_factory=Histogram)
    sent: int = 0
    unsent: int = 0
    done: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    first_errors: dict[str, str] = field(default_factory=dict)
    checksum: int = 0
    measured: int = 0
    last_end: float = 0.0

    @property
    def response(self) -> Histogram:
        """Of all windows together."""
        return merged(self.windows)

    def __add__(self, other: Observed) -> Observed:
        return Observed(
            [merged(pair) for pair in zip(self.windows, other.windows, strict=True)],
            service=merged((self.service, other.service)),
            lag=merged((self.lag, other.lag)),
            sent=self.sent + other.sent,
            unsent=self.unsent + other.unsent,
            done=self.done + other.done,
            failed=self.failed + other.failed,
            first_errors={**other.first_errors, **self.first_errors},
            checksum=self.checksum + other.checksum,
            measured=self.measured + other.measured,
            last_end=max(self.last_end, other.last_end),
        )


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """One histogram of all their values: percentiles are of that, and never averaged."""
    total = Histogram()
    for histogram in histograms:
        total.counts.update(histogram.counts)
        total.maximum = max(total.maximum, histogram.maximum)
    return total


def together(parts: Sequence[Observed]) -> Observed:
    """What all of one or more processes saw."""
    return reduce(Observed.__add__, parts)


def by_window(intended: Offsets, seconds: Offsets, bounds: Offsets) -> list[Histogram]:
    """Times, in the window of their intended moment; those before the first window are left out."""
    histograms = [Histogram() for _ in bounds]
    windows = np.searchsorted(bounds, intended, side="right") - 1
    for window, value in zip(windows.tolist(), seconds.tolist(), strict=True):
        if window >= 0:
            histograms[window].add(value)
    return histograms


def histogram_of(seconds: Offsets) -> Histogram:
    """A histogram of all values."""
    histogram = Histogram()
    for value in seconds.tolist():
        histogram.add(value)
    return histogram
