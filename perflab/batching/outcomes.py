"""How the items of a batch ended, and telling their futures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from perflab.batching.part import Submission, SubmissionBatch
from perflab.database.failures import typed
from perflab.database.ledger import outcome_unknown
from perflab.errors import LifecycleError, OutcomeUnknown, StatementError
from perflab.events import FlushCompleted, FlushFailed

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Written:
    """How the items of one batch ended."""

    delivered: list[Submission] = field(default_factory=list)
    results: list[Any] = field(default_factory=list)
    """Of each that is delivered."""
    failed: list[tuple[Submission, Exception]] = field(default_factory=list)
    unreadable: set[int] = field(default_factory=set)
    """Numbers of those that failed although they are written: only their results are lost."""
    undecided: list[Submission] = field(default_factory=list)
    resume_at: float = 0.0
    error: Exception | None = None
    """Why items are undecided."""
    flush: FlushCompleted | None = None
    """None where nothing was sent: all items were cancelled or refused."""
    failure: FlushFailed | None = None
    """None where each item is written."""

    @property
    def failed_items(self) -> int:
        """How many failed, those of units counted singly."""
        return sum(entry.count for entry, _ in self.failed)


def interrupted(batch: SubmissionBatch, error: BaseException) -> Written:
    """How a batch ended that something other than an `Exception` broke off: nobody knows, so it is not tried again."""
    unknown = LifecycleError(f"{type(error).__name__} broke off the batch with this item, which may have been written")
    unknown.__cause__ = error
    return Written(failed=[(entry, unknown) for entry in batch.entries])


def resolve(written: Written) -> None:
    """Give the items that are decided to their futures."""
    give_results(zip(written.delivered, written.results, strict=True))
    give_errors(written.failed)


def give_results(delivered: Iterable[tuple[Submission, Any]]) -> None:
    for entry, result in delivered:
        future = entry.future
        if future.done():
            continue
        try:
            future.set_result(result)
        except BaseException:
            logger.exception("a callback of a future failed")


def give_errors(failed: Iterable[tuple[Submission, Exception]]) -> None:
    for entry, error in failed:
        future = entry.future
        if not future.done():
            _tell(future.set_exception, error)


def abandon(entries: Iterable[Submission], in_line: Iterable[Any] = ()) -> int:
    """Fail what a batcher still held when `close` ran out of time; returns how many were still wanted.

    Args:
        entries: of the buffer.
        in_line: futures of items that did not get into it.
    """
    futures = [(entry.future, _abandoned(entry)) for entry in entries]
    futures += [(future, _abandoned(None)) for future in in_line]
    wanted = [(future, error) for future, error in futures if not future.done()]
    for future, error in wanted:
        _tell(future.set_exception, error)
    return len(wanted)


def _abandoned(entry: Submission | None) -> Exception:
    closed = LifecycleError("the batcher was closed before this item could be delivered")
    return closed if entry is None or entry.doubt is None else in_doubt(entry, closed)


def _tell(setter: Callable[[Any], None], outcome: Any) -> None:
    """Set one future; its callbacks run here, and what they do must not reach the items beside it."""
    try:
        setter(outcome)
    except BaseException:
        logger.exception("a callback of a future failed")


def in_doubt(entry: Submission, error: Exception) -> OutcomeUnknown:
    """For an item that may be written, when nobody can be asked any more."""
    if isinstance(error, OutcomeUnknown):
        unknown = OutcomeUnknown(f"{name_of_operation(entry)}: {error}")
    else:
        why = f"the ledger could not be asked in time: {typed_error(error, entry)}"
        unknown = outcome_unknown(why, entry.doubt.batch)
    unknown.__cause__ = error
    return unknown


def typed_error(error: Exception, entry: Submission) -> Exception:
    """The error for one item's future: typed, with the driver's as its cause."""
    name = name_of_operation(entry)
    if isinstance(error, StopIteration):  # no asyncio future takes it
        faulty = StatementError(f"{name} raised StopIteration: it is faulty")
        faulty.__cause__ = error
        return faulty
    return typed(error, name)


def name_of_operation(entry: Submission) -> str:
    """The name of an item's operation, of a faulty one too."""
    operation = entry.operation
    return str(getattr(operation, "name", type(operation).__name__))
