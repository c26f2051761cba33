"""From a batch to the database and back to each item: what all shells share.

`Delivery.write` does the input and output and touches no shared state, so that any thread may run it. What it returns
says how each item ended; the shell tells the futures, and then settles the accumulator under its lock.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from perflab.batching.accumulator import Batch, Entry
from perflab.batching.isolation import isolate
from perflab.batching.retry import RetryPolicy
from perflab.database.database import Database
from perflab.database.failures import as_perflab_error, is_too_much
from perflab.database.operation import Operation
from perflab.errors import DeliveryTimeout, LifecycleError, StatementError
from perflab.events import Event, FlushCompleted, Outcome

logger = logging.getLogger(__name__)


class Submission(NamedTuple):
    """One item as it was submitted, and the future (of either kind) that its caller holds."""

    operation: Operation[Any, Any]
    item: Any
    future: Any


SubmissionEntry = Entry[Submission]
SubmissionBatch = Batch[Submission]


class PreparedItem(NamedTuple):
    entry: SubmissionEntry
    row: Any


@dataclass(slots=True)
class Written:
    """How the items of one batch ended."""

    delivered: list[tuple[SubmissionEntry, Any]] = field(default_factory=list)
    failed: list[tuple[SubmissionEntry, Exception]] = field(default_factory=list)
    undecided: list[SubmissionEntry] = field(default_factory=list)
    resume_at: float = 0.0
    flush: FlushCompleted | None = None
    """None where nothing was sent: all items were cancelled or refused."""


class Delivery:
    """Writes batches of submissions to one database.

    Args:
        start: called with the future of each item as it leaves for the first time; False drops the item, because its
            caller has cancelled it.
    """

    def __init__(
        self,
        database: Database,
        retry: RetryPolicy,
        *,
        start: Callable[[Any], bool],
        clock: Callable[[], float] = time.monotonic,
        random: Random,
    ) -> None:
        self._database = database
        self._retry = retry
        self._start = start
        self._clock = clock
        self._random = random

    def write(self, batch: SubmissionBatch) -> Written:
        """Write a batch: refuse bad items alone, isolate poison, and hand back what should be tried again.

        Never raises an `Exception`: what goes wrong is somebody's result.
        """
        written = Written()
        prepared = self._prepare(batch.entries, written)
        if not prepared:
            return written
        items = len(prepared) + len(written.failed)  # without those that were cancelled
        start = self._clock()
        tally = _RoundTripTally()
        isolated = isolate(prepared, lambda part: self._attempt(part, tally))
        now = self._clock()
        for item, result in isolated.delivered:
            if isinstance(result, _Unreadable):
                isolated.failed.append((item, result.error))
            else:
                written.delivered.append((item.entry, result))
        written.failed += [(item.entry, _typed(error, item.entry)) for item, error in isolated.failed]
        self._undecided([item.entry for item in isolated.undecided], isolated.error, now, written)
        if written.undecided:
            outcome = Outcome.RETRIED
        elif len(written.delivered) == items:
            outcome = Outcome.COMMITTED
        else:
            outcome = Outcome.PARTIAL if written.delivered else Outcome.FAILED
        written.flush = FlushCompleted(
            items=items,
            delivered=len(written.delivered),
            capacity=batch.capacity,
            bytes=batch.bytes,
            seconds=now - start,
            waited=batch.waited,
            round_trips=tally.sent,
            round_trips_unbatched=tally.unbatched,
            cause=batch.cause,
            outcome=outcome,
            attempt=batch.attempt,
            too_much=tally.too_much,
        )
        return written

    def emit(self, event: Event) -> None:
        if self._database.events:
            self._database.events.emit(event)

    def _prepare(self, entries: Sequence[SubmissionEntry], written: Written) -> list[PreparedItem]:
        prepared: list[PreparedItem] = []
        for entry in entries:
            operation, item, future = entry.item
            if entry.attempts == 1 and not self._start(future):
                continue
            try:
                prepared.append(PreparedItem(entry, operation.prepare(item)))
            except Exception as error:  # noqa: BLE001  # a faulty operation must not strand the neighbours
                written.failed.append((entry, _typed(error, entry)))
        return prepared

    def _attempt(self, part: Sequence[PreparedItem], tally: _RoundTripTally) -> list[Any]:
        """Write one part in one transaction."""
        results: list[Any] = [None] * len(part)
        answers: list[tuple[list[int], Sequence[Any]]] = []
        with self._database.writing_connection() as connection:
            before = connection.round_trips
            try:
                with connection.transaction():
                    for operation, positions in group_by_operation(part):
                        rows = [part[position].row for position in positions]
                        answer = operation.apply(connection, rows)
                        if connection.answers_at_once:  # and must be read, while a faulty operation can be undone
                            _spread(answer, positions, results)
                        else:
                            answers.append((positions, answer))
            except Exception as error:
                tally.too_much = tally.too_much or is_too_much(error)
                raise
            finally:
                tally.sent += connection.round_trips - before
        tally.unbatched += len(part) * self._database.round_trips_of_one
        for positions, answer in answers:
            try:
                _spread(answer, positions, results)
            except Exception as error:  # noqa: BLE001  # it is committed, and must not be tried again
                for position in positions:
                    results[position] = _Unreadable(error)
        return results

    def _undecided(self, entries: list[SubmissionEntry], error: Exception | None, now: float, written: Written) -> None:
        """Try again what has time left; the rest fails with its deadline."""
        if not entries or error is None:
            return
        timeout = self._retry.delivery_timeout
        written.resume_at = now + self._retry.delay(entries[0].attempts, self._random)
        for entry in entries:
            if written.resume_at < entry.arrived + timeout:
                written.undecided.append(entry)
            else:
                expired = DeliveryTimeout(
                    f"{_name(entry)} was not delivered within {timeout:g} s, after {entry.attempts} "
                    f"attempts; the last failed with: {_typed(error, entry)}"
                )
                expired.__cause__ = error
                written.failed.append((entry, expired))


class _RoundTripTally:
    """Round trips sent, what the items that they delivered would have cost one by one, and whether one was too much."""

    __slots__ = ("sent", "too_much", "unbatched")

    def __init__(self) -> None:
        self.sent = 0
        self.unbatched = 0
        self.too_much = False


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """In place of the result of an item that is written, but whose operation cannot tell how it ended."""

    error: Exception


def _spread(answer: Sequence[Any], positions: list[int], results: list[Any]) -> None:
    for position, result in zip(positions, answer, strict=True):
        results[position] = result


def group_by_operation(part: Sequence[PreparedItem]) -> list[tuple[Operation[Any, Any], list[int]]]:
    """Positions by operation: as few groups as possible without changing the order on any table.

    An item joins the group of its operation unless a later group shares a table with it; then it begins a new one.
    """
    groups: list[tuple[Operation[Any, Any], list[int]]] = []
    group_of: dict[int, int] = {}  # by identity of the operation
    last_on_table: dict[str, int] = {}
    for position, prepared in enumerate(part):
        operation = prepared.entry.item.operation
        index = group_of.get(id(operation))
        if index is None or (index != len(groups) - 1 and any(last_on_table[t] > index for t in operation.tables)):
            index = group_of[id(operation)] = len(groups)
            groups.append((operation, []))
            last_on_table.update(dict.fromkeys(operation.tables, index))
        groups[index][1].append(position)
    return groups


def resolve(written: Written) -> None:
    """Give the items that are decided to their futures."""
    for entry, result in written.delivered:
        future = entry.item.future
        if not future.done():
            _tell(future.set_result, result)
    for entry, error in written.failed:
        future = entry.item.future
        if not future.done():
            _tell(future.set_exception, error)


def abandon(futures: Iterable[Any]) -> int:
    """Fail what a batcher still held when `close` ran out of time; returns how many were still wanted."""
    wanted = [future for future in futures if not future.done()]
    for future in wanted:
        _tell(future.set_exception, LifecycleError("the batcher was closed before this item could be delivered"))
    return len(wanted)


def _tell(setter: Callable[[Any], None], outcome: Any) -> None:
    """Set one future; its callbacks run here, and what they do must not reach the items beside it."""
    try:
        setter(outcome)
    except BaseException:
        logger.exception("a callback of a future failed")


def interrupted(batch: SubmissionBatch, error: BaseException) -> Written:
    """How a batch ended that something other than an `Exception` broke off: nobody knows, so it is not tried again."""
    unknown = LifecycleError(f"{type(error).__name__} broke off the batch with this item, which may have been written")
    unknown.__cause__ = error
    return Written(failed=[(entry, unknown) for entry in batch.entries])


def _typed(error: Exception, entry: SubmissionEntry) -> Exception:
    """The error for one item's future: typed, with the driver's as its cause."""
    name = _name(entry)
    typed = as_perflab_error(error, name)
    if isinstance(error, StopIteration):  # no asyncio future takes it
        typed = StatementError(f"{name} raised StopIteration: it is faulty")
    if typed is None or typed is error:
        return error
    typed.__cause__ = error
    return typed


def _name(entry: SubmissionEntry) -> str:
    """The name of an item's operation, of a faulty one too."""
    operation = entry.item.operation
    return str(getattr(operation, "name", type(operation).__name__))
