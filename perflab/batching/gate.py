"""What each transaction of a batcher passes first, on its own connection: a seam for what several processes share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol
from uuid import UUID

from perflab.database.ledger import CopyNote, KeptAnswers, Ledger
from perflab.database.operation import DriverConnection


class FlushGate(Protocol):
    """Lets the transactions of flushes in, one at a time for each batcher.

    It stands inside the transaction, so that what it takes is given back with it, whoever dies.
    """

    def enter(self, connection: DriverConnection) -> Callable[[], None]:
        """Send what must come before the first write. An error is one of the transaction.

        Returns:
            What is called once the transaction is committed, when answers can be read. It must not raise.
        """

    def statements(self) -> Sequence[str]:
        """The same as plain SQL, to be sent in front of a COPY, which is no pipeline. Its answers are not read."""

    def reading(self, connection: DriverConnection) -> AbstractContextManager[None]:
        """Around the SELECTs of loads, whose answers are read behind it."""


class GatedLedger:
    """A ledger whose transactions pass a gate first."""

    def __init__(self, ledger: Ledger, gate: FlushGate) -> None:
        self._ledger = ledger
        self._gate = gate

    def look(self, connection: DriverConnection) -> None:
        self._ledger.look(connection)

    @contextmanager
    def transaction(self, connection: DriverConnection) -> Iterator[None]:
        with self._ledger.transaction(connection):
            entered = self._gate.enter(connection)
            yield
        entered()

    @contextmanager
    def copying(self, connection: DriverConnection) -> Iterator[CopyNote]:
        with self._ledger.copying(connection) as note:
            note.statements = [*self._gate.statements(), *note.statements]
            yield note

    def ask(self, connection: DriverConnection, batch: UUID) -> KeptAnswers | None:
        return self._ledger.ask(connection, batch)


def gated(ledger: Ledger, gate: FlushGate | None) -> Ledger:
    """The ledger behind a gate, if there is one."""
    return ledger if gate is None else GatedLedger(ledger, gate)
