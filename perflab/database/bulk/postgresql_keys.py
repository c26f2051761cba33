"""Many keys in one SELECT on PostgreSQL: joined with arrays, one for each column of the key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from perflab.database.array_dumpers import encode_array
from perflab.database.bulk.postgresql_types import ElementType, element_type
from perflab.database.load import Key, ReadAnswer, ReadForm
from perflab.database.operation import DriverConnection


class PostgresKeys:
    """One round trip, however many keys. Values that cannot be an array are looked up one by one in a pipeline."""

    def __init__(self, form: ReadForm, dialect: PGDialect_psycopg) -> None:
        self._elements = [element_type(of, dialect) for of in form.key_types]
        names = [f"c{at}" for at in range(len(form.key))]
        equal = " AND ".join(f"{column} = perflab_keys.{name}" for column, name in zip(form.key, names, strict=True))
        arrays = ", ".join(f"%b::{element.name}[]" for element in self._elements if element is not None)
        self._joined = (
            f"SELECT perflab_keys.position, {form.columns} FROM unnest({arrays}) WITH ORDINALITY "
            f"AS perflab_keys({', '.join(names)}, position) JOIN {form.table} ON {equal}"
        )
        self._one = (
            f"SELECT {form.columns} FROM {form.table} WHERE {' AND '.join(f'{column} = %s' for column in form.key)}"
        )

    def find(self, connection: DriverConnection, keys: Sequence[Key]) -> ReadAnswer:
        columns = list(zip(*keys, strict=True))
        elements = self._taken(columns)
        if elements is None:
            return _one_by_one(connection, self._one, keys)
        arrays = [encode_array(element.dumper, column) for element, column in zip(elements, columns, strict=True)]
        cursor = connection.execute(self._joined, arrays)
        return lambda: (
            ((position - 1, row) for position, *row in cursor),
            [column.type_code for column in cursor.description[1:]],
        )

    def _taken(self, columns: Sequence[Sequence[Any]]) -> list[ElementType] | None:
        """The types of the arrays; None where the values of a column cannot be one."""
        taken = [
            element
            for element, column in zip(self._elements, columns, strict=True)
            if element is not None and element.takes(column)
        ]
        return taken if len(taken) == len(columns) else None


def _one_by_one(connection: DriverConnection, sql: str, keys: Sequence[Key]) -> ReadAnswer:
    with connection.transaction():
        cursors = [connection.execute(sql, key) for key in keys]
    return lambda: (
        ((place, row) for place, cursor in enumerate(cursors) for row in cursor),
        [column.type_code for column in cursors[0].description],
    )
