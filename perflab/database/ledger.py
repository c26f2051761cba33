"""Exactly once: what became of a batch whose COMMIT was sent and never answered, and what the answer was.

A batch notes its id in its own transaction, at no extra round trip. When the connection is lost before COMMIT is
answered, the ledger is asked on another connection: the id is there if and only if the batch is. Statements that
return something can have their answer kept beside the id; the operation is then run again, not against the server but
against the kept answers, and reads from them what it would have read then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from uuid import UUID

from perflab.database.failures import classify
from perflab.database.operation import DriverConnection
from perflab.database.recorder import StatementRecorder
from perflab.database.result_codes import FailureKind
from perflab.errors import OutcomeUnknown, ResultLost, TransientError

T = TypeVar("T")

KEEPS_ANSWER = re.compile(r"/\* ledger: ([a-z_]+(?:, [a-z_]+)*) \*/")
"""In a statement whose last part is called `answer`, behind that: the columns of it that the ledger keeps. They are the
ones that the statement returns, in their order, and are numbers, texts or booleans."""


ASK_AGAIN_SECONDS = 0.1
"""Between questions of a direct call: a server that restarts is back within a few of them."""


@dataclass(slots=True)
class CopyNote:
    """What is written along with a COPY, and how far that has come."""

    statements: Sequence[str] = ()
    """To be sent before it."""
    is_complete: bool = False
    """Its end is sent, or about to be: whether it is committed, only an answer can tell."""


class Ledger(Protocol):
    """How one database tells what became of a batch."""

    def look(self, connection: DriverConnection) -> None:
        """Find out whether the ledger is there. Without one, batches are written, and those in doubt stay in doubt."""

    def transaction(self, connection: DriverConnection) -> AbstractContextManager[None]:
        """The transaction of one batch.

        Raises:
            OutcomeUnknown: the connection was lost between COMMIT and its answer. With its `batch`, the ledger can be
                asked; without, nobody can.
        """

    def copying(self, connection: DriverConnection) -> AbstractContextManager[CopyNote]:
        """The same for a batch that is one COPY, and no pipeline. Whoever sends it tells the note how far it is."""

    def ask(self, connection: DriverConnection, batch: UUID) -> KeptAnswers | None:
        """What the server answered to a batch; None if it is not written, and never will be.

        Raises:
            the driver's errors: ask again.
        """


class NoLedger:
    """For an engine that commits inside the process: nothing is ever in doubt."""

    def look(self, connection: DriverConnection) -> None:
        pass

    def transaction(self, connection: DriverConnection) -> AbstractContextManager[None]:
        return connection.transaction()

    def copying(self, connection: DriverConnection) -> AbstractContextManager[CopyNote]:
        raise NotImplementedError

    def ask(self, connection: DriverConnection, batch: UUID) -> KeptAnswers | None:
        raise NotImplementedError


class KeptAnswers:
    """Takes the place of a connection: it answers an operation as the server did, and sends nothing.

    Args:
        answers: rows of the statements that keep theirs, in the order in which they were sent.
    """

    round_trips = 0
    superseded = 0
    in_transaction = True
    answers_at_once = False
    is_broken = False

    def __init__(self, answers: Sequence[Sequence[tuple[Any, ...]]]) -> None:
        self._answers = list(reversed(answers))

    def replay(self, apply: Callable[[DriverConnection], T]) -> T:
        """What `apply` returns with these answers.

        Raises:
            ResultLost: it does not ask for what was kept.
        """
        try:
            result = apply(self)
        except ResultLost:
            raise
        except Exception as error:
            raise _lost(f"the operation fails without its connection: {error}") from error
        if self._answers:
            raise _lost("the operation sends other statements than before")
        return result

    def execute(self, sql: str, _parameters: Any = (), /) -> KeptRows:
        if not KEEPS_ANSWER.search(sql):
            return KeptRows(None)
        if not self._answers:
            raise _lost("the operation sends other statements than before")
        return KeptRows(self._answers.pop())

    def executemany(self, _sql: str, _parameters: Any, /) -> KeptRows:
        return KeptRows(None)

    def transaction(self) -> AbstractContextManager[None]:
        return nullcontext()

    def record_statements(self, _recorder: StatementRecorder | None) -> None:
        """It sends none."""

    def conversation(self) -> AbstractContextManager[None]:
        return nullcontext()


class KeptRows:
    """Takes the place of a cursor. Of a statement that does not keep its answer, only that it ran is known."""

    def __init__(self, rows: Sequence[tuple[Any, ...]] | None) -> None:
        self._rows = rows
        self._next = 0

    @property
    def rowcount(self) -> int:
        return len(self._known())

    def fetchall(self) -> list[tuple[Any, ...]]:
        rows = self._known()[self._next :]
        self._next += len(rows)
        return list(rows)

    def fetchone(self) -> tuple[Any, ...] | None:
        rows = self._known()[self._next : self._next + 1]
        self._next += len(rows)
        return rows[0] if rows else None

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.fetchall())

    def _known(self) -> Sequence[tuple[Any, ...]]:
        if self._rows is None:
            raise _lost("the statement does not keep its answer")
        return self._rows


def ask_in_time(
    ledger: Ledger,
    unknown: OutcomeUnknown,
    connect: Callable[[], AbstractContextManager[DriverConnection]],
    *,
    seconds: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> KeptAnswers:
    """What the server answered to a batch in doubt, asked again for some seconds while that fails in a passing way.

    Raises:
        TransientError: it is not written, and never will be.
        OutcomeUnknown: the one that was given: it cannot be asked, or not in time.
    """
    deadline = clock() + seconds
    while unknown.batch is not None:
        try:
            with connect() as connection:
                kept = ledger.ask(connection, unknown.batch)
        except Exception as error:
            if classify(error) is not FailureKind.TRANSIENT or clock() > deadline:
                raise unknown from error
            sleep(ASK_AGAIN_SECONDS)
        else:
            if kept is None:
                message = "the connection was lost, and nothing was written: try again later"
                raise TransientError(message) from unknown
            return kept
    raise unknown


def outcome_unknown(why: str, batch: UUID | None) -> OutcomeUnknown:
    """The error for a batch in doubt. `why` it stays so, and what the ledger knows it by, if there is one."""
    return OutcomeUnknown(
        f"the connection was lost while it was being committed: it is written whole or not at all, and {why}. Look "
        "before you write it again",
        batch=batch,
    )


def _lost(reason: str) -> ResultLost:
    return ResultLost(
        "it is written, once, but the connection was lost before the result came, and it cannot be told any more "
        f"({reason}): read what you need from the table"
    )
