"""The statement for rows that have the same columns, compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

from sqlalchemy import CHAR, NCHAR, Dialect, Enum, String, Uuid
from sqlalchemy.dialects.postgresql import CITEXT
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.types import NullType, TypeEngine

from perflab.database.bulk.parts import Key, Parts
from perflab.database.columns import columns_of
from perflab.database.ledger import Ledger
from perflab.database.operation import DriverConnection
from perflab.database.values import storable_column
from perflab.errors import TransientError

Values: TypeAlias = Sequence[tuple[Any, ...]]
"""The bound values of each row, in the order of the placeholders."""


@dataclass(frozen=True, slots=True, eq=False)
class CompiledForm:
    """What SQLAlchemy's compiler made of a statement for rows with certain columns."""

    sql: str
    names: tuple[str, ...]
    """Names of the bound values, in the order of the placeholders."""
    types: tuple[TypeEngine[Any], ...]
    """Their types."""
    fixed: Mapping[str, Any]
    """Values bound in the statement itself."""
    defaults: Mapping[str, Callable[[], Any]]
    """Column defaults that Python computes."""
    processors: Mapping[str, Callable[[Any], Any]]
    """From Python values to the driver's, by type."""
    is_plain: bool
    """Every value comes from the row and goes to the driver as it is."""
    varying: tuple[bool, ...]
    """For each bound value, whether it may differ between rows."""
    returns: bool
    fills_identity: bool
    """It gives a value to a column that is GENERATED ALWAYS."""
    parts: Parts | None
    """None where the statement can only be sent row by row."""

    @property
    def key(self) -> Key | None:
        """By which rows are sorted."""
        return None if self.parts is None else self.parts.key

    @property
    def has_exact_key(self) -> bool:
        """Whether two rows have one key in Python exactly if they have one in the database."""
        return self.key is not None and all(_compares_exactly(self.types[at]) for at in self.key.positions)


class CoreRows(NamedTuple):
    """Rows that have one form."""

    form: CompiledForm
    values: Values
    is_checked: bool
    """Whether all values are `storable`. Otherwise they are as the user gave them, and may even be too few."""


def checked_columns(rows: CoreRows) -> list[list[Any]]:
    """Rows by columns, all of whose values are storable.

    Raises:
        ValueRefused: one is not, or a row has another number of them than the form.
    """
    try:
        columns = columns_of(rows.values)
    except ValueError as error:
        raise ValueRefused(str(error)) from None
    if not rows.is_checked and not (len(columns) == len(rows.form.names) and all(map(storable_column, columns))):
        raise ValueRefused("a row cannot be stored")
    return columns


def _compares_exactly(of: TypeEngine[Any]) -> bool:
    if isinstance(of, String) and not isinstance(of, Enum):
        # CHAR pads with blanks; CITEXT and some collations make no difference between cases.
        return not isinstance(of, CHAR | NCHAR | CITEXT) and of.collation is None
    if isinstance(of, Uuid):
        return bool(of.as_uuid)  # as text it may be written in several ways
    return not isinstance(of, NullType)


class ValueRefused(TransientError):
    """A value that nobody had looked at cannot be stored. Nothing was written: look at each row, send the others."""


class BulkForms(Protocol):
    """How an engine writes many rows of one form."""

    def checks_while_sending(self, form: CompiledForm, rows: int, /) -> bool:
        """Whether it is quicker to leave the look at so many rows to `write_alone`."""

    def write(
        self, connection: DriverConnection, form: CompiledForm, rows: Sequence[tuple[Any, ...]], /
    ) -> Sequence[list[tuple[Any, ...]] | None]:
        """Send rows of one form; for each of them, in order, the rows that it returned, or None without RETURNING."""

    def write_alone(self, connection: DriverConnection, ledger: Ledger, rows: CoreRows, /) -> None:
        """Send rows without RETURNING as a transaction of their own, in the form that is best for so many.

        Raises:
            OutcomeUnknown: the connection was lost at COMMIT.
            ValueRefused: the rows had not been checked, and one of them cannot be stored.
        """


def bulk_forms(dialect: Dialect) -> BulkForms:
    """The forms of an engine; what it learns about a statement, it keeps."""
    if isinstance(dialect, PGDialect_psycopg):
        from perflab.database.bulk.postgresql import PostgresBulk  # noqa: PLC0415  # its driver is an extra

        return PostgresBulk(dialect)
    from perflab.database.bulk.sqlite import SQLiteBulk  # noqa: PLC0415  # it imports this

    return SQLiteBulk()


def rows_left_out(answered: int, sent: int) -> str:
    """The message where returned rows cannot be matched with those that were sent."""
    return (
        f"{answered} rows came back for {sent} that were inserted, so that nobody can tell which: a trigger or rule of "
        "the table leaves some out; leave out returning(), or write them one by one"
    )
