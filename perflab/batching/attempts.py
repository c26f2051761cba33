"""What the attempts at one batch have cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from perflab.batching.isolation import outcome_of
from perflab.database.failures import is_too_much
from perflab.database.operation import DriverConnection
from perflab.events import Cause, FlushCompleted


class LeftBatch(Protocol):
    """What a batch was when it left, whatever its items are."""

    @property
    def items(self) -> int: ...

    @property
    def bytes(self) -> int: ...

    @property
    def capacity(self) -> int: ...

    @property
    def cause(self) -> Cause: ...

    @property
    def waited(self) -> float: ...

    @property
    def attempt(self) -> int: ...


class Attempts:
    """Attempts and round trips sent, what the items that they delivered would have cost one by one, how many of these
    need not be sent, and whether one attempt was too much.
    """

    __slots__ = ("attempts", "sent", "superseded", "too_much", "unbatched")

    def __init__(self) -> None:
        self.attempts = 0
        self.sent = 0
        self.unbatched = 0
        self.superseded = 0
        self.too_much = False

    @contextmanager
    def counted(self, lent: AbstractContextManager[DriverConnection]) -> Iterator[DriverConnection]:
        """A connection for one attempt."""
        self.attempts += 1
        with lent as connection:
            before = connection.round_trips
            try:
                yield connection
            except Exception as error:
                self.too_much = self.too_much or is_too_much(error)
                raise
            finally:
                self.sent += connection.round_trips - before

    def describe(self, batch: LeftBatch, delivered: int, failed: int, undecided: int, seconds: float) -> FlushCompleted:
        """The event of the batch, for which so many items ended so."""
        return FlushCompleted(
            items=delivered + failed + undecided,  # without those that were cancelled
            delivered=delivered,
            capacity=batch.capacity,
            bytes=batch.bytes,
            seconds=seconds,
            waited=batch.waited,
            round_trips=self.sent,
            round_trips_unbatched=self.unbatched,
            cause=batch.cause,
            outcome=outcome_of(delivered, failed, undecided),
            attempt=batch.attempt,
            too_much=self.too_much,
            superseded=self.superseded,
        )
