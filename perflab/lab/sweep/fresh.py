"""The database of one visit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from perflab.database.database import Database


@dataclass(frozen=True, slots=True)
class FreshDatabase:
    """A database that nothing was ever written to.

    Attributes:
        direct: For what is not measured: the set-up, and the check of the answer.
        measured: For what is measured. It is `direct`, or the same database through a proxy.
        added_round_trip: Seconds that the proxy was measured to add; None without one.
        settle: Has the server write to disk what the set-up left to be written, so that no visit pays for it; does
            nothing where that is not allowed.
        url: Of the database, for other processes. It may hold a password.
    """

    direct: Database
    measured: Database
    added_round_trip: float | None
    settle: Callable[[], None]
    url: str = field(repr=False)
