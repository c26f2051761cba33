"""What is known of the time that flushes take, and when a batch must leave for the deadlines of its items."""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf
from typing import Generic

from perflab.batching.sizing.cost_estimator import CostEstimator
from perflab.batching.waiting_lines import E

FORGET = 0.5 ** (1 / 5)
"""What a flush leaves of the weight of the one before, in the mean that serves while no cost is fitted."""

MARGIN = 2.0
"""Times the expected time of its flush that an item leaves before its deadline."""


class FlushTime:
    """The time of a flush by its size, learned from those that have ended.

    The fitted cost where sizes vary enough for one; until then the mean of the last flushes, whatever their size, which
    for a larger batch is too low: better to accept what then comes late than to refuse what would have come in time.
    """

    def __init__(self) -> None:
        self._estimator = CostEstimator()
        self._mean = 0.0
        self._weight = 0.0

    def learn(self, items: int, seconds: float) -> None:
        """Learn from one flush that wrote everything at the first attempt."""
        if not 0 < seconds < inf:  # the clock was set, or is too coarse
            return
        self._estimator.observe(items, seconds)
        self._weight = self._weight * FORGET + 1.0
        self._mean += (seconds - self._mean) / self._weight

    def of(self, items: int) -> float:
        """Seconds for a batch of so many items; 0 before the first flush."""
        fit = self._estimator.fit
        return self._mean if fit is None else fit.cost.seconds(items)


class Deadlines(Generic[E]):
    """When what waits must leave for its deadlines."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, E]] = []

    def add(self, entry: E, flush_seconds: float) -> None:
        """Note when an item must leave: twice a flush before its deadline, or when half of its time is over.

        The latter covers what is not known: a first flush, or one that takes longer than the others.
        """
        half_time = entry.arrived + (entry.deadline - entry.arrived) / 2
        heappush(self._heap, (min(half_time, entry.deadline - MARGIN * flush_seconds), entry.number, entry))

    def leave_by(self) -> float:
        """When the first item must leave that has not left yet; infinite if none must."""
        while self._heap and self._heap[0][2].cause is not None:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else inf

    def clear(self) -> None:
        self._heap.clear()
