"""Reads by key as an operation: many keys, one SELECT.

A `Load` is what a user states; a `KeyedRead` is that on one engine. Each engine numbers the keys that it is asked for
and answers with these numbers, so that nobody must compare keys in Python: 1.0 finds 1, and what a collation takes for
equal is.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Protocol, TypeAlias
from uuid import UUID

from sqlalchemy import Column, Index, Table, UniqueConstraint, select
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine

from perflab.database.operation import Deferred, DriverConnection
from perflab.database.values import approximate_bytes, check_value, shown
from perflab.errors import InvalidInput

TARGET = "perflab_target"
"""The table in the statements of the engines, so that no name of a user's meets one of ours."""

_IMMUTABLE = frozenset(
    {type(None), bool, int, float, str, bytes, Decimal, date, datetime, time, timedelta, UUID},
)

Key: TypeAlias = tuple[Any, ...]
Numbered: TypeAlias = tuple[int, tuple[Any, ...]]
"""The position of a key among those that were asked for, and a row that has it."""


@dataclass(frozen=True, slots=True)
class Load:
    """A read by key, to be submitted with the key: see `load` and `load_all`."""

    table: Table
    key: tuple[str, ...]
    columns: tuple[str, ...]
    is_unique: bool


def load(table: Table, *key: str | Column[Any], columns: Iterable[str | Column[Any]] | None = None) -> Load:
    """The row that has a key: `batcher.submit(load(flights), 17)`.

    The result is an immutable named tuple of the columns, or None where no row has the key. A row whose columns are all
    NULL is a tuple of None, so the two are told apart. All keys of one batch are one SELECT, each of them once; a value
    that could be changed, such as the dictionary of a JSON column, is every caller's own.

    A load sees every write that was submitted to the same batcher before it, unless that failed, and may see later
    ones. It takes no lock and no part in a write transaction.

    Args:
        table: of SQLAlchemy.
        key: its columns; none: the primary key. With several, submit a tuple of as many values.
        columns: what to read; None: all.

    Raises:
        InvalidInput: a column that the table does not have, or a key that the table does not call unique.
    """
    made = _make(table, key, columns, is_unique=True)
    if not any(unique <= set(made.key) for unique in _unique_keys(table)):
        raise InvalidInput(
            f"several rows of {table.name} may have the same {', '.join(made.key)}: use load_all(), or state the "
            "primary key or unique constraint in the Table"
        )
    return made


def load_all(table: Table, *key: str | Column[Any], columns: Iterable[str | Column[Any]] | None = None) -> Load:
    """All rows that have a key, as a tuple, which is empty where there is none; in no order. Otherwise as `load`."""
    return _make(table, key, columns, is_unique=False)


def _make(
    table: Table,
    key: Sequence[str | Column[Any]],
    columns: Iterable[str | Column[Any]] | None,
    *,
    is_unique: bool,
) -> Load:
    if not isinstance(table, Table):
        raise InvalidInput(f"cannot load from {type(table).__name__} {shown(table, 80)}: give a Table of SQLAlchemy")
    key_names = _names(table, key or table.primary_key.columns)
    if not key_names:
        raise InvalidInput(f"{table.name} states no primary key: name the columns to load it by")
    names = _names(table, table.columns if columns is None else columns)
    if not names:
        raise InvalidInput(f"nothing is to be read of {table.name}: name at least one column")
    return Load(table, key_names, names, is_unique)


def _names(table: Table, columns: Iterable[str | Column[Any]]) -> tuple[str, ...]:
    names = tuple(column if isinstance(column, str) else column.key for column in columns)
    if unknown := [name for name in names if name not in table.columns]:
        raise InvalidInput(
            f"unknown column {', '.join(map(repr, unknown))} of {table.name}: it has {', '.join(table.columns.keys())}"
        )
    if len(set(names)) < len(names):
        raise InvalidInput(f"a column of {table.name} is named twice: {', '.join(names)}")
    return names


def _unique_keys(table: Table) -> list[set[str]]:
    """The columns of each key that no two rows share; in the keys by which `Table.columns` has them."""
    keys = [constraint.columns for constraint in table.constraints if isinstance(constraint, UniqueConstraint)]
    indexes: list[Index] = [index for index in table.indexes if index.unique and not _is_partial(index)]
    found = [{column.key for column in columns} for columns in (table.primary_key.columns, *keys)]
    found += [{column.key for column in index.columns} for index in indexes if len(index.columns)]
    return [names for names in found if names]


def _is_partial(index: Index) -> bool:
    return len(index.columns) != len(index.expressions) or any(
        options.get("where") is not None for options in index.dialect_options.values()
    )


# -- on one engine -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadForm:
    """The parts of the SELECT, in the engine's SQL, with the table called `TARGET`."""

    columns: str
    """`perflab_target.a, perflab_target.b`"""
    table: str
    """`t AS perflab_target`"""
    key: tuple[str, ...]
    """`perflab_target.a`, for each column of the key."""
    key_types: tuple[TypeEngine[Any], ...]


ReadAnswer: TypeAlias = "Callable[[], tuple[Iterable[Numbered], Sequence[Any]]]"
"""Reads the rows that were found, and the driver's codes of the types of their columns."""


