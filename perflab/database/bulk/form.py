"""The statement for rows that have the same columns, compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import CHAR, NCHAR, Dialect, Enum, String, Uuid
from sqlalchemy.dialects.postgresql import CITEXT
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.types import NullType, TypeEngine

from perflab.database.bulk.parts import Key, Parts
from perflab.database.ledger import Ledger
from perflab.database.operation import DriverConnection


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


def _compares_exactly(of: TypeEngine[Any]) -> bool:
    if isinstance(of, String) and not isinstance(of, Enum):
        # CHAR pads with blanks; CITEXT and some collations make no difference between cases.
        return not isinstance(of, CHAR | NCHAR | CITEXT) and of.collation is None
    if isinstance(of, Uuid):
        return bool(of.as_uuid)  # as text it may be written in several ways
    return not isinstance(of, NullType)


class BulkForms(Protocol):
    """How an engine writes many rows of one form."""

    def write(
        self, connection: DriverConnection, form: CompiledForm, rows: Sequence[tuple[Any, ...]], /
    ) -> Sequence[list[tuple[Any, ...]] | None]:
        """Send rows of one form; for each of them, in order, the rows that it returned, or None without RETURNING."""

    def write_alone(
        self, connection: DriverConnection, ledger: Ledger, form: CompiledForm, rows: Sequence[tuple[Any, ...]], /
    ) -> None:
        """Send rows of one form without RETURNING as a transaction of their own, in the form that is best for so many.

        Raises:
            OutcomeUnknown: the connection was lost at COMMIT.
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
