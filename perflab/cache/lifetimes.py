"""How long what was read may be served: the policy, without a clock of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from perflab.database.load import is_immutable, own_copy
from perflab.database.values import check_number

LONGEST_SECONDS = 366 * 86_400.0
FIRST_RETRY_SECONDS = 0.1
"""After a read has failed, its old row is served for so long before the next try; after more failures for longer."""
LONGEST_RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class CacheLifetimes:
    """From when to when an entry is fresh, read again, and gone. Ages count from the moment the read was sent.

    Raises:
        InvalidInput: a time is not above zero, or a share is not within 0 … 1.
    """

    ttl: float = 60.0
    """Seconds that a row is served: what somebody else changes is seen after that at the latest."""
    negative_ttl: float = 5.0
    """The same for a key without a row."""
    jitter: float = 0.1
    """The share by which each life is shortened at random, so that what was read together does not end together. No
    life is made longer."""
    refresh_ahead: float = 0.2
    """Who asks in this last share of a life gets the row at once, and has it read again in the background; 0: nobody
    does, and whoever asks after the end waits."""
    stale_for: float = 0.0
    """Seconds after its end in which a row is still served while the database fails."""

    def __post_init__(self) -> None:
        check_number(self.ttl, "ttl", above_low=True, high=LONGEST_SECONDS)
        check_number(self.negative_ttl, "negative_ttl", above_low=True, high=LONGEST_SECONDS)
        check_number(self.jitter, "jitter", high=0.9)
        check_number(self.refresh_ahead, "refresh_ahead", high=0.9)
        check_number(self.stale_for, "stale_for", high=LONGEST_SECONDS)

    def start(self, value: Any, sent_at: float, luck: float) -> Entry:
        """The entry of what a read has found.

        Args:
            value: a row, None, or a tuple of rows.
            sent_at: when the read was sent.
            luck: evenly drawn from 0 … 1, for the jitter.
        """
        is_negative = value is None or value == ()
        life = (self.negative_ttl if is_negative else self.ttl) * (1.0 - self.jitter * luck)
        return Entry(
            value=value,
            is_negative=is_negative,
            is_shared=is_immutable(value),
            expires_at=sent_at + life,
            refresh_at=sent_at + life * (1.0 - self.refresh_ahead),
            gone_at=sent_at + life + self.stale_for,
        )


@dataclass(slots=True)
class Entry:
    """What one key had when it was read."""

    value: Any
    is_negative: bool
    """No row had the key."""
    is_shared: bool
    """Nobody can change the value, so that all may have the same."""
    expires_at: float
    refresh_at: float
    """From then on whoever is served it has it read again."""
    gone_at: float
    """Until then it is kept, for the case that the database fails."""
    failures: int = 0
    """Reads that have failed since it was read: as long as there are any, nobody waits for another."""
    hits: int = 0
    """How often it was served since it was read."""
    size_bytes: int = 0
    """With its key, about how much memory it takes."""
    is_warmed: bool = False
    """It was read before anybody asked for it, and nobody has asked yet."""

    def own_value(self) -> Any:
        """The value for one caller, who may change what can be changed in it."""
        return self.value if self.is_shared else own_copy(self.value)

    def note_failure(self, now: float) -> None:
        """A read that should have replaced it has failed: leave the database alone for a while."""
        pause = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0**self.failures)
        self.failures = min(self.failures + 1, 16)
        self.refresh_at = now + pause
