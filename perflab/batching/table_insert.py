"""The INSERT of a table, for rows that have any of its columns."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, get_args

from sqlalchemy import Dialect, Insert, MetaData, Table, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import NoSuchTableError

from perflab.database.core_write import CoreWrite
from perflab.database.database import Database
from perflab.database.values import check_sql_name
from perflab.errors import InvalidInput

OnConflict = Literal["error", "ignore", "update"]


def insert_operation(
    database: Database, table: Table | str, on_conflict: OnConflict, columns: Sequence[str] | None
) -> tuple[CoreWrite, tuple[str, ...]]:
    """The operation, and the names of the columns of rows that come as tuples.

    Raises:
        InvalidInput: the table or a column does not exist, or an update has no primary key to go by.
    """
    if isinstance(table, str):
        table = _reflected(database, table)
    if not isinstance(table, Table):
        raise InvalidInput(f"the table is a {type(table).__name__}: give a SQLAlchemy Table or the name of one")
    known = tuple(table.columns.keys())
    if unknown := set(columns or ()) - set(known):
        raise InvalidInput(f"{table.name!r} has no column {', '.join(sorted(map(repr, unknown)))}")
    statement_for = partial(_insert_statement, table, on_conflict, database.dialect)
    operation = CoreWrite(statement_for(known), database.dialect, statement_for=statement_for)
    return operation, known if columns is None else tuple(columns)


def _reflected(database: Database, name: str) -> Table:
    check_sql_name(name, "the name of the table")
    with database.reading() as connection:
        try:
            return Table(name, MetaData(), autoload_with=connection)
        except NoSuchTableError:
            raise InvalidInput(f"there is no table {name!r} in {database.url!r}: create it first") from None


def _insert_statement(table: Table, on_conflict: OnConflict, dialect: Dialect, columns: Sequence[str]) -> Insert:
    """For rows with certain columns: an update overwrites only these."""
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
