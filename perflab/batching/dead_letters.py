"""Where items go that a batcher could not write: to a callback, or to a table."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text, bindparam, delete, insert, select

from perflab.database.core_write import CoreWrite
from perflab.database.database import Database
from perflab.database.values import check_integer

logger = logging.getLogger(__name__)

STORED_CHARACTERS = 1_048_576
"""Of an item in the table; one that was refused for its size must not fail again for it."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An item that has failed for good. Its `repr` does not show the item, which may be nobody else's business."""

    operation: str
    """The name of its operation."""
    item: Any = field(repr=False)
    """As it was submitted."""
    error: Exception = field(repr=False)
    """What its future raises. `RejectedRow`, `InvalidInput` and `StatementError` come again with the same item; after
    `DeliveryTimeout` and `DatabaseUnusable` it may be submitted again; after `OutcomeUnknown` look first whether it is
    written."""
    attempts: int
    """Batches that it left with."""


DeadLetters: TypeAlias = Callable[[Sequence[DeadLetter]], object]
"""Called with the failed items of a batch in their order, in the thread that writes, before their futures are told."""


def hand_over(letters: Sequence[DeadLetter], receiver: DeadLetters) -> None:
    """Give letters to their receiver. What it raises is logged without the items, and reaches none of their futures."""
    try:
        receiver(letters)
    except BaseException as error:  # noqa: BLE001  # the futures of the batch are still to be told
        names = ", ".join(sorted({letter.operation for letter in letters}))
        logger.error(  # noqa: TRY400  # a traceback may quote the items
            "%d dead letters of %s were not received: %s", len(letters), names, type(error).__name__
        )


_TABLE = Table(
    "perflab_dead_letters",
    MetaData(),
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("failed_at", BigInteger, nullable=False),
    Column("operation", Text, nullable=False),
    Column("item", Text, nullable=False),
    Column("error_type", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
)


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """A row of `perflab_dead_letters`."""

    id: int
    failed_at: int
    """Microseconds since 1970, UTC."""
    operation: str
    item: str = field(repr=False)
    """JSON; what has no JSON form stands there as its `repr`. Cut after 1 MiB."""
    error_type: str
    """Such as "RejectedRow"."""
    error: str = field(repr=False)
    attempts: int


class DeadLetterTable:
    """Keeps dead letters in the table `perflab_dead_letters`, which `create_schema()` makes.

        RequestBatcher(db, dead_letters=DeadLetterTable(db))

    Letters of one batch are written in one transaction. If the database is what failed, they cannot be: give the table
    a database of its own if that must not be.

    Args:
        database: with perflab's schema.
        now: seconds since 1970.
    """

    def __init__(self, database: Database, *, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now
        self._insert = CoreWrite(insert(_TABLE), database.dialect)
        self._delete = CoreWrite(delete(_TABLE).where(_TABLE.c.id == bindparam("letter")), database.dialect)

    def __call__(self, letters: Sequence[DeadLetter]) -> None:
        """Write letters.

        Raises:
            DatabaseError: they could not be written; none of them is.
        """
        failed_at = int(self._now() * 1_000_000)
        self._database.apply(
            self._insert,
            [
                {
                    "failed_at": failed_at,
                    "operation": _storable(letter.operation),
                    "item": _as_json(letter.item),
                    "error_type": type(letter.error).__name__,
                    "error": _storable(str(letter.error)),
                    "attempts": letter.attempts,
                }
                for letter in letters
            ],
        )

    def oldest(self, limit: int = 100) -> list[StoredLetter]:
        """The oldest letters, in the order in which they came."""
        check_integer(limit, "limit", low=1)
        with self._database.reading() as connection:
            rows = connection.execute(select(_TABLE).order_by(_TABLE.c.id).limit(limit))
            return [StoredLetter(*row) for row in rows]

    def remove(self, letters: Iterable[StoredLetter]) -> None:
        """Forget letters that were dealt with; those that are gone already do not matter."""
        self._database.apply(self._delete, [{"letter": letter.id} for letter in letters])


def _as_json(item: Any) -> str:
    """In ASCII, so that every database can hold it, whatever the item holds."""
    try:
        text = json.dumps(item, default=repr, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        text = json.dumps(_repr(item))
    return text[:STORED_CHARACTERS]


def _repr(item: Any) -> str:
    try:
        return repr(item)
    except Exception as error:  # noqa: BLE001  # an item may be anything
        return f"{type(item).__name__} without a repr: {type(error).__name__}"


def _storable(text: str) -> str:
    """Without what one of the engines cannot hold: NUL and lone surrogates are written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")
