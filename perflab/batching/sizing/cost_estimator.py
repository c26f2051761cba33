"""What a flush costs as a function of its size, learned on line."""

from __future__ import annotations

import math
from collections import deque

from perflab.batching.sizing.least_squares import CostSums, Fit
from perflab.batching.sizing.regime import CLIP, RegimeTest

HALF_LIFE = 50.0
"""Flushes after which an observation has half its weight."""
ENOUGH_FLUSHES = 8
"""Flushes before a fit is believed."""
FLUSHES_BEFORE_A_CHANGE = 16
"""Flushes before residuals count: a first fit is too rough to be held against them."""
ENOUGH_SPREAD = 0.10
"""Coefficient of variation of the sizes below which fixed and variable cost are not told apart."""
FITS_AT_FIRST = 32
FLUSHES_PER_FIT = 8
"""A fit follows from each of the first 32 flushes, from each that was unusually large, and from one in eight of the
others, which change it little."""
DEVIATION_OF_NORMAL = math.sqrt(math.pi / 2)
"""Standard deviation over mean absolute deviation, of the normal distribution."""
DEVIATION_FLUSHES = HALF_LIFE / math.log(2)
LEAST_NOISE = 0.02
"""No model is better than that: smaller residuals do not say that the cost has changed."""
RECENT = 5
"""Flushes from which the cost is learned anew after a change: as many as it took to notice it at the least."""


class CostEstimator:
    """Fits flush times to alpha + beta b + bend b^2.

    An outlier counts for no more than three standard deviations, and changes of regime are found by `RegimeTest`, on
    the logarithm of measured over expected time.
    """

    def __init__(self) -> None:
        self._sums = CostSums(HALF_LIFE)
        self._regime = RegimeTest()
        self._recent: deque[tuple[int, float]] = deque(maxlen=RECENT)
        self._fit: Fit | None = None
        self._deviation = 0.0
        self.learned = 0
        """Flushes since the start, or since the last change."""
        self.changes = 0
        """Changes of regime."""

    @property
    def fit(self) -> Fit | None:
        """The cost as it is known; None before it is."""
        return self._fit

    @property
    def spread(self) -> float:
        """Coefficient of variation of the sizes that it was learned from."""
        return self._sums.spread

    @property
    def recent_seconds_per_item(self) -> float | None:
        """Of the last flushes. A larger batch costs no more per item, unless the curve bends."""
        if not self._recent:
            return None
        return sum(seconds for _, seconds in self._recent) / sum(items for items, _ in self._recent)

    @property
    def noise(self) -> float:
        """Standard deviation of the logarithm of the time of flushes of one size, stalls aside.

        From the mean absolute deviation, in which a stall counts once and not squared, and with no more than three
        standard deviations: what a checkpoint or another thread took is no reason to send less at a time.
        """
        return max(LEAST_NOISE, DEVIATION_OF_NORMAL * self._deviation)

    def observe(self, items: int, seconds: float) -> None:
        """Learn from one flush of at least one item, which took some time."""
        self._recent.append((items, seconds))
        if self._fit is None:
            self._add(items, seconds, seconds)
            return
        expected = self._fit.cost.seconds(items)
        noise = self.noise
        residual = math.log(seconds / expected) / noise
        if self.learned > FLUSHES_BEFORE_A_CHANGE and self._regime.add(residual):
            self._begin_anew()
            return
        cut = max(-CLIP, min(CLIP, residual)) * noise
        self._deviation += (abs(cut) - self._deviation) / DEVIATION_FLUSHES
        self._add(items, expected * math.exp(cut), expected)

    def _add(self, items: int, seconds: float, expected: float) -> None:
        self._sums.add(items, seconds, expected)
        self.learned += 1
        waits = self.learned > FITS_AT_FIRST and self.learned % FLUSHES_PER_FIT and items <= self._sums.usual_items
        if self.learned < ENOUGH_FLUSHES or waits:
            return
        if self._sums.spread < ENOUGH_SPREAD:  # the last fit stands: nothing speaks against it
            return
        first = self._fit is None
        self._fit = self._sums.fit()
        if first:  # squares, because of so few observations the absolute deviations say too little
            self._deviation = self._fit.noise / DEVIATION_OF_NORMAL

    def _begin_anew(self) -> None:
        self._sums = CostSums(HALF_LIFE)
        self._fit = None
        self.learned = 0
        self.changes += 1
        for items, seconds in self._recent:
            self._add(items, seconds, seconds)
