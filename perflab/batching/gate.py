"""What each transaction of a batcher passes first, on its own connection: a seam for what several processes share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

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


class OpenGate:
    """Lets everything in and sends nothing."""

    def enter(self, connection: DriverConnection) -> Callable[[], None]:  # noqa: ARG002  # whoever comes
        return _nothing_to_learn


def _nothing_to_learn() -> None:
    pass