class ManyKeys(Protocol):
    """How an engine looks many keys up."""

    def find(self, connection: DriverConnection, keys: Sequence[Key], /) -> ReadAnswer:
        """Ask for the rows that have one of the keys."""


class KeyedRead:
    """A `Load` on one engine."""

    def __init__(self, stated: Load, dialect: Dialect) -> None:
        table = stated.table
        self._dialect = dialect
        self._is_unique = stated.is_unique
        self._key = stated.key
        self.name = f"load {table.name}"
        self.tables = frozenset({table.name})
        self._types = [table.columns[name].type.dialect_impl(dialect) for name in stated.columns]
        self._readers: list[Callable[[Any], Any] | None] | None = None
        key_types = tuple(table.columns[name].type for name in stated.key)
        self._writers = [of.dialect_impl(dialect).bind_processor(dialect) for of in key_types]
        self._places = [f"{table.name}.{name}" for name in stated.key]
        row: Any = namedtuple("Row", stated.columns, rename=True)  # type: ignore[misc]  # noqa: PYI024  # the table's
        self._row: Callable[[Iterable[Any]], tuple[Any, ...]] = row._make
        self._many = _many_keys(_form(stated, dialect), dialect)

    def prepare(self, item: Any) -> Key:
        if len(self._key) == 1:
            item = (item,)
        elif not isinstance(item, tuple | list) or len(item) != len(self._key):
            raise InvalidInput(
                f"{self.name} takes a tuple of {len(self._key)} values ({', '.join(self._key)}), not {shown(item, 120)}"
            )
        return tuple(map(self._bound, item, self._writers, self._places))

    @staticmethod
    def _bound(value: Any, write: Callable[[Any], Any] | None, place: str) -> Any:
        if value is None:
            raise InvalidInput(f"{place} is None: no row is found by NULL")
        if write is not None:
            try:
                value = write(value)
            except Exception as error:
                raise InvalidInput(f"{place} cannot hold {shown(value, 120)}: {error}") from error
        check_value(value, place)
        try:
            hash(value)
        except TypeError:
            raise InvalidInput(
                f"{place} cannot be looked up by a {type(value).__name__}: {shown(value, 120)}"
            ) from None
        return value

    def size_bytes(self, item: Any) -> int:
        return approximate_bytes(item)

    def apply(self, connection: DriverConnection, rows: Sequence[Key]) -> Sequence[Any]:
        """What is found for each key, in their order; to be read before the connection goes to another."""
        # Equal values of different types, such as 1 and True, may mean different things to an engine.
        place_of: dict[tuple[Any, ...], int] = {}
        places = [place_of.setdefault((key, *map(type, key)), len(place_of)) for key in rows]
        read = self._many.find(connection, [key for key, *_ in place_of])
        return Deferred(lambda: self._results(read, places, len(place_of)))

    def _results(self, read: ReadAnswer, places: Sequence[int], keys: int) -> list[Any]:
        answer, type_codes = read()
        found: list[list[tuple[Any, ...]]] = [[] for _ in range(keys)]
        for place, row in answer:
            found[place].append(self._row(self._read(row, type_codes)))
        results = [self._result(at) for at in found]
        seen = [False] * len(results)
        own = []
        for place in places:
            own.append(own_copy(results[place]) if seen[place] else results[place])
            seen[place] = True
        return own

    def _result(self, rows: list[tuple[Any, ...]]) -> Any:
        if not self._is_unique:
            return tuple(rows)
        return rows[0] if rows else None

    def _read(self, row: tuple[Any, ...], type_codes: Sequence[Any]) -> Iterable[Any]:
        """The Python values of a row; what turns the driver's into them depends on the types that it answers with."""
        if self._readers is None:
            codes = zip(self._types, type_codes, strict=True)
            self._readers = [of.result_processor(self._dialect, code) for of, code in codes]
        if not any(self._readers):
            return row
        return [value if read is None else read(value) for read, value in zip(self._readers, row, strict=True)]


def own_copy(result: Any) -> Any:
    """The same result for another caller, so that neither sees what the other changes in it."""
    return result if is_immutable(result) else deepcopy(result)


def is_immutable(value: Any) -> bool:
    """Whether a result may be shared: nothing in it can be changed."""
    return type(value) in _IMMUTABLE or (isinstance(value, tuple) and all(map(is_immutable, value)))


def _form(stated: Load, dialect: Dialect) -> ReadForm:
    target = stated.table.alias(TARGET)
    compiled = str(select(*(target.columns[name] for name in stated.columns)).compile(dialect=dialect))
    columns, _, table = compiled.removeprefix("SELECT ").partition(" \nFROM ")
    quote = dialect.identifier_preparer.format_column
    keys = [stated.table.columns[name] for name in stated.key]
    return ReadForm(
        columns, table, tuple(f"{TARGET}.{quote(column)}" for column in keys), tuple(column.type for column in keys)
    )


def _many_keys(form: ReadForm, dialect: Dialect) -> ManyKeys:
    if isinstance(dialect, PGDialect_psycopg):
        from perflab.database.bulk.postgresql_keys import PostgresKeys  # noqa: PLC0415  # its driver is an extra

        return PostgresKeys(form, dialect)
    from perflab.database.bulk.sqlite_keys import SQLiteKeys  # noqa: PLC0415  # it imports this

    return SQLiteKeys(form)
