"""How many jobs a worker claims ahead of those that run."""

from __future__ import annotations

import math

PREFETCH_SECONDS = 0.05
"""Of work are claimed ahead. Long against a round trip, short for a more urgent job that comes later."""
MOST_JOBS = 1_000
"""A claim of more is no cheaper for each job, and a killed worker would hold them all."""
WEIGHT_OF_NEWS = 0.5


class FixedPrefetch:
    """The same number always."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def learn(self, jobs: int, seconds: float) -> None:
        """Nothing."""


class AdaptivePrefetch:
    """As many as handlers end in `PREFETCH_SECONDS`, by the pace of late, but at least twice those that run at a time.

    Args:
        concurrency: jobs that run at a time.
    """

    def __init__(self, concurrency: int) -> None:
        self._least = min(2 * concurrency, MOST_JOBS)
        self._jobs_per_second = 0.0
        self.jobs = self._least

    def learn(self, jobs: int, seconds: float) -> None:
        """Handlers have ended so many jobs in so much time."""
        if jobs <= 0 or seconds <= 0.0:
            return
        pace = min(jobs / seconds, MOST_JOBS / PREFETCH_SECONDS)
        self._jobs_per_second += WEIGHT_OF_NEWS * (pace - self._jobs_per_second)
        self.jobs = max(self._least, math.ceil(min(MOST_JOBS, PREFETCH_SECONDS * self._jobs_per_second)))
