"""What all parts of a queue share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from perflab.database.database import Database
from perflab.database.failures import TypedErrors
from perflab.database.operation import DriverConnection
from perflab.database.values import shown
from perflab.errors import InvalidInput
from perflab.queue.operation import QueueOperation, QueueSettings
from perflab.queue.operations import QueueOperations

if TYPE_CHECKING:
    from sqlalchemy import Connection

Item = TypeVar("Item")
Result = TypeVar("Result")

LARGEST_LIMIT = 1_000_000
AFTER_ALL = (2**63 - 1, 2**63 - 1)
"""A time and an id that no job comes after."""


class QueueBase:
    """A queue in a database.

    Args:
        db: where the jobs are.
        settings: of the queue.
    """

    def __init__(self, db: Database, settings: QueueSettings) -> None:
        self.db = db
        self.name = settings.name
        self.notify = settings.notify
        """Whether idle workers are told of jobs that become ready."""
        self._engine = settings.engine
        self._settings = settings
        self._now = settings.now
        self.operations = QueueOperations(settings)

    def _write(
        self,
        operation: QueueOperation[Item, Result],
        items: Iterable[Item],
        *,
        connection: Connection | None = None,
    ) -> list[Result]:
        return self.db.apply(operation, each(items), connection=connection)

    @contextmanager
    def _transaction(self, doing: str) -> Iterator[DriverConnection]:
        with TypedErrors(f"{doing} on queue {self.name!r}"), self.db.driver_transaction() as connection:
            yield connection


def each(items: Iterable[Item]) -> Iterable[Item]:
    """The items, unless they are one where many are taken."""
    if not isinstance(items, Iterable) or isinstance(items, str | bytes):
        raise InvalidInput(f"{shown(items, 80)} is one thing where many are taken: give a list")
    return items
