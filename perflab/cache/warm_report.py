"""What warming came to, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WarmReport:
    """What became of the keys that were to be warmed: keys = fresh + loaded + absent + refused + left_out."""

    keys: int
    """Different ones."""
    fresh: int
    """Were in memory already, or on their way."""
    loaded: int
    """Were read, and have a row."""
    absent: int
    """Were read, and have none."""
    refused: int
    """Are none that the table can have, or are refused by the database."""
    left_out: int
    """Found no room any more beside those before them."""
    round_trips: int
    seconds: float
