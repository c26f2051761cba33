"""The one shape of a write: an operation has one bulk form, and a single call is a batch of one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, Protocol, TypeVar, overload, runtime_checkable

from perflab.database.recorder import StatementRecorder
from perflab.events import Event

logger = logging.getLogger(__name__)


class DriverConnection(Protocol):
    """The driver's own connection: hot paths speak to it, because Core execution costs 1.7 times as much there."""

    round_trips: int
    superseded: int
    """Rows that were not sent because a later one of the same batch overwrites all that they would have written."""

    @property
    def in_transaction(self) -> bool: ...

    @property
    def answers_at_once(self) -> bool:
        """Whether what a statement returns can be read before the transaction has ended, and must be."""

    @property
    def is_broken(self) -> bool:
        """Whether it has lost its server and is of no more use."""

    def execute(self, sql: str, parameters: Any = ..., /) -> Any: ...

    def executemany(self, sql: str, parameters: Any, /) -> Any: ...

    def transaction(self) -> AbstractContextManager[None]:
        """All statements of the block or none. What they return may be read only after the block."""

    def conversation(self) -> AbstractContextManager[None]:
        """The same for a block in which a later statement depends on what an earlier one returned."""

    def record_statements(self, recorder: StatementRecorder | None) -> None:
        """Note each statement and its time from now on; with None, which costs nothing, no more."""


Item_contra = TypeVar("Item_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)


Result = TypeVar("Result")


class Deferred(Sequence[Result], Generic[Result]):
    """Results that are read from the server's answer when somebody looks at them, once."""

    def __init__(self, read: Callable[[], Sequence[Result]]) -> None:
        self._read = read
        self._results: Sequence[Result] | None = None

    def _now(self) -> Sequence[Result]:
        if self._results is None:
            self._results = self._read()
        return self._results

    @overload
    def __getitem__(self, index: int) -> Result: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Result]: ...

    def __getitem__(self, index: int | slice) -> Result | Sequence[Result]:
        return self._now()[index]

    def __len__(self) -> int:
        return len(self._now())

    def __iter__(self) -> Iterator[Result]:
        return iter(self._now())  # Sequence's own would come here for each index


@runtime_checkable
class Announcing(Protocol):
    """An operation of whose items listeners hear once they are written."""

    def event(self, items: Sequence[Any], results: Sequence[Any]) -> Event | None:
        """What to tell them of items that were written together, and their results; None if nothing."""


class AddsRows(Protocol):
    """An operation that may do nothing but add rows to one table. It may then go before others that refer to that."""

    @property
    def adds_to(self) -> str | None:
        """The table: of `tables`, the others are those that it refers to, directly or not, and it reads none of them
        for anything else. None: it does more.
        """


PLAIN_FROM = 20
"""Items from which on their columns are looked at: for fewer, looking at each is as fast."""


@runtime_checkable
class PreparesPlain(Protocol):
    """An operation that knows a quicker way for many items, where none of them needs a closer look."""

    def prepare_plain(self, items: Sequence[Any]) -> Sequence[Any] | None:
        """What `prepare` would make of each; None: do so.

        Raises:
            InvalidInput: as `prepare` of the first item that cannot be stored.
        """


class Operation(Protocol[Item_contra, Result_co]):
    """A kind of write that many items share.

    `prepare` and `size_bytes` are pure and run before anything is sent. `apply` runs inside a transaction that somebody
    else begins and ends, sends a number of statements that does not grow with the rows, and may be called again with
    the same rows after a rollback. Its results may be read only when that transaction has ended: a server answers a
    whole transaction at once, in one round trip.
    """

    @property
    def name(self) -> str:
        """For messages and metrics, such as "enqueue"."""

    @property
    def tables(self) -> frozenset[str]:
        """The tables whose order of writes matters to it: those it writes and those that these refer to.

        Operations with no table in common may change places inside a batch; all others keep their order, but for what
        `AddsRows` says.
        """

    def prepare(self, item: Item_contra) -> Any:
        """The checked and encoded row of one item.

        Raises:
            InvalidInput: the item cannot be stored.
        """

    def size_bytes(self, item: Item_contra) -> int:
        """About how many bytes the item takes."""

    def apply(self, connection: DriverConnection, rows: Sequence[Any]) -> Sequence[Result_co]:
        """Write all rows, and return one result per row in their order."""


def prepare_all(operation: Operation[Any, Any], items: Sequence[Any]) -> Sequence[Any]:
    """The checked and encoded rows of all items.

    Raises:
        InvalidInput: one of them cannot be stored.
    """
    if len(items) >= PLAIN_FROM and isinstance(operation, PreparesPlain):
        rows = operation.prepare_plain(items)
        if rows is not None:
            return rows
    return list(map(operation.prepare, items))


def event_of(operation: Operation[Any, Any], items: Sequence[Any], results: Sequence[Any]) -> Event | None:
    """What listeners shall hear of items that are written; None if nothing. Never raises: they are written."""
    if not isinstance(operation, Announcing):
        return None
    try:
        return operation.event(items, results)
    except Exception:
        logger.exception("the event of %s could not be made", operation.name)
        return None
