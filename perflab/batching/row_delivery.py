"""From many rows to one table: what the bulk inserter writes with.

Rows have no results and no futures, so they are checked and sent by columns, without an object for each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from random import Random
from typing import Any, TypeVar

from perflab.batching.attempts import Attempts
from perflab.batching.failure import describe_failure, new_batcher_id
from perflab.batching.gate import FlushGate, gated
from perflab.batching.isolation import Isolated, isolate
from perflab.batching.part_size import PartSize
from perflab.batching.retry import RetryPolicy
from perflab.batching.rows import as_row
from perflab.database.bulk.form import CoreRows, ValueRefused, Values
from perflab.database.core_write import CoreRow, CoreWrite
from perflab.database.database import Database
from perflab.database.failures import classify, typed
from perflab.database.ledger import outcome_unknown
from perflab.database.result_codes import FailureKind
from perflab.errors import DeliveryTimeout, OutcomeUnknown, TransientError
from perflab.events import Cause, FlushCompleted, FlushFailed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PreparedRows:
    """Rows as the driver takes them."""

    given: Sequence[Any]
    core: CoreRows | Sequence[CoreRow]
    """One form for all of them, or a row each where they have several."""


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Rows that leave together, and what is left of them for another attempt."""

    rows: Sequence[Any]
    cause: Cause
    capacity: int
    bytes: int
    waited: float
    """Seconds that the oldest row had waited, at the most."""
    attempt: int = 1
    resume_at: float = 0.0
    deadline: float | None = None
    """Of the first attempt, from its start."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def items(self) -> int:
        return len(self.rows)


Failed = list[tuple[Any, Exception]]
"""Rows as they were given, each with its error."""


class RowDelivery:
    """Writes batches of rows with one operation.

    Args:
        columns: names for rows that are tuples or lists.
        gate: what each transaction passes first; None: nothing.
        flushed: called after each attempt, with what listeners are to hear and the number of rows that have failed.
        sleep: between two questions to the ledger.
    """

    def __init__(
        self,
        database: Database,
        operation: CoreWrite,
        columns: tuple[str, ...],
        retry: RetryPolicy,
        gate: FlushGate | None = None,
        *,
        flushed: Callable[[FlushCompleted | None, FlushFailed | None, int], object],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        random: Random,
    ) -> None:
        self._database = database
        self._ledger = gated(database.ledger, gate)
        self._operation = operation
        self._columns = columns
        self._retry = retry
        self._flushed = flushed
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._part_size = PartSize()
        self._id = new_batcher_id()
        self._batches = 0
        self._expects_refusals = False
        """The last batch had rows that perflab refuses: the next are looked at before anything is sent."""

    def attempt(self, batch: RowBatch) -> tuple[Failed, RowBatch | None]:
        """Write a batch once.

        Returns:
            The rows that have failed, and a batch of those that are to be tried again.
        """
        start, tally = self._clock(), Attempts()
        deadline = start + self._retry.delivery_timeout if batch.deadline is None else batch.deadline
        failed: Failed = []
        prepared = self._prepare(batch.rows, failed)
        isolated = isolate(
            range(len(prepared.given)),
            partial(self._attempt, prepared, tally, deadline),
            part_size=self._part_size,
            has_time=lambda _index: self._clock() < deadline,
        )
        failed += [(prepared.given[index], typed(error, self._operation.name)) for index, error in isolated.failed]
        resume_at = self._clock()
        if isinstance(isolated.error, ValueRefused):
            self._expects_refusals = True
        else:
            resume_at += self._retry.delay(batch.attempt, self._random)
        undecided = self._undecided(prepared, isolated, batch, failed, in_time=resume_at < deadline)
        delivered = isolated.deliveries
        tally.unbatched = delivered * self._database.round_trips_of_one
        flush = tally.describe(batch, delivered, len(failed), len(undecided), self._clock() - start)
        if batch.attempt == 1:
            self._batches += 1
        failure = describe_failure(
            batch,
            f"{self._id}-{self._batches}",
            failed=((1, error) for _, error in failed),
            undecided=len(undecided),
            error=isolated.error,
            retry_in=max(0.0, resume_at - self._clock()),
        )
        self._flushed(flush if isolated.attempts else None, failure, len(failed))
        if not undecided:
            return failed, None
        left = replace(
            batch,
            rows=[prepared.given[index] for index in undecided],
            attempt=batch.attempt + 1,
            deadline=deadline,
            resume_at=resume_at,
        )
        return failed, left

    # -- rows as the driver takes them ---------------------------------------------------------------------------------

    def _prepare(self, rows: Sequence[Any], failed: Failed) -> PreparedRows:
        columns, values = self._by_position(rows)
        prepared = self._operation.prepare_many(columns, values, whole=self._expects_refusals) if columns else None
        if prepared is not None:
            self._expects_refusals = False
            return PreparedRows(rows, prepared)
        good: list[Any] = []
        core_rows: list[CoreRow] = []
        for row in rows:
            try:
                core_rows.append(self._operation.prepare(as_row(row, self._columns)))
            except Exception as error:  # noqa: BLE001  # it fails alone
                failed.append((row, typed(error, self._operation.name)))
            else:
                good.append(row)
        self._expects_refusals = bool(failed)
        return PreparedRows(good, core_rows)

    def _by_position(self, rows: Sequence[Any]) -> tuple[tuple[str, ...], Values]:
        """The columns of all rows, and their values in this order; no columns where they differ."""
        kinds = set(map(type, rows))
        if kinds <= _SEQUENCES:
            return self._columns, rows
        if kinds != _DICTIONARY:
            return (), ()
        columns = set(map(tuple, rows))
        if len(columns) > 1:
            return (), ()
        (names,) = columns
        if len(names) == 1:
            return names, [(row[names[0]],) for row in rows]
        return (names, list(map(itemgetter(*names), rows))) if names else ((), ())

    # -- attempts ------------------------------------------------------------------------------------------------------

    def _attempt(self, prepared: PreparedRows, tally: Attempts, deadline: float, part: Sequence[int]) -> Sequence[None]:
        """Write one part in one transaction."""
        core = prepared.core
        try:
            with tally.counted(self._database.writing_connection()) as connection:
                superseded = connection.superseded
                if isinstance(core, CoreRows):
                    rows = core._replace(values=_some(core.values, part))
                    self._operation.write_alone(connection, self._ledger, rows)
                else:
                    with self._ledger.transaction(connection):
                        self._operation.apply(connection, _some(core, part))
                tally.superseded += connection.superseded - superseded
        except OutcomeUnknown as unknown:
            if not self._is_written(unknown, tally, deadline):
                raise TransientError("the connection was lost, and the batch with it") from unknown
        return [None] * len(part)

    def _is_written(self, unknown: OutcomeUnknown, tally: Attempts, deadline: float) -> bool:
        """Ask the ledger until it answers or the time is over."""
        if unknown.batch is None:
            raise unknown
        number = 0
        while True:
            number += 1
            try:
                with tally.counted(self._database.writing_connection()) as connection:
                    return self._ledger.ask(connection, unknown.batch) is not None
            except Exception as error:
                seconds = self._retry.delay(number, self._random)
                if classify(error) is not FailureKind.TRANSIENT or self._clock() + seconds >= deadline:
                    raise outcome_unknown(
                        f"the ledger could not be asked in time: {typed(error, self._operation.name)}", unknown.batch
                    ) from error
                self._sleep(seconds)

    def _undecided(
        self, prepared: PreparedRows, isolated: Isolated[int, None], batch: RowBatch, failed: Failed, *, in_time: bool
    ) -> Sequence[int]:
        """What is to be tried again; the rest has failed."""
        undecided, error = isolated.undecided, isolated.error
        if error is None:
            return ()
        if isolated.in_doubt:
            failed += [(prepared.given[index], error) for index in isolated.in_doubt]
            undecided = undecided[len(isolated.in_doubt) :]
        if in_time:
            return undecided
        for index in undecided:
            expired = DeliveryTimeout(
                f"{self._operation.name} was not delivered within {self._retry.delivery_timeout:g} s, after "
                f"{batch.attempt} attempts; the last failed with: {typed(error, self._operation.name)}"
            )
            expired.__cause__ = error
            failed.append((prepared.given[index], expired))
        return ()


def _some(values: Sequence[T], part: Sequence[int]) -> Sequence[T]:
    """Those with these indices."""
    return values[part.start : part.stop] if isinstance(part, range) else [values[index] for index in part]


_SEQUENCES = frozenset({tuple, list})
_DICTIONARY = frozenset({dict})
