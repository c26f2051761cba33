"""How long a failed job waits for its next attempt."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from perflab.batching.retry import longest_wait
from perflab.database.values import check_number


class Spread(NamedTuple):
    """Parameters of a back-off that SQL computes: min(cap, base · 2^(attempt - 1)) · frac(id · φ + phase), φ = 0.618…

    Multiples of the golden ratio fill an interval very evenly, so that jobs whose ids follow one another, as in one
    batch, come back apart from each other. Source: H. Niederreiter, "Random Number Generation and Quasi-Monte Carlo
    Methods", SIAM 1992, chapter 3.
    """

    base: float
    """Microseconds, as is the cap."""
    cap: float
    phase: float
    """0 … 1, drawn for each call."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter: uniform between 0 and min(cap, base · 2^(attempt - 1)).

    Full jitter spreads jobs that failed together over the whole wait, so that they do not come back together. Source of
    the formula: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    base_seconds: float = 1.0
    cap_seconds: float = 3600.0

    def __post_init__(self) -> None:
        check_number(self.base_seconds, "base_seconds")
        check_number(self.cap_seconds, "cap_seconds", high=366 * 86_400.0)

    def longest_seconds(self, attempt: int) -> float:
        """The upper end of the wait after the failure of attempt 1, 2, …"""
        return longest_wait(attempt, self.base_seconds, self.cap_seconds)

    def spread(self, rng: Random) -> Spread:
        """The same for jobs whose attempts only the database knows."""
        return Spread(self.base_seconds * 1e6, self.cap_seconds * 1e6, rng.random())

    def delay_seconds(self, attempt: int, rng: Random) -> float:
        """A random wait after the failure of attempt 1, 2, …"""
        return rng.uniform(0.0, self.longest_seconds(attempt))
