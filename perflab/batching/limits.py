"""The bounds of a batch and of the buffer before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from perflab.database.values import check_integer, check_number
from perflab.errors import InvalidInput

Overflow = Literal["block", "raise"]
"""What becomes of a submit that finds the buffer full."""
Mode = Literal["threads", "inline"]
"""Who writes batches."""

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
    flush_jitter: float = 0.0
    """The share, 0 … 1, by which the interval of each batch is shortened at random, so that many instances that began
    together do not go on together."""

    def __post_init__(self) -> None:
        check_integer(self.batch_size, "batch_size", low=1, high=LARGEST_BATCH)
        check_number(self.flush_interval, "flush_interval", high=LONGEST_INTERVAL_SECONDS)
        if self.batch_bytes is not None:
            check_integer(self.batch_bytes, "batch_bytes", low=1)
        check_integer(self.max_pending, "max_pending", low=self.batch_size)
        check_number(self.flush_jitter, "flush_jitter", high=1.0)
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
    *,
    flush_jitter: float = 0.0,
) -> Limits:
    """The limits of a batcher's arguments; a buffer that is not stated holds 20 batches, and at least 10,000 items."""
    check_integer(batch_size, "batch_size", low=1, high=LARGEST_BATCH)
    return Limits(
        batch_size=batch_size,
        flush_interval=flush_interval,
        batch_bytes=batch_bytes,
        max_pending=max(10_000, 20 * batch_size) if max_pending is None else max_pending,
        max_pending_bytes=max_pending_bytes,
        flush_jitter=flush_jitter,
    )


def check_choice(value: str, where: str, choices: Sequence[str]) -> None:
    """Refuse what is none of the choices.

    Raises:
        InvalidInput: it is not.
    """
    if value not in choices:
        raise InvalidInput(f"{where} is {value!r}: use one of {', '.join(map(repr, choices))}")
