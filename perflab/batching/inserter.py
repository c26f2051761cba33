"""Many rows into one table: the bulk loader."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any, Self

from sqlalchemy import Table

from perflab.batching import at_exit
from perflab.batching.gate import FlushGate
from perflab.batching.interrupts import interrupts_deferred
from perflab.batching.limits import make_limits
from perflab.batching.metrics import BatchingMetrics, FlushTally
from perflab.batching.retry import RetryPolicy
from perflab.batching.row_delivery import Failed, RowBatch, RowDelivery
from perflab.batching.rows import as_row, iterate_rows
from perflab.batching.table_insert import OnConflict, insert_operation
from perflab.database.database import Database
from perflab.database.values import approximate_bytes
from perflab.errors import LifecycleError
from perflab.events import Cause, FlushCompleted, FlushFailed

logger = logging.getLogger(__name__)

OnReject = Callable[[Any, Exception], None]
SHORTEST_LOOK_SECONDS = 0.005
"""Between two looks for rows of a source that is being read, however short the flush interval."""


@dataclass(frozen=True, slots=True)
class InsertReport:
    """What became of the rows."""

    delivered: int
    """Rows inserted, updated, or ignored as `on_conflict` says."""
    rejected: int
    """Rows refused by perflab's checks or by the database; each went to `on_reject`, or was raised."""


