"""A part of a batch: the items that one transaction writes, and the result of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

from perflab.batching.accumulator import Batch
from perflab.batching.grouping import group_by_operation
from perflab.batching.unit_write import UnitWrite
from perflab.batching.waiting_lines import Entry
from perflab.database.ledger import KeptAnswers
from perflab.database.operation import DriverConnection, Operation
from perflab.errors import ResultLost


class Submission(NamedTuple):
    """One item as it was submitted, and the future (of either kind) that its caller holds."""

    operation: Operation[Any, Any]
    item: Any
    future: Any


SubmissionEntry = Entry[Submission]
SubmissionBatch = Batch[Submission]


class PreparedItem(NamedTuple):
    entry: SubmissionEntry
    operation: Operation[Any, Any]
    row: Any


@dataclass(frozen=True, slots=True)
class Unreadable:
    """In place of the result of an item that is written, but whose operation cannot tell how it ended."""

    error: Exception


class AppliedPart:
    """The items as they are sent, inside a transaction, and their results once it has ended."""

    def __init__(self, connection: DriverConnection, part: Sequence[PreparedItem]) -> None:
        self._part = part
        self._opened = open_units(part)
        self._results: list[Any] = [None] * len(self._opened)
        self._answers: list[tuple[list[int], Sequence[Any]]] = []
        for operation, positions in group_by_operation([prepared.operation for prepared in self._opened]):
            answer = operation.apply(connection, [self._opened[position].row for position in positions])
            if connection.answers_at_once:  # and must be read, while a faulty operation can be undone
                self._spread(answer, positions)
            else:
                self._answers.append((positions, answer))

    def __len__(self) -> int:
        """Items, those of units counted singly."""
        return len(self._opened)

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
        if self._opened is self._part:
            return self._results
        left = iter(self._results)
        return [
            list(islice(left, len(item.operation))) if isinstance(item.operation, UnitWrite) else next(left)
            for item in self._part
        ]

    def _spread(self, answer: Sequence[Any], positions: list[int]) -> None:
        for position, result in zip(positions, answer, strict=True):
            self._results[position] = result


def open_units(part: Sequence[PreparedItem]) -> Sequence[PreparedItem]:
    """The part with the items of each unit in its place; itself if it has no unit."""
    if not any(isinstance(item.operation, UnitWrite) for item in part):
        return part
    opened = []
    for item in part:
        if isinstance(item.operation, UnitWrite):
            rows = zip(item.operation.members, item.row, strict=True)
            opened += [PreparedItem(item.entry, member.operation, row) for member, row in rows]
        else:
            opened.append(item)
    return opened


class Doubt:
    """A part whose COMMIT was sent and never answered; its entries share it.

    Until the ledger has told, none of them may be written again. It is asked with whichever of them comes first, and
    tells of all, because they need not come back in one batch.
    """

    def __init__(self, batch: UUID, part: Sequence[PreparedItem]) -> None:
        self.batch = batch
        self._part = part
        self.results: dict[int, Any] | None = None
        """By number of the entry, once it is known that the part is written."""
        for prepared in part:
            prepared.entry.doubt = self

    def settle(self, kept: KeptAnswers | None) -> None:
        """Take what the ledger told: what the database answered, or None: it is not written, and never will be."""
        if kept is None:
            for prepared in self._part:
                prepared.entry.doubt = None
            return
        try:
            results = kept.replay(lambda connection: AppliedPart(connection, self._part)).results()
        except ResultLost as error:
            results = [Unreadable(error)] * len(self._part)
        self.results = {prepared.entry.number: result for prepared, result in zip(self._part, results, strict=True)}
