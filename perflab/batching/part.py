"""A part of a batch: the items that one transaction writes, and the result of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import Any, TypeAlias
from uuid import UUID

from perflab.batching.accumulator import Batch
from perflab.batching.grouping import group_by_operation
from perflab.batching.unit_write import UnitWrite
from perflab.batching.waiting_lines import Entry
from perflab.database.ledger import KeptAnswers
from perflab.database.operation import DriverConnection, Operation
from perflab.errors import ResultLost

AnyOperation: TypeAlias = Operation[Any, Any]


class Submission(Entry):
    """One item as it was submitted, and the future (of either kind) that its caller holds."""

    __slots__ = ("doubt", "future", "operation", "row")

    # Calling the base class would cost each item 0.07 µs.
    def __init__(self, operation: AnyOperation, item: Any, future: Any) -> None:
        self.item = item
        self.count = 1
        self.size = self.lane = self.number = self.attempts = 0
        self.arrived = 0.0
        self.deadline = inf
        self.cause = None
        self.operation = operation
        self.future = future
        self.row: Any = None  # the item as it is sent
        self.doubt: Any = None  # what an attempt of unknown outcome left open


SubmissionBatch: TypeAlias = Batch[Submission]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """In place of the result of an item that is written, but whose operation cannot tell how it ended."""

    error: Exception


class AppliedPart:
    """The rows of some items as they are sent, inside a transaction, and the results once it has ended."""

    def __init__(self, connection: DriverConnection, part: Sequence[Submission]) -> None:
        operations = [entry.operation for entry in part]
        rows = [entry.row for entry in part]
        self._units = operations if UnitWrite in set(map(type, operations)) else ()
        if self._units:
            operations, rows = _opened(operations, rows)
        self._results: list[Any] = [None] * len(operations)
        self._answers: list[tuple[list[int], Sequence[Any]]] = []
        for operation, positions in group_by_operation(operations):
            is_whole = len(positions) == len(rows)
            answer = operation.apply(connection, rows if is_whole else [rows[position] for position in positions])
            if connection.answers_at_once:  # and must be read, while a faulty operation can be undone
                self._spread(answer, positions)
            else:
                self._answers.append((positions, answer))

    def __len__(self) -> int:
        """Items, those of units counted singly."""
        return len(self._results)

    def results(self) -> list[Any]:
        """One for each item of the part, a list for a unit. What cannot be read is `Unreadable`: it is committed and
        must not be tried again.
        """
        for positions, answer in self._answers:
            try:
                self._spread(answer, positions)
            except Exception as error:  # noqa: BLE001  # an operation may do anything
                for position in positions:
                    self._results[position] = Unreadable(error)
        if not self._units:
            return self._results
        left = iter(self._results)
        return [
            list(islice(left, len(operation))) if isinstance(operation, UnitWrite) else next(left)
            for operation in self._units
        ]

    def _spread(self, answer: Sequence[Any], positions: list[int]) -> None:
        results = list(answer)
        if len(results) == len(positions) == len(self._results):
            self._results = results
            return
        for position, result in zip(positions, results, strict=True):
            self._results[position] = result


def _opened(
    operations: Sequence[Operation[Any, Any]], rows: Sequence[Any]
) -> tuple[list[Operation[Any, Any]], list[Any]]:
    """Operations and rows with those of the items of each unit in its place."""
    of_items: list[AnyOperation] = []
    rows_of_items: list[Any] = []
    for operation, row in zip(operations, rows, strict=True):
        if isinstance(operation, UnitWrite):
            of_items += [member.operation for member in operation.members]
            rows_of_items += row
        else:
            of_items.append(operation)
            rows_of_items.append(row)
    return of_items, rows_of_items


class Doubt:
    """A part whose COMMIT was sent and never answered; its entries share it.

    Until the ledger has told, none of them may be written again. It is asked with whichever of them comes first, and
    tells of all, because they need not come back in one batch.
    """

    def __init__(self, batch: UUID, part: Sequence[Submission]) -> None:
        self.batch = batch
        self._part = part
        self.results: dict[int, Any] | None = None
        """By number of the entry, once it is known that the part is written."""
        for entry in part:
            entry.doubt = self

    def settle(self, kept: KeptAnswers | None) -> None:
        """Take what the ledger told: what the database answered, or None: it is not written, and never will be."""
        if kept is None:
            for entry in self._part:
                entry.doubt = None
            return
        try:
            results = kept.replay(lambda connection: AppliedPart(connection, self._part)).results()
        except ResultLost as error:
            results = [Unreadable(error)] * len(self._part)
        self.results = {entry.number: result for entry, result in zip(self._part, results, strict=True)}
