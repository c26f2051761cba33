"""The bounds of a batch and of the buffer before it."""

from __future__ import annotations

from dataclasses import dataclass

from perflab.database.values import check_integer, check_number

LARGEST_BATCH = 1_000_000
LONGEST_INTERVAL_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Limits:
    """When a batch leaves, and how much may wait.

    Raises:
        InvalidInput: a bound is not positive, not finite, or the buffer is smaller than one batch.
    """

    batch_size: int = 500
    """Items at which a batch leaves: 1 … 1,000,000."""
    flush_interval: float = 0.010
    """Seconds after which the oldest item leaves, with whatever waits by then. An age, not a rate; 0 sends at once."""
    batch_bytes: int | None = None
    """Bytes at which a batch leaves; None does not measure them."""
    max_pending: int = 10_000
    """Items accepted and not yet decided, those being written included."""
    max_pending_bytes: int | None = None
    """The same in bytes; None does not measure them."""

    def __post_init__(self) -> None:
        check_integer(self.batch_size, "batch_size", low=1, high=LARGEST_BATCH)
        check_number(self.flush_interval, "flush_interval", high=LONGEST_INTERVAL_SECONDS)
        if self.batch_bytes is not None:
            check_integer(self.batch_bytes, "batch_bytes", low=1)
        check_integer(self.max_pending, "max_pending", low=self.batch_size)
        if self.max_pending_bytes is not None:
            check_integer(self.max_pending_bytes, "max_pending_bytes", low=self.batch_bytes or 1)

    @property
    def measures_bytes(self) -> bool:
        return self.batch_bytes is not None or self.max_pending_bytes is not None


def make_limits(
    batch_size: int,
    flush_interval: float,
    batch_bytes: int | None,
    max_pending: int | None,
    max_pending_bytes: int | None,
) -> Limits:
    """The limits of a batcher's arguments; a buffer that is not stated holds 20 batches, and at least 10,000 items."""
    check_integer(batch_size, "batch_size", low=1, high=LARGEST_BATCH)
    return Limits(
        batch_size=batch_size,
        flush_interval=flush_interval,
        batch_bytes=batch_bytes,
        max_pending=max(10_000, 20 * batch_size) if max_pending is None else max_pending,
        max_pending_bytes=max_pending_bytes,
    )
