"""In which order the operations of a batch are sent: few statements, and nothing that matters changes its order."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import Any, TypeAlias

from perflab.database.operation import Operation

Group: TypeAlias = tuple[Operation[Any, Any], list[int]]
"""An operation and the positions of its items in the part."""


class TouchedTables:
    """What came before with each table, as far as somebody must stay behind it.

    Operations with a table in common keep their order, with one exception: where both only add rows, one may go before
    another that refers to its table, because nothing that is added to a table breaks a reference to it.
    """

    def __init__(self) -> None:
        self._changed: dict[str, int] = {}  # the last that did more than to add rows, or to refer to those added
        self._added: dict[str, int] = {}  # the last since that added rows
        self._referring: dict[str, list[int]] = {}  # those since that refer to it

    def stay_before(self, operation: Operation[Any, Any]) -> set[int]:
        """The numbers of those before which the operation may not go."""
        before = {last[table] for last in (self._changed, self._added) for table in operation.tables if table in last}
        if adds_to(operation) is None:
            before.update(*(self._referring.get(table, ()) for table in operation.tables))
        return before

    def touch(self, operation: Operation[Any, Any], number: int) -> None:
        """Note an operation that comes after all those before."""
        own = adds_to(operation)
        for table in operation.tables:
            if own is None:
                self._changed[table] = number
                self._added.pop(table, None)
                self._referring.pop(table, None)
            elif table == own:
                self._added[table] = number
            else:
                self._referring.setdefault(table, []).append(number)


def adds_to(operation: Operation[Any, Any]) -> str | None:
    """The table to which an operation adds rows, if that is all that it does."""
    adds: str | None = getattr(operation, "adds_to", None)  # `AddsRows`; isinstance would take 1 µs
    return adds


def parents_first(operations: Sequence[Operation[Any, Any]]) -> Sequence[int]:
    """Positions of operations in an order in which what is added comes before what refers to it.

    Only where all of them do nothing but add rows; otherwise they keep their order.
    """
    distinct = {id(operation): operation for operation in operations}.values()
    if len(distinct) == 1 or any(adds_to(operation) is None for operation in distinct):
        return range(len(operations))
    # A table names all that it refers to, directly or not, and so more than each of these; a circle names as many.
    return sorted(range(len(operations)), key=lambda position: len(operations[position].tables))


def group_by_operation(operations: Sequence[Operation[Any, Any]]) -> list[Group]:
    """Positions by operation: as few groups as possible without changing an order that matters.

    An item joins the group of its operation unless it would go before a later group that must stay before it; then it
    begins a new one.
    """
    if len(set(map(id, operations))) <= 1:
        return [(operations[0], list(range(len(operations))))] if operations else []
    groups: list[Group] = []
    group_of: dict[int, int] = {}  # by identity of the operation
    touched = TouchedTables()
    for position, operation in enumerate(operations):
        index = group_of.get(id(operation))
        if index is None or (index != len(groups) - 1 and max(touched.stay_before(operation), default=index) > index):
            index = group_of[id(operation)] = len(groups)
            groups.append((operation, []))
            touched.touch(operation, index)
        groups[index][1].append(position)
    return in_order_of_tables(groups)


def in_order_of_tables(groups: Sequence[Group]) -> list[Group]:
    """Groups that may change places, by the names of their tables.

    Two processes that write the same tables then lock them in one order, and cannot deadlock for that reason.
    """
    waits_for = [0] * len(groups)
    followers: list[list[int]] = [[] for _ in groups]
    touched = TouchedTables()
    for index, (operation, _) in enumerate(groups):
        for before in touched.stay_before(operation):
            followers[before].append(index)
            waits_for[index] += 1
        touched.touch(operation, index)
    names = [sorted(operation.tables) for operation, _ in groups]
    ready = [(names[index], index) for index, count in enumerate(waits_for) if not count]
    heapify(ready)
    ordered = []
    while ready:
        _, index = heappop(ready)
        ordered.append(groups[index])
        for follower in followers[index]:
            waits_for[follower] -= 1
            if not waits_for[follower]:
                heappush(ready, (names[follower], follower))
    return ordered
