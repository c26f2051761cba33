"""What a proxy really adds: measured values, and the label that results carry."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

RECENT_DELIVERIES = 20_000


@dataclass(frozen=True, slots=True)
class AddedRoundTrip:
    """How much longer a ping takes through a proxy than without it. `str()` is the label for results.

    Attributes:
        asked_seconds: What the link should add.
        median_seconds: Median through the proxy, less the median of the direct pings.
        p99_seconds: The 99th percentile through the proxy, less the median of the direct pings.
        direct_seconds: Median of the direct pings.
        pings: How many pings each way of the two made.
    """

    asked_seconds: float
    median_seconds: float
    p99_seconds: float
    direct_seconds: float
    pings: int

    def __str__(self) -> str:
        return (
            f"+{self.median_seconds * 1_000:.2f} ms round trip (measured over {self.pings} pings, "
            f"p99 {self.p99_seconds * 1_000:.2f} ms, asked {self.asked_seconds * 1_000:g} ms)"
        )


@dataclass(frozen=True, slots=True)
class Lateness:
    """How late bytes left the delay lines of a link, against the time that was decided for them.

    A busy machine shows here: what the pings measured at the start holds only while this stays small against the delay.

    Attributes:
        deliveries: How many there were.
        median_seconds: Over the most recent 20,000; NaN when there were none.
        p99_seconds: The same.
        largest_seconds: The same.
    """

    deliveries: int
    median_seconds: float
    p99_seconds: float
    largest_seconds: float


class LatenessRecord:
    """Collects lateness from the threads of a proxy; adding needs no lock."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=RECENT_DELIVERIES)
        self._deliveries = 0

    def add(self, seconds: float) -> None:
        self._recent.append(seconds)
        self._deliveries += 1

    def summary(self) -> Lateness:
        recent = list(self._recent)
        if not recent:
            return Lateness(0, math.nan, math.nan, math.nan)
        return Lateness(self._deliveries, quantile(recent, 0.5), quantile(recent, 0.99), max(recent))


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed (the nearest-rank definition)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