class BulkInserter:
    """Inserts rows in large batches, in the thread that adds them: a source is never read faster than it is written.

    A batch is one transaction; on PostgreSQL a large one is one COPY in binary. A row that the database refuses is
    found by halving the batch, and only that row fails: it goes to `on_reject`, or, without one, its error is raised
    after its neighbours have been written (of several, the first, with their number). A row is read when its batch
    leaves: do not change it after adding it.

    Most rows of a COPY are looked at while the server is at work. One that perflab refuses then breaks it off, which is
    counted as a retry; as long as there are such rows, batches are looked at before anything is sent.

    Args:
        database: where the table is.
        table: a SQLAlchemy table, or the name of one that exists.
        batch_size: rows at which a batch leaves.
        flush_interval: seconds after which the oldest row leaves, also when nobody adds another.
        on_conflict: a row whose primary key exists is an "error", is left as it is ("ignore"), or is overwritten
            ("update").
        batch_bytes: bytes at which a batch leaves; measured only if stated.
        columns: names for rows that come as tuples; default: the columns of the table in their order.
        on_reject: called with each refused row, as it was given, and its error.
        retry: back-off and overall deadline after passing failures.
        gate: what each transaction passes first, such as a `FleetMember`; None: nothing.

    Raises:
        InvalidInput: a bound is out of range, the table does not exist, or it has no primary key to update by.
    """

    def __init__(
        self,
        database: Database,
        table: Table | str,
        batch_size: int = 5_000,
        flush_interval: float = 1.0,
        *,
        on_conflict: OnConflict = "error",
        batch_bytes: int | None = None,
        columns: Sequence[str] | None = None,
        on_reject: OnReject | None = None,
        retry: RetryPolicy | None = None,
        gate: FlushGate | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        random: Random | None = None,
    ) -> None:
        limits = make_limits(batch_size, flush_interval, batch_bytes, None, None)
        operation, self._columns = insert_operation(database, table, on_conflict, columns)
        self._limits = limits
        self._on_reject = on_reject
        self._clock = clock
        self._sleep = sleep
        self._delivery = RowDelivery(
            database,
            operation,
            self._columns,
            retry or RetryPolicy(),
            gate,
            flushed=self._flushed,
            clock=clock,
            sleep=sleep,
            random=random or Random(),
        )
        self._events = database.events
        self._rows: deque[Any] = deque()
        """What waits. Rows are added at its end without the lock, and taken from its front under it."""
        self._bytes = 0
        self._oldest: float | None = None
        """No row that waits has come before; None while none waits."""
        self._left: RowBatch | None = None
        """What a passing failure left of the last batch."""
        self._in_flight = 0
        self._extending = 0
        """Calls that add rows without the lock."""
        self._closing = False
        self._tally = FlushTally()
        self._rejected = 0
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._timer: threading.Thread | None = None
        self._background_error: Exception | None = None
        self._at_exit = at_exit.register(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def add(self, row: Mapping[str, Any] | Sequence[Any]) -> None:
        """Add one row, and write a batch if one is due.

        Raises:
            InvalidInput, DatabaseError: a row of a batch was refused and there is no `on_reject`; it may be an earlier
                one than this. The other rows are safe.
            LifecycleError: the inserter is closed.
        """
        as_row(row, self._columns)
        with self._lock:
            now = self._clock()
            self._append(row, now)
            self._write_due(now=now)  # with one reading, so that a row that has just come is not old

    def extend(self, rows: Any) -> None:
        """Add many rows: an iterable of dictionaries or tuples, a generator, a DataFrame, or an Arrow table.

        What is no row, or has another length, is refused when its batch leaves, like any bad row.
        """
        source = iterate_rows(rows)
        for row in source:
            with self._lock:
                self._append(row, self._clock())
                room = 0 if self._limits.measures_bytes else max(0, self._limits.batch_size - len(self._rows))
                self._extending += 1
                self._changed.notify()
            try:
                # Each is there as soon as it has come, so that it does not grow old with a source that has stopped.
                self._rows.extend(islice(source, room))
            finally:
                with self._lock:
                    self._extending -= 1
            self._write_due()

    def flush(self) -> None:
        """Write everything that was added."""
        self._write_due(Cause.BARRIER)

    def close(self) -> InsertReport:
        """Write everything, accept no more, and say what became of the rows. Calling it again changes nothing."""
        with self._lock:
            self._closing = True
            self._changed.notify()
            try:
                self._write_due(Cause.CLOSE)
            finally:
                atexit.unregister(self._at_exit)
            return InsertReport(delivered=self._tally.metrics(0).items, rejected=self._rejected)

    def drain_at_exit(self, timeout: float) -> int:  # noqa: ARG002  # the retry policy bounds it
        rejected_before = self._rejected
        try:
            self.close()
        except Exception:
            logger.exception("rows of an inserter that was not closed were refused")
        return self._rejected - rejected_before + self._pending

    def metrics(self) -> BatchingMetrics:
        """What the inserter did so far."""
        return self._tally.metrics(self._pending)

    @property
    def _pending(self) -> int:
        return self._in_flight + len(self._rows) + (0 if self._left is None else len(self._left))

    # -- inside --------------------------------------------------------------------------------------------------------

    def _append(self, row: Any, now: float) -> None:
        if self._closing:
            raise LifecycleError("the inserter is closed: make another one")
        if self._limits.batch_bytes is not None:
            size = approximate_bytes(row)
            if self._rows and self._bytes + size > self._limits.batch_bytes:
                self._write_due(Cause.BYTES)
            self._bytes += size
        self._rows.append(row)
        if self._oldest is None:
            self._oldest = now
            self._watch_age()

    def _write_due(self, all_because: Cause | None = None, *, now: float | None = None) -> None:
        """Write all that is due, wait out passing failures, and raise the first error that nobody else was told."""
        with self._lock:
            first_error, self._background_error = self._background_error, None
            untold = int(first_error is not None)
            while (batch := self._left or self._take(all_because, now)) is not None:
                self._left = batch
                if batch.attempt > 1 and (seconds := batch.resume_at - self._clock()) > 0:
                    self._sleep(seconds)
                with interrupts_deferred():
                    failed = self._write(batch)
                for row, error in failed:
                    if (left := self._reject(row, error)) is not None:
                        first_error = first_error or left
                        untold += 1
            if first_error is not None:
                if untold > 1:
                    first_error.add_note(f"{untold - 1} more rows were rejected; with on_reject you are told of each")
                raise first_error

    def _take(self, all_because: Cause | None, now: float | None) -> RowBatch | None:
        """The batch that is due now."""
        limits, now = self._limits, self._clock() if now is None else now
        if not self._rows or (cause := self._due(now) or all_because) is None:
            return None
        oldest = now if self._oldest is None else self._oldest
        if len(self._rows) <= limits.batch_size and not self._extending:  # else some may come meanwhile
            rows = list(self._rows)
            self._rows.clear()
        else:
            popleft = self._rows.popleft
            rows = [popleft() for _ in range(min(len(self._rows), limits.batch_size))]
        taken_bytes, self._bytes = self._bytes, 0  # if they are measured, all rows leave
        self._oldest = now if self._rows else None
        return RowBatch(rows, cause, limits.batch_size, taken_bytes, waited=max(0.0, now - oldest))

    def _due(self, now: float) -> Cause | None:
        limits = self._limits
        if len(self._rows) >= limits.batch_size:
            return Cause.COUNT
        if limits.batch_bytes is not None and self._bytes >= limits.batch_bytes:
            return Cause.BYTES
        return Cause.AGE if self._oldest is not None and now >= self._oldest + limits.flush_interval else None

    def _write(self, batch: RowBatch) -> Failed:
        self._left = None
        self._in_flight = len(batch)
        is_decided = False
        try:
            failed, self._left = self._delivery.attempt(batch)
            is_decided = True
        finally:
            self._in_flight = 0
            if not is_decided:  # nobody knows what became of them, so they are not tried again
                self._flushed(None, None, len(batch))
        return failed

    def _flushed(self, flush: FlushCompleted | None, failure: FlushFailed | None, failed: int) -> None:
        self._tally.add(flush, failed=failed)
        self._rejected += failed
        if failure is not None and self._events:
            self._events.emit(failure)
        if flush is not None and self._events:
            self._events.emit(flush)

    def _reject(self, row: Any, error: Exception) -> Exception | None:
        """Tell `on_reject` of a row; returns what is left to raise."""
        if self._on_reject is None:
            return error
        try:
            self._on_reject(row, error)
        except Exception as raised:  # noqa: BLE001  # the other rows are told first
            return raised
        return None

    # -- age -----------------------------------------------------------------------------------------------------------

    def _watch_age(self) -> None:
        """Wake the thread that writes what has grown old; where none can start, the next call does it."""
        if self._timer is None:
            timer = threading.Thread(target=self._write_when_old, name="perflab-inserter", daemon=True)
            try:
                timer.start()
            except RuntimeError:
                return
            self._timer = timer
        self._changed.notify()

    def _write_when_old(self) -> None:
        interval = self._limits.flush_interval
        with self._lock:
            while not self._closing:
                looked = self._clock()
                if not self._rows:
                    # While a source is read, its rows come without a word: they are as old as the last look, at most.
                    self._changed.wait(max(interval, SHORTEST_LOOK_SECONDS) if self._extending else None)
                    if self._rows and self._oldest is None:
                        self._oldest = looked
                elif self._oldest is not None and (left := self._oldest + interval - looked) > 0:
                    self._changed.wait(left)
                else:
                    self._oldest = looked if self._oldest is None else self._oldest
                    try:
                        self._write_due()
                    except Exception as error:  # noqa: BLE001  # it is raised by the next call of the user
                        self._background_error = self._background_error or error
