"""The one shape of a write: an operation has one bulk form, and a single call is a batch of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from perflab.database.sqlite import SQLiteConnection

DriverConnection = SQLiteConnection
"""The driver's own connection: hot paths speak to it directly, because Core execution costs 1.7 times as much there."""

Item_contra = TypeVar("Item_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)


class Operation(Protocol[Item_contra, Result_co]):
    """A kind of write that many items share.

    `prepare` and `size_bytes` are pure and run before anything is sent. `apply` runs inside a transaction that somebody
    else begins and ends, sends a number of statements that does not grow with the rows, and may be called again with
    the same rows after a rollback.
    """

    @property
    def name(self) -> str:
        """For messages and metrics, such as "enqueue"."""

    @property
    def tables(self) -> frozenset[str]:
        """The tables whose order of writes matters to it: those it writes and those that these refer to.

        Operations with no table in common may change places inside a batch; all others keep their order.
        """

    def prepare(self, item: Item_contra) -> Any:
        """The checked and encoded row of one item.

        Raises:
            InvalidInput: the item cannot be stored.
        """

    def size_bytes(self, item: Item_contra) -> int:
        """About how many bytes the item takes."""

    def apply(self, connection: DriverConnection, rows: Sequence[Any]) -> Sequence[Result_co]:
        """Write all rows, and return one result per row in their order."""
