"""What all batchers of a fleet follow."""

from __future__ import annotations

from dataclasses import dataclass

from perflab.batching.limits import LARGEST_BATCH, LONGEST_INTERVAL_SECONDS
from perflab.database.values import check_integer, check_number

MOST_IN_FLIGHT = 1_000
"""Slots of a fleet. The statements set the ids of fleets 1,024 apart."""


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """Settings of a fleet. None leaves the matter to each batcher; no setting loosens a batcher's own bounds.

    Raises:
        InvalidInput: a value is out of its range.
    """

    batch_size: int | None = None
    """The most items of a batch."""
    flush_interval: float | None = None
    """The most seconds that an item waits for its batch to fill."""
    max_in_flight: int | None = None
    """Flushes that may be in the database at once: 1 … 1,000. On SQLite it is 1, whatever is stated."""
    jitter: float = 0.0
    """Share of its wait, 0 … 1, by which each batch leaves earlier at random: instances then do not flush in step."""

    def __post_init__(self) -> None:
        if self.batch_size is not None:
            check_integer(self.batch_size, "batch_size", low=1, high=LARGEST_BATCH)
        if self.flush_interval is not None:
            check_number(self.flush_interval, "flush_interval", high=LONGEST_INTERVAL_SECONDS)
        if self.max_in_flight is not None:
            check_integer(self.max_in_flight, "max_in_flight", low=1, high=MOST_IN_FLIGHT)
        check_number(self.jitter, "jitter", high=1.0)
