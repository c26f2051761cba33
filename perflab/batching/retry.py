"""How long to wait before trying again, and when to give up."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from perflab.database.values import check_number

LONGEST_DELIVERY_SECONDS = 12 * 3_600.0
"""Half of what the ledger remembers: as long as a batch is tried, it can be asked what became of it."""
_LARGEST_EXPONENT = 62
"""Far beyond every cap, and still exact as a float."""


def longest_wait(attempt: int, base_seconds: float, cap_seconds: float) -> float:
    """The upper end of the wait, in seconds, after the failure of attempt 1, 2, …: it doubles up to the cap."""
    return min(cap_seconds, base_seconds * 2.0 ** min(attempt - 1, _LARGEST_EXPONENT))


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off with full jitter inside an overall deadline.

    The delay before attempt n + 1 is drawn evenly from 0 to min(cap, base * 2 ** (n - 1)): batchers that failed
    together do not come back together. Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog,
    2015.

    Raises:
        InvalidInput: a time is negative or not finite, or the delivery would take more than twelve hours.
    """

    base_seconds: float = 0.010
    cap_seconds: float = 1.0
    delivery_timeout: float = 30.0
    """Seconds from acceptance of an item after which it is not tried again but fails with `DeliveryTimeout`."""

    def __post_init__(self) -> None:
        check_number(self.base_seconds, "base_seconds", above_low=True)
        check_number(self.cap_seconds, "cap_seconds", low=self.base_seconds)
        check_number(self.delivery_timeout, "delivery_timeout", high=LONGEST_DELIVERY_SECONDS)

    def delay(self, attempt: int, random: Random) -> float:
        """Seconds to wait after the given attempt (1 for the first) has failed."""
        return random.uniform(0.0, longest_wait(attempt, self.base_seconds, self.cap_seconds))
