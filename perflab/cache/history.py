"""Which keys are asked for often and lately: recency and frequency in one number."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nlargest
from typing import TypeAlias

from perflab.cache.slots import Slot
from perflab.database.values import check_integer, check_number

HALF_LIVES_AT_MOST = 500.0
"""After so many the origin moves on: 2 to the power of 500 is far from overflowing, and what is dropped as zero is."""

Score: TypeAlias = tuple[Slot, float]


class AccessHistory:
    """An exponentially decaying count for each key: an ask weighs 1 now and half as much after each half-life.

    It is the CRF of the policy LRFU (D. Lee and others, IEEE Transactions on Computers 50(12), 2001) with the weight
    0.5 ** (age / half_life): a long half-life orders by frequency, a short one by recency. All weights decay alike, so
    the order of the keys does not change while nobody asks, and nothing is written to keep it.

    Whoever uses it holds the lock. A note costs a dictionary's get and set.

    Args:
        half_life: seconds.
        max_keys: when there are more, the half that is asked for least is forgotten.
    """

    def __init__(self, half_life: float = 600.0, *, max_keys: int = 200_000) -> None:
        self._half_life = check_number(half_life, "half_life", above_low=True)
        self._max_keys = check_integer(max_keys, "max_keys", low=2)
        self._scores: dict[Slot, float] = {}
        """Asks as they would weigh at the origin."""
        self._origin: float | None = None

    def __len__(self) -> int:
        return len(self._scores)

    def note(self, slot: Slot, now: float, asks: float = 1.0) -> None:
        """A key was asked for, so often; `now` is in seconds on any clock that does not go back."""
        weight = self._weight(now)  # first: it may scale all scores anew
        self._scores[slot] = self._scores.get(slot, 0.0) + asks * weight
        if len(self._scores) > self._max_keys:
            self._scores = dict(self._top(self._max_keys // 2))

    def hottest(self, now: float, count: int) -> list[Score]:
        """The keys that were asked for most, the hottest first, each with its decayed count of asks."""
        weight = self._weight(now)
        return [(slot, score / weight) for slot, score in self._top(count)]

    def _top(self, count: int) -> Iterable[Score]:
        return nlargest(count, self._scores.items(), key=lambda item: item[1])

    def _weight(self, now: float) -> float:
        """Of an ask now, against one at the origin."""
        if self._origin is None:
            self._origin = now
        half_lives = (now - self._origin) / self._half_life
        if half_lives <= HALF_LIVES_AT_MOST:
            return float(2.0**half_lives)
        self._origin = now
        decay = 2.0**-half_lives
        self._scores = {slot: kept for slot, score in self._scores.items() if (kept := score * decay) > 0.0}
        return 1.0
