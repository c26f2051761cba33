"""Many rows into one table: the bulk loader."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, Self, get_args

from sqlalchemy import Dialect, Insert, MetaData, Table, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import NoSuchTableError

from perflab.batching import at_exit
from perflab.batching.accumulator import Accumulator
from perflab.batching.delivery import Delivery, Written, interrupted
from perflab.batching.interrupts import interrupts_deferred
from perflab.batching.limits import make_limits
from perflab.batching.metrics import BatchingMetrics, FlushTally
from perflab.batching.part import Submission
from perflab.batching.retry import RetryPolicy
from perflab.batching.rows import as_row, iterate_rows
from perflab.database.core_write import CoreWrite
from perflab.database.database import Database
from perflab.database.values import check_sql_name
from perflab.errors import InvalidInput

logger = logging.getLogger(__name__)

OnConflict = Literal["error", "ignore", "update"]
OnReject = Callable[[Mapping[str, Any], Exception], None]


@dataclass(frozen=True, slots=True)
class InsertReport:
    """What became of the rows."""

    delivered: int
    """Rows inserted, updated, or ignored as `on_conflict` says."""
    rejected: int
    """Rows refused by perflab's checks or by the database; each went to `on_reject`, or was raised."""


class BulkInserter:
    """Inserts rows in large batches, in the thread that adds them: a source is never read faster than it is written.

    A batch is one transaction. A row that the database refuses is found by halving the batch, and only that row fails:
    it goes to `on_reject`, or, without one, its error is raised after its neighbours have been written (of several, the
    first, with their number). A row is read when its batch leaves: do not change it after adding it.

    Args:
        database: where the table is.
        table: a SQLAlchemy table, or the name of one that exists.
        batch_size: rows at which a batch leaves.
        flush_interval: seconds after which the oldest row leaves, also when nobody adds another.
        on_conflict: a row whose primary key exists is an "error", is left as it is ("ignore"), or is overwritten
            ("update").
        batch_bytes: bytes at which a batch leaves; measured only if stated.
        columns: names for rows that come as tuples; default: the columns of the table in their order.
        on_reject: called with each refused row and its error.
        retry: back-off and overall deadline after passing failures.

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
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        random: Random | None = None,
    ) -> None:
        limits = make_limits(batch_size, flush_interval, batch_bytes, None, None)
        if isinstance(table, str):
            table = _reflected(database, table)
        if not isinstance(table, Table):
            raise InvalidInput(f"the table is a {type(table).__name__}: give a SQLAlchemy Table or the name of one")
        self._table = table
        self._on_conflict = on_conflict
        self._dialect = database.dialect
        self._operations: dict[tuple[str, ...], CoreWrite] = {}
        self._insert = CoreWrite(
            _insert_statement(table, on_conflict, table.columns.keys(), database.dialect), database.dialect
        )
        self._columns = tuple(table.columns.keys()) if columns is None else tuple(columns)
        if unknown := set(self._columns) - set(table.columns.keys()):
            raise InvalidInput(f"{table.name!r} has no column {', '.join(sorted(map(repr, unknown)))}")
        self._measures_bytes = limits.measures_bytes
        self._on_reject = on_reject
        self._clock = clock
        self._sleep = sleep
        self._delivery = Delivery(
            database, retry or RetryPolicy(), start=lambda _future: True, clock=clock, random=random or Random()
        )
        self._accumulator: Accumulator[Submission] = Accumulator(limits)
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
        self._add(as_row(row, self._columns))

    def extend(self, rows: Any) -> None:
        """Add many rows: an iterable of dictionaries or tuples, a generator, a DataFrame, or an Arrow table."""
        for row in iterate_rows(rows, self._columns):
            self._add(row)

    def flush(self) -> None:
        """Write everything that was added."""
        with self._lock:
            self._accumulator.flush()
            self._write_due()
            self._raise_background_error()

    def close(self) -> InsertReport:
        """Write everything, accept no more, and say what became of the rows. Calling it again changes nothing."""
        with self._lock:
            self._accumulator.close()
            self._changed.notify()
            try:
                self._write_due()
                self._raise_background_error()
            finally:
                atexit.unregister(self._at_exit)
            return InsertReport(delivered=self._tally.metrics(0).items, rejected=self._rejected)

    def drain_at_exit(self, timeout: float) -> int:  # noqa: ARG002  # the retry policy bounds it
        rejected_before = self._rejected
        try:
            self.close()
        except Exception:
            logger.exception("rows of an inserter that was not closed were refused")
        return self._rejected - rejected_before + self._accumulator.pending

    def metrics(self) -> BatchingMetrics:
        """What the inserter did so far."""
        with self._lock:
            return self._tally.metrics(self._accumulator.pending)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _add(self, row: Mapping[str, Any]) -> None:
        operation = self._operation(row)
        size = operation.size_bytes(row) if self._measures_bytes else 0
        with self._lock:
            now = self._clock()
            self._accumulator.add(Submission(operation, row, None), now, size)
            if self._accumulator.waiting == 1:
                self._watch_age()
            if self._accumulator.due(now):
                self._write_due()
            self._raise_background_error()

    def _operation(self, row: Mapping[str, Any]) -> CoreWrite:
        """The insert for a row; an update overwrites only the columns that the row has."""
        if self._on_conflict != "update":
            return self._insert
        columns = tuple(row)
        operation = self._operations.get(columns)
        if operation is None:
            statement = _insert_statement(self._table, self._on_conflict, columns, self._dialect)
            operation = self._operations[columns] = CoreWrite(statement, self._dialect)
        return operation

    def _write_due(self) -> None:
        """Write all that is due, wait out passing failures, and raise the first error that nobody else was told."""
        first_error: Exception | None = None
        untold = 0
        while self._is_due():
            with interrupts_deferred():
                written = self._write_next()
            for entry, error in written.failed:
                if (left := self._reject(entry.item.item, error)) is not None:
                    first_error = first_error or left
                    untold += 1
        if first_error is not None:
            if untold > 1:
                first_error.add_note(f"{untold - 1} more rows were rejected; with on_reject you are told of each")
            raise first_error

    def _reject(self, row: Mapping[str, Any], error: Exception) -> Exception | None:
        """Tell `on_reject` of a row; returns what is left to raise."""
        if self._on_reject is None:
            return error
        try:
            self._on_reject(row, error)
        except Exception as raised:  # noqa: BLE001  # the other rows are told first
            return raised
        return None

    def _is_due(self) -> bool:
        """Whether a batch is due, once a back-off is over."""
        while self._accumulator.due(self._clock()) is None:
            due = self._accumulator.next_due()
            resumes = self._accumulator.resumes_at
            if due is None or resumes is None or due > resumes:
                return False
            self._sleep(max(0.0, resumes - self._clock()))
        return True

    def _write_next(self) -> Written:
        written = Written()
        batch = self._accumulator.take(self._clock())
        if batch is None:
            return written
        try:
            written = self._delivery.write(batch)
        except BaseException as error:
            written = interrupted(batch, error)
            raise
        finally:
            self._accumulator.settle(batch, written.undecided, written.resume_at)
            self._tally.add(written.flush, failed=len(written.failed))
            self._rejected += len(written.failed)
            if written.flush is not None:
                self._delivery.emit(written.flush)
        return written

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
        with self._lock:
            while not self._accumulator.closing:
                due = self._accumulator.next_due()
                if due is None or (left := due - self._clock()) > 0:
                    self._changed.wait(None if due is None else left)
                    continue
                try:
                    self._write_due()
                except Exception as error:  # noqa: BLE001  # it is raised by the next call of the user
                    self._background_error = self._background_error or error

    def _raise_background_error(self) -> None:
        error, self._background_error = self._background_error, None
        if error is not None:
            raise error


def _reflected(database: Database, name: str) -> Table:
    check_sql_name(name, "the name of the table")
    with database.reading() as connection:
        try:
            return Table(name, MetaData(), autoload_with=connection)
        except NoSuchTableError:
            raise InvalidInput(f"there is no table {name!r} in {database.url!r}: create it first") from None


def _insert_statement(table: Table, on_conflict: OnConflict, columns: Iterable[str], dialect: Dialect) -> Insert:
    if on_conflict not in get_args(OnConflict):
        raise InvalidInput(f"on_conflict is {on_conflict!r}: use one of {', '.join(map(repr, get_args(OnConflict)))}")
    if on_conflict == "error":
        return insert(table)
    statement = postgresql.insert(table) if dialect.name == "postgresql" else sqlite.insert(table)
    if on_conflict == "ignore":
        return statement.on_conflict_do_nothing()
    keys = list(table.primary_key.columns.keys())
    if not keys:
        raise InvalidInput(f"on_conflict='update' needs a primary key, and {table.name!r} has none")
    updated = {name: statement.excluded[name] for name in columns if name not in keys and name in table.columns}
    return (
        statement.on_conflict_do_update(index_elements=keys, set_=updated)
        if updated
        else statement.on_conflict_do_nothing()
    )
