"""Every error that perflab raises, as one small hierarchy.

The branches answer the one question a caller has: *whose turn is it now?*

- `InvalidInput`: yours. The value was refused before anything was written; correct it and call again.
- `DatabaseError`: the database refused or failed. `TransientError` has already been retried and may be tried
  again later; `RejectedRow` will fail again with the same row; `DatabaseUnusable` needs an operator; `CorruptPayload`
  is one payload that cannot be read back. Two say more than "failed": after `OutcomeUnknown` look whether it is
  written, and after `ResultLost` know that it is.
- `UnitBroken`: of another item of the same atomic unit; what is to be corrected is its `__cause__`.
- `LifecycleError`: the object is closed, or is used where it cannot work (after a fork, inside its own transaction).
- `BufferFull`, `QueueFull`, `DeadlineOutOfReach`, `DeliveryTimeout`: load. Slow down, or allow more.
- `HandlersStuck`: start the worker again; `perflab worker --processes` does.
- `MissingExtra`: an optional package is needed; the message has the command that installs it.
- `LabError`: a measurement could not be made, or its answer was wrong.

Messages say what was wrong, with which value, and what to do. They never hold a password: URLs pass through
`perflab.database.urls.redact` first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID


class PerflabError(Exception):
    """Base class of all errors raised by perflab."""


class InvalidInput(PerflabError, ValueError):
    """An argument, a payload or a setting was refused before anything was written."""


class DatabaseError(PerflabError):
    """The database refused or failed. The driver's own exception is the `__cause__`."""


class TransientError(DatabaseError):
    """A failure that may pass by itself (busy, locked, full, connection lost); retries were made and used up."""


class PoolExhausted(TransientError):
    """All connections of the pool were in use for as long as one may wait: hold them for shorter, or allow more.

    Attributes:
        size: Connections that the pool may hold.
        in_use: How many of them were held.
        waiting: Other threads that waited for one, too.
        longest_held_seconds: How long the one that was held longest had been held.
    """

    def __init__(
        self, message: str, *, size: int = 0, in_use: int = 0, waiting: int = 0, longest_held_seconds: float = 0.0
    ) -> None:
        super().__init__(message)
        self.size = size
        self.in_use = in_use
        self.waiting = waiting
        self.longest_held_seconds = longest_held_seconds


class TooManyConnections(TransientError):
    """The server has no connection left for this user or database: close others, or have its operator allow more."""


class RejectedRow(DatabaseError):
    """The database refused this row for what it holds (constraint, type, size): the same row will fail again."""


class StatementError(DatabaseError):
    """The statement itself cannot run (no such table or column, syntax): no row of it will succeed."""


class DatabaseUnusable(DatabaseError):
    """The database cannot be written or read as it is: missing, read-only, corrupt, or not a database."""


class OutcomeUnknown(DatabaseError):
    """The connection was lost while a write was being committed: it is in the database whole, or not at all.

    Writing it again may write it twice; look first.

    Attributes:
        batch: what the ledger knows it by; None if there is no ledger.
    """

    def __init__(self, message: str, *, batch: UUID | None = None) -> None:
        super().__init__(message)
        self.batch = batch


class ResultLost(DatabaseError):
    """It is written, exactly once, but what the database answered was lost with the connection: read it instead.

    So it is with the rows of a Core statement with `.returning()`. Ids and verdicts of queues and schedulers are kept
    beside the batch, and are told all the same.
    """


class CorruptPayload(DatabaseError, ValueError):
    """What is stored of one payload cannot be read back: damaged, too large, or not written by perflab."""


class LifecycleError(PerflabError, RuntimeError):
    """The object is closed, belongs to another process or event loop, or is used inside its own transaction."""


class UnitBroken(PerflabError):
    """Another item of the same atomic unit was refused, so that nothing of the unit is written; see the `__cause__`.

    Attributes:
        position: Of that item in the unit, counted from 0.
    """

    def __init__(self, message: str, *, position: int = 0) -> None:
        super().__init__(message)
        self.position = position


class BufferFull(PerflabError):
    """The bounded buffer holds `max_pending` items and did not get room in time; nothing was accepted."""


class QueueFull(PerflabError):
    """As many jobs wait in a queue as its limit allows, and there was no room in time; no job was accepted."""


class DeadlineOutOfReach(PerflabError):
    """An item would not be decided by its deadline, as far as is known, and was not accepted.

    Attributes:
        deadline_seconds: Seconds that were left for it.
        estimated_seconds: Seconds that it would take, by the flushes so far and what is pending.
        pending: Items that were pending.
    """

    def __init__(self, message: str, *, deadline_seconds: float, estimated_seconds: float, pending: int) -> None:
        super().__init__(message)
        self.deadline_seconds = deadline_seconds
        self.estimated_seconds = estimated_seconds
        self.pending = pending


class DeliveryTimeout(PerflabError, TimeoutError):
    """An accepted item could not be delivered within its overall deadline; its last error is the `__cause__`."""


class HandlersStuck(PerflabError):
    """So many handlers of a worker do not return that it cannot work on: only a new process frees their threads."""


class MissingExtra(PerflabError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""


class LabError(PerflabError):
    """A measurement could not be made."""


class WrongAnswer(LabError):
    """A measured run left other rows than it should have: it has no time."""


class StoreError(LabError):
    """The results store cannot be used: locked by another run, of another version, or not a store."""
