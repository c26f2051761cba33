"""What an atomic unit is on its way through a batcher: one operation with the items of several."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

from perflab.batching.grouping import parents_first
from perflab.database.failures import as_perflab_error
from perflab.database.operation import DriverConnection, Operation
from perflab.errors import InvalidInput, LifecycleError, UnitBroken


class Member(NamedTuple):
    """One item of a unit, and the future that its caller holds."""

    operation: Operation[Any, Any]
    item: Any
    future: Any
    position: int
    """As it was submitted."""


class Undone(Exception):
    """Ends a transaction of which nothing is to stay."""


class UnitWrite:
    """The items of one unit as one operation. Its row is a list of those of its items, in their order.

    Args:
        members: as they were submitted. Where all of them do nothing but add rows, what others refer to goes first.
    """

    name = "atomic unit"

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = [members[at] for at in parents_first([member.operation for member in members])]
        self.tables = frozenset[str]().union(*(member.operation.tables for member in members))
        self.broken_by: int | None = None
        """Index of the member that was refused, once that is known."""
        self._lock = threading.Lock()
        self._has_left = False
        self._is_dropped = False

    def __len__(self) -> int:
        return len(self.members)

    def size_bytes(self, _item: object) -> int:
        return sum(member.operation.size_bytes(member.item) for member in self.members)

    def prepare(self, _item: object) -> list[Any]:
        with self._lock:
            if self._is_dropped:
                raise LifecycleError("the unit was cancelled as it left: nothing of it is written")
            self._has_left = True
        rows = []
        for index, member in enumerate(self.members):
            try:
                rows.append(member.operation.prepare(member.item))
            except Exception:
                self.broken_by = index
                raise
        return rows

    def apply(self, connection: DriverConnection, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """One item after the other, in their order. A batch sends them by operation instead, see `AppliedPart`."""
        for index, (member, row) in enumerate(zip(self.members, rows[0], strict=True)):
            self.broken_by = index
            list(member.operation.apply(connection, [row]))
        self.broken_by = None
        return []

    def try_out(self, connection: DriverConnection, row: Sequence[Any]) -> None:
        """Apply it so that `broken_by` tells which item is refused. Always raises, so that nothing of it stays."""
        self.apply(connection, [row])
        raise Undone

    def drop(self) -> bool:
        """Take it back; False if it has left."""
        with self._lock:
            self._is_dropped = self._is_dropped or not self._has_left
            return self._is_dropped

    def errors(self, error: Exception) -> list[Exception]:
        """For each item, where the unit failed with this error."""
        if self.broken_by is None:
            return [error] * len(self)
        breaker = self.members[self.broken_by]
        place = f"item {breaker.position + 1} of {len(self)} of its atomic unit"
        name = str(breaker.operation.name)
        own: Exception
        if isinstance(error, InvalidInput):
            own = InvalidInput(f"{name}, {place}: {error}")
            own.__cause__ = error
        else:
            cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
            own = as_perflab_error(cause, f"{name}, {place},") or error
            if own is not cause:
                own.__cause__ = error.__cause__
        broken = UnitBroken(
            f"not written, because {place} was refused ({own}); correct or leave out that one and submit all again",
            position=breaker.position,
        )
        broken.__cause__ = own
        return [own if member is breaker else broken for member in self.members]


def count_of(operation: Operation[Any, Any]) -> int:
    """As how many items one with this operation counts; a unit counts as all of its own."""
    return len(operation) if isinstance(operation, UnitWrite) else 1
