"""From a batch to the database and back to each item: what all shells share.

`Delivery.write` does the input and output and touches no shared state, so that any thread may run it. What it returns
says how each item ended; the shell tells the futures, and then settles the accumulator under its lock.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from itertools import compress
from math import inf
from operator import attrgetter
from random import Random
from typing import Any

from perflab.batching.attempts import Attempts
from perflab.batching.dead_letters import DeadLetter, DeadLetters, hand_over
from perflab.batching.failure import describe_failure, new_batcher_id
from perflab.batching.gate import FlushGate, gated
from perflab.batching.isolation import isolate
from perflab.batching.outcomes import Written, in_doubt, name_of_operation, typed_error
from perflab.batching.part import AppliedPart, Doubt, Submission, SubmissionBatch, Unreadable
from perflab.batching.part_size import PartSize
from perflab.batching.retry import RetryPolicy
from perflab.batching.unit_write import UnitWrite
from perflab.database.database import Database
from perflab.database.failures import classify
from perflab.database.load import KeyedRead
from perflab.database.operation import Operation, prepare_all
from perflab.database.result_codes import FailureKind
from perflab.errors import DeliveryTimeout, OutcomeUnknown

logger = logging.getLogger(__name__)


class Delivery:
    """Writes batches of submissions to one database, one at a time.

    Args:
        retry: None: as `RetryPolicy()` says.
        dead_letters: receives the items of each batch that failed for good.
        start: called with the items of each batch as it leaves; returns those that their callers have not cancelled,
            and from then on cannot cancel.
        gate: what each transaction passes first; None: nothing.
    """

    def __init__(
        self,
        database: Database,
        retry: RetryPolicy | None,
        dead_letters: DeadLetters | None = None,
        gate: FlushGate | None = None,
        *,
        start: Callable[[Sequence[Submission]], Sequence[Submission]],
        clock: Callable[[], float] = time.monotonic,
        random: Random,
    ) -> None:
        self._database = database
        self._dead_letters = dead_letters
        self._retry = retry or RetryPolicy()
        self._start = start
        self._gate = gate
        self._ledger = gated(database.ledger, gate)
        self._clock = clock
        self._random = random
        self._part_size = PartSize()
        self._id = new_batcher_id()

    def write(self, batch: SubmissionBatch) -> Written:
        """Write a batch: refuse bad items alone, isolate poison, and hand back what should be tried again.

        Never raises an `Exception`: what goes wrong is somebody's result.
        """
        written = Written()
        entries = self._start(batch.entries)
        start = self._clock()
        tally = Attempts()
        entries = self._drop_late(entries, start, written)
        if any(map(_doubt, entries)):
            entries = self._settle_doubts(entries, tally, written)
        reads: Sequence[Submission] = ()
        if any(issubclass(kind, KeyedRead) for kind in {type(entry.operation) for entry in entries}):
            reads = [entry for entry in entries if isinstance(entry.operation, KeyedRead)]
            entries = [entry for entry in entries if not isinstance(entry.operation, KeyedRead)]
        has_units = batch.items > len(batch.entries)
        error = self._write(entries, tally, written, weigh=_items_in if has_units else len)
        if reads:
            self._read(reads, error, tally, written)
        if self._dead_letters is not None and (letters := _letters(written)):
            hand_over(letters, self._dead_letters)
        if tally.attempts:
            delivered, undecided = _items_in(written.delivered), _items_in(written.undecided)
            seconds = self._clock() - start
            written.flush = tally.describe(batch, delivered, written.failed_items, undecided, seconds)
        if written.failed or written.undecided:
            self._note_failure(batch, written)
        return written

    def _note_failure(self, batch: SubmissionBatch, written: Written) -> None:
        written.failure = describe_failure(
            batch,
            f"{self._id}-{batch.entries[0].number}",
            failed=((entry.count, error) for entry, error in written.failed),
            undecided=_items_in(written.undecided),
            error=written.error,
            retry_in=written.resume_at - self._clock(),
        )

    def _drop_late(self, entries: Sequence[Submission], now: float, written: Written) -> Sequence[Submission]:
        """What cannot be written by its deadline any more is not written, unless it may be already."""
        if now < min(map(_deadline, entries), default=inf):
            return entries
        late = {entry.number for entry in entries if entry.deadline <= now and entry.doubt is None}
        for entry in entries:
            if entry.number in late:
                error = DeliveryTimeout(
                    f"{name_of_operation(entry)} was not sent, because its deadline, "
                    f"{entry.deadline - entry.arrived:.3g} s after it was accepted, had passed: the database was "
                    "slower than estimated"
                )
                written.failed.append((entry, error))
        return [entry for entry in entries if entry.number not in late]

    def emit(self, written: Written) -> None:
        """Tell listeners what was written: of each operation together, and then of the batch."""
        if not self._database.events:
            return
        by_operation: dict[int, tuple[Operation[Any, Any], list[Any], list[Any]]] = {}
        for operation, item, result in _told_singly(written):
            _, items, results = by_operation.setdefault(id(operation), (operation, [], []))
            items.append(item)
            results.append(result)
        for operation, items, results in by_operation.values():
            self._database.announce(operation, items, results)
        if written.failure is not None:
            self._database.events.emit(written.failure)
        if written.flush is not None:
            self._database.events.emit(written.flush)

    def _write(
        self,
        entries: Sequence[Submission],
        tally: Attempts,
        written: Written,
        *,
        weigh: Callable[[Sequence[Submission]], int],
    ) -> Exception | None:
        """Write what writes; returns the failure that left items to be tried again, if one did."""
        prepared = self._prepare(entries, written)
        isolated = isolate(
            prepared,
            lambda part: self._attempt(part, tally),
            part_size=self._part_size,
            weigh=weigh,
            has_time=lambda entry: self._clock() < entry.arrived + self._retry.delivery_timeout,
        )
        for part, results in isolated.parts:
            _deliver(part, results, written)
        written.failed += [(entry, typed_error(error, entry)) for entry, error in isolated.failed]
        undecided = list(isolated.undecided)
        if isinstance(isolated.error, OutcomeUnknown):
            if isolated.error.batch is not None:
                Doubt(isolated.error.batch, isolated.in_doubt)
            else:  # there is no ledger, and to try again would be a guess
                written.failed += [(entry, in_doubt(entry, isolated.error)) for entry in isolated.in_doubt]
                del undecided[: len(isolated.in_doubt)]
        self._undecided(undecided, isolated.error, written)
        return isolated.error

    def _read(self, entries: Sequence[Submission], error: Exception | None, tally: Attempts, written: Written) -> None:
        """Read what the batch reads, after its writes and outside of their transaction.

        A read must see the writes that were submitted before it: if one of them is to be tried again, it waits, too.
        """
        if written.undecided and error is not None:
            first = min(entry.number for entry in written.undecided)
            self._undecided([entry for entry in entries if entry.number > first], error, written)
            entries = [entry for entry in entries if entry.number < first]
        by_operation: dict[int, list[Submission]] = {}
        for entry in self._prepare(entries, written):
            by_operation.setdefault(id(entry.operation), []).append(entry)
        for items in by_operation.values():
            isolated = isolate(items, lambda part: self._look_up(part, tally))
            for part, results in isolated.parts:
                _deliver(part, results, written)
            written.failed += [(entry, typed_error(error, entry)) for entry, error in isolated.failed]
            self._undecided(isolated.undecided, isolated.error, written)

    def _look_up(self, part: Sequence[Submission], tally: Attempts) -> Sequence[Any]:
        with tally.counted(self._database.reading_connection()) as connection:
            with nullcontext() if self._gate is None else self._gate.reading(connection):
                answer = part[0].operation.apply(connection, [entry.row for entry in part])
            results = list(answer)
        tally.unbatched += len(part)  # one SELECT is one round trip everywhere
        return results

    def _prepare(self, entries: Sequence[Submission], written: Written) -> Sequence[Submission]:
        """Give the entries their rows, and return those that have one."""
        by_operation: dict[int, list[Submission]] = {}
        for entry in entries:
            by_operation.setdefault(id(entry.operation), []).append(entry)
        refused: set[int] = set()
        for own in by_operation.values():
            try:
                rows = prepare_all(own[0].operation, [entry.item for entry in own])
                for entry, row in zip(own, rows, strict=True):
                    entry.row = row
            except Exception:  # noqa: BLE001  # whose it is, each by itself tells
                refused.update(_prepare_singly(own, written))
        return [entry for entry in entries if entry.number not in refused] if refused else entries

    def _attempt(self, part: Sequence[Submission], tally: Attempts) -> list[Any]:
        """Write one part in one transaction."""
        try:
            with tally.counted(self._database.writing_connection()) as connection:
                superseded = connection.superseded
                with self._ledger.transaction(connection):
                    applied = AppliedPart(connection, part)
                tally.superseded += connection.superseded - superseded
        except Exception as error:
            unit = part[0].operation
            if len(part) == 1 and isinstance(unit, UnitWrite) and classify(error) not in _NOT_OF_ITEMS:
                self._find_breaker(unit, part[0].row, tally)
            raise
        tally.unbatched += len(applied) * self._database.round_trips_of_one
        return applied.results()

    def _find_breaker(self, unit: UnitWrite, row: Sequence[Any], tally: Attempts) -> None:
        """A unit is refused: find out for which item, in a transaction that is always rolled back."""
        try:
            with tally.counted(self._database.writing_connection()) as connection, connection.conversation():
                unit.try_out(connection, row)
        except Exception as error:  # noqa: BLE001  # the unit has failed already, and this only says why
            if classify(error) in _NOT_OF_ITEMS:
                unit.broken_by = None

    def _settle_doubts(self, entries: Sequence[Submission], tally: Attempts, written: Written) -> Sequence[Submission]:
        """Ask what became of the parts in doubt, and return the entries that are to be written now."""
        failure: Exception | None = None
        try:
            for doubt in {id(entry.doubt): entry.doubt for entry in entries if _is_in_doubt(entry)}.values():
                with tally.counted(self._database.writing_connection()) as connection:
                    doubt.settle(self._ledger.ask(connection, doubt.batch))
        except Exception as error:  # noqa: BLE001  # each kind has its own answer
            failure = error
        told = [entry for entry in entries if entry.doubt is not None and not _is_in_doubt(entry)]
        tally.unbatched += len(told) * self._database.round_trips_of_one
        _deliver(told, [entry.doubt.results[entry.number] for entry in told], written)
        left = [entry for entry in entries if entry.doubt is None or _is_in_doubt(entry)]
        if failure is None:
            return left
        if classify(failure) is FailureKind.TRANSIENT:  # all wait, so that they keep their order
            self._undecided(left, failure, written)
            return []
        written.failed += [(entry, in_doubt(entry, failure)) for entry in left if _is_in_doubt(entry)]
        return [entry for entry in left if entry.doubt is None]

    def _undecided(self, entries: Sequence[Submission], error: Exception | None, written: Written) -> None:
        """Try again what has time left; the rest fails with its deadline."""
        if not entries or error is None:
            return
        timeout = self._retry.delivery_timeout
        written.error = error
        written.resume_at = self._clock() + self._retry.delay(entries[0].attempts, self._random)
        for entry in entries:
            # What may be written already is asked for beyond its deadline.
            last_moment = min(entry.arrived + timeout, entry.deadline if entry.doubt is None else inf)
            if written.resume_at < last_moment:
                written.undecided.append(entry)
            elif entry.doubt is not None:
                written.failed.append((entry, in_doubt(entry, error)))
            else:
                expired = DeliveryTimeout(
                    f"{name_of_operation(entry)} was not delivered within {last_moment - entry.arrived:g} s, "
                    f"after {entry.attempts} attempts; the last failed with: {typed_error(error, entry)}"
                )
                expired.__cause__ = error
                written.failed.append((entry, expired))


def _prepare_singly(entries: Sequence[Submission], written: Written) -> Iterator[int]:
    """Give those a row that can have one; yields the numbers of the others, which have failed."""
    for entry in entries:
        try:
            entry.row = entry.operation.prepare(entry.item)
        except Exception as error:  # noqa: BLE001  # a faulty operation must not strand the neighbours
            written.failed.append((entry, typed_error(error, entry)))
            yield entry.number


_count = attrgetter("count")
_deadline = attrgetter("deadline")
_doubt = attrgetter("doubt")

_NOT_OF_ITEMS = frozenset({FailureKind.TRANSIENT, FailureKind.UNKNOWN, FailureKind.UNUSABLE})
"""Failures that no item is to blame for."""


def _items_in(part: Sequence[Submission]) -> int:
    """Those of units counted singly."""
    return sum(map(_count, part))


def _deliver(entries: Sequence[Submission], results: Sequence[Any], written: Written) -> None:
    """Note what is written, and of what the result cannot be read."""
    if Unreadable in set(map(type, results)):
        for entry, result in zip(entries, results, strict=True):
            if isinstance(result, Unreadable):
                written.failed.append((entry, typed_error(result.error, entry)))
                written.unreadable.add(entry.number)
        readable = [not isinstance(result, Unreadable) for result in results]
        entries, results = list(compress(entries, readable)), list(compress(results, readable))
    written.delivered += entries
    written.results += results


def _told_singly(written: Written) -> Iterator[tuple[Operation[Any, Any], Any, Any]]:
    """Operation, item and result of what was delivered, also of each item of a unit."""
    for entry, result in zip(written.delivered, written.results, strict=True):
        operation, item = entry.operation, entry.item
        if isinstance(operation, UnitWrite):
            outcomes = zip(operation.members, result, strict=True)
            yield from (
                (member.operation, member.item, outcome)
                for member, outcome in outcomes
                if not isinstance(outcome, Unreadable)
            )
        else:
            yield operation, item, result


def _letters(written: Written) -> list[DeadLetter]:
    """The writes that failed and are not known to be in the database, in the order of submission."""
    failed = [
        (entry, error)
        for entry, error in written.failed
        if entry.number not in written.unreadable and not isinstance(entry.operation, KeyedRead)
    ]
    failed.sort(key=lambda pair: pair[0].number)
    letters = []
    for entry, error in failed:
        unit = entry.operation
        if isinstance(unit, UnitWrite):
            members = zip(unit.members, unit.errors(error), strict=True)
            letters += [DeadLetter(member.operation.name, member.item, own, entry.attempts) for member, own in members]
        else:
            letters.append(DeadLetter(name_of_operation(entry), entry.item, error, entry.attempts))
    return letters


def _is_in_doubt(entry: Submission) -> bool:
    return entry.doubt is not None and entry.doubt.results is None
