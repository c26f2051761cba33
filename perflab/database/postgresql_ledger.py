"""The ledger on PostgreSQL: one more row in the transaction of each batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID, uuid4

from perflab.database.ledger import KEEPS_ANSWER, CopyNote, KeptAnswers, outcome_unknown
from perflab.database.operation import DriverConnection
from perflab.database.statements import OwnStatement, load_statements
from perflab.errors import OutcomeUnknown

if TYPE_CHECKING:
    from perflab.database.postgresql import PostgresConnection

_SQL = load_statements("perflab.database", "postgresql")

FORGOTTEN_AT_ONCE = 100
"""Batches of this process that are answered, so that nobody will ask for them."""
OLD_ONES_EVERY = 100
"""Times that own batches are forgotten, between two looks for what other processes have left."""


class BatchNote:
    """What one batch writes into the ledger, while its statements are sent."""

    def __init__(self) -> None:
        self.batch = uuid4()
        self.kept = 0
        self.forgotten: list[UUID] = []

    def keep(self, sql: str, parameters: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """A statement and its parameters, with what makes it keep its answer."""
        keeping = _keeping(sql)
        if keeping is None:
            return sql, parameters
        position, self.kept = self.kept, self.kept + 1
        return keeping, {**parameters, "ledger_batch": self.batch, "ledger_position": position}


class PostgresLedger:
    """The table `perflab_batches`. Safe to share between threads.

    A row is deleted as soon as nobody can ask for it: the process that wrote it was answered. It does so in the
    transaction of a later batch, a hundred at once, so that the table stays as small as the number of processes. What
    ended processes leave, and fences, go after a day; no batch is tried for so long (`LONGEST_DELIVERY_SECONDS`).
    """

    def __init__(self) -> None:
        self._is_present = False
        self._answered: deque[UUID] = deque()
        self._until_old_ones = 0

    def look(self, connection: DriverConnection) -> None:
        (self._is_present,) = connection.execute(_SQL["is_present"]).fetchone()

    @contextmanager
    def transaction(self, connection: DriverConnection) -> Iterator[None]:
        note = BatchNote() if self._is_present else None
        is_complete = False
        try:
            with connection.transaction():
                if note is None:
                    yield
                else:
                    with _noting(connection, note):
                        yield
                    if not note.kept:
                        connection.execute(_SQL["note"], {"ledger_batch": note.batch})
                    if self._is_time_to_forget_old_ones():
                        connection.execute(_SQL["forget_old"])
                    if self._forget(note.forgotten):
                        connection.execute(_SQL["forget"], {"batches": note.forgotten})
                is_complete = True
        except Exception as error:
            if note is not None:
                self._answered.extend(note.forgotten)
            # COMMIT goes out behind the last statement; whoever did not come so far has not sent it.
            if is_complete and connection.is_broken:
                raise _in_doubt(note.batch if note else None) from error
            raise
        if note is not None:
            self._answered.append(note.batch)

    @contextmanager
    def copying(self, connection: DriverConnection) -> Iterator[CopyNote]:
        batch = uuid4() if self._is_present else None
        forgotten: list[UUID] = []
        statements = []
        if batch is not None:
            statements.append(_literal("note", "ledger_batch", str(batch)))
            if self._is_time_to_forget_old_ones():
                statements.append(_SQL["forget_old"])
            if self._forget(forgotten):
                statements.append(_literal("forget", "batches", f"{{{','.join(map(str, forgotten))}}}"))
        note = CopyNote(statements)
        try:
            yield note
        except Exception as error:
            self._answered.extend(forgotten)
            if note.is_complete and connection.is_broken:
                raise _in_doubt(batch) from error
            raise
        if batch is not None:
            self._answered.append(batch)

    def ask(self, connection: DriverConnection, batch: UUID) -> KeptAnswers | None:
        with connection.transaction():
            connection.execute(_SQL["fence"], {"batch": batch})
            answer = connection.execute(_SQL["look_up"], {"batch": batch})
        rows: list[tuple[bool, list[Any] | None]] = answer.fetchall()
        if rows[0][0]:
            return None  # the fence stays: the transaction in doubt may still be on its way
        self._answered.append(batch)
        # A column that no row filled is null.
        return KeptAnswers(
            [list(zip(*(column or () for column in columns), strict=True)) for _, columns in rows if columns]
        )

    def _is_time_to_forget_old_ones(self) -> bool:
        if self._until_old_ones:
            return False
        self._until_old_ones = OLD_ONES_EVERY
        return True

    def _forget(self, forgotten: list[UUID]) -> bool:
        """Now and then, take what nobody will ask for, to be deleted in this transaction, or given back if it fails."""
        if len(self._answered) < FORGOTTEN_AT_ONCE:
            return False
        self._until_old_ones -= 1
        with suppress(IndexError):  # another thread may take them too
            while len(forgotten) < FORGOTTEN_AT_ONCE:
                forgotten.append(self._answered.popleft())
        return True


def _literal(statement: str, parameter: str, value: str) -> str:
    """A statement for a simple Query, which takes no parameters. The value is made of UUIDs of this module."""
    return _SQL[statement].replace(f"%({parameter})b", f"'{value}'")


def _in_doubt(batch: UUID | None) -> OutcomeUnknown:
    if batch is None:
        return outcome_unknown("there is no ledger to ask: create_schema() makes one", None)
    return outcome_unknown("the ledger has not been asked", batch)


@contextmanager
def _noting(connection: DriverConnection, note: BatchNote) -> Iterator[None]:
    noted = cast("PostgresConnection", connection)
    noted.note = note
    try:
        yield
    finally:
        noted.note = None


@lru_cache(maxsize=256, typed=True)
def _keeping(sql: str) -> str | None:
    """The statement with the part that keeps its answer; None if it keeps none."""
    marker = KEEPS_ANSWER.search(sql)
    if marker is None:
        return None
    columns = ", ".join(f"json_agg({column})" for column in marker[1].split(", "))
    keeping = sql.replace(marker[0], _SQL["keep"].replace("/* columns */", columns))
    return OwnStatement(keeping) if isinstance(sql, OwnStatement) else keeping
