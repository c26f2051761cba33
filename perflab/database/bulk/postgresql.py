"""The bulk forms on PostgreSQL: columns as arrays, in one statement, where the statement and the values allow it.

What does not fit is sent row by row in the pipeline of the transaction: also one round trip, at two to five times the
cost for each row.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from perflab.database.array_dumpers import encode_array
from perflab.database.binary_arrays import EncodedArray
from perflab.database.bulk.form import CompiledForm, CoreRows, checked_columns, rows_left_out
from perflab.database.bulk.keys import Arranged, Row, arrange, in_key_order
from perflab.database.bulk.parts import VALUE, ChangeParts, InsertParts, split_outside
from perflab.database.bulk.postgresql_copy import NOT_COPIED, Copy, ValueNotCopied, copy_of
from perflab.database.bulk.postgresql_types import ElementType, element_type
from perflab.database.columns import columns_of
from perflab.database.ledger import Ledger
from perflab.database.operation import Deferred, DriverConnection
from perflab.errors import StatementError

ARRAYS_FROM_ROWS = 2
"""`make crossovers`, as all thresholds here (table in docs/design/database.md): at 2 rows arrays cost about as much as
two statements in a pipeline, at 1,000 a third."""
COPY_FROM_ROWS = 100
"""COPY is cheaper than arrays from between 30 and 100 rows on."""
STAGING_FROM_ROWS = 4_000
"""For an upsert, which needs a temporary table, from between 3,000 and 10,000 on."""
MAX_ARRAY_BYTES = 1 << 28
"""The server allocates at most 1 GiB at once; a batch with a larger column is sent in parts."""

_ARRAY = re.compile(r"\x01(\d+)\x01")
_PARAMETER = re.compile(rf"{VALUE.pattern}|{_ARRAY.pattern}")
_ROWS = "perflab_rows"


@dataclass(frozen=True, slots=True)
class ArrayStatement:
    """One statement for any number of rows."""

    sql: str
    parameters: tuple[tuple[int, ElementType | None], ...]
    """In the order of the placeholders: which bound value, and the type of its array; None for one that is fixed."""
    answers_by_position: bool
    """Each returned row ends with the number of the row of the batch that it belongs to, counted from 1."""

    def takes(self, columns: Sequence[Sequence[Any]]) -> bool:
        return all(element is None or element.takes(columns[at]) for at, element in self.parameters)


class PostgresBulk:
    """Chooses the form for the rows of each statement, and sends it."""

    def __init__(self, dialect: PGDialect_psycopg) -> None:
        self._dialect = dialect
        self._statements: dict[CompiledForm, ArrayStatement | None] = {}
        self._copies: dict[CompiledForm, Copy | None] = {}

    def write(self, connection: DriverConnection, form: CompiledForm, rows: Sequence[Row]) -> Sequence[Any]:
        """Send rows of one form; for each of them, in order, the rows that it returned, or None without RETURNING."""
        statement = self._statement(form) if len(rows) >= ARRAYS_FROM_ROWS else None
        if statement is None:
            return _row_by_row(connection, form, rows)
        arranged: Arranged | None = None
        if form.key is not None:
            arranged = arrange(rows, form.key)
            if arranged is None:
                return _row_by_row(connection, form, rows)
        sent = rows if arranged is None else [rows[index] for index in arranged.order]
        columns = columns_of(sent)
        if not statement.takes(columns):
            return _row_by_row(connection, form, rows)
        answers = _send(connection, statement, columns)
        if arranged is not None:
            connection.superseded += arranged.superseded
        if not form.returns:
            return [None] * len(rows)
        return Deferred(lambda: _returned(statement, answers, range(len(rows)) if arranged is None else arranged.place))

    @staticmethod
    def checks_while_sending(form: CompiledForm, rows: int) -> bool:
        return form.key is None and rows >= COPY_FROM_ROWS

    def write_alone(self, connection: DriverConnection, ledger: Ledger, rows: CoreRows) -> None:
        """Send rows without RETURNING as a transaction of their own: by COPY where they are many."""
        if self._is_copied(connection, ledger, rows):
            return
        if not rows.is_checked:
            checked_columns(rows)
        with ledger.transaction(connection):
            self.write(connection, rows.form, rows.values)

    def _is_copied(self, connection: DriverConnection, ledger: Ledger, core_rows: CoreRows) -> bool:
        form, rows, _ = core_rows
        if len(rows) < (COPY_FROM_ROWS if form.key is None else STAGING_FROM_ROWS):
            return False
        if form not in self._copies:
            self._copies[form] = copy_of(connection, form)
        copy = self._copies[form]
        arranged = arrange(rows, form.key) if copy is not None and form.key is not None else None
        if copy is None or (form.key is not None and arranged is None):
            return False
        sent = rows if arranged is None else [rows[index] for index in arranged.order]
        try:
            copy.send(connection, ledger, core_rows._replace(values=sent))
        except ValueNotCopied:
            return False
        except NOT_COPIED:
            self._copies[form] = None
            return False
        if arranged is not None:
            connection.superseded += arranged.superseded
        return True

    def _statement(self, form: CompiledForm) -> ArrayStatement | None:
        if form not in self._statements:
            self._statements[form] = _array_statement(form, self._dialect)
        return self._statements[form]


def _row_by_row(connection: DriverConnection, form: CompiledForm, rows: Sequence[Row]) -> Sequence[Any]:
    order = in_key_order(rows, form.key)
    if not form.returns:
        connection.executemany(form.sql, rows if form.key is None else [rows[index] for index in order])
        return [None] * len(rows)
    cursors = {index: connection.execute(form.sql, rows[index]) for index in order}
    return Deferred(lambda: [cursors[index].fetchall() for index in range(len(rows))])


Answers = list[tuple[int, Any]]
"""Rows sent, and the cursor that they are answered on."""


def _send(connection: DriverConnection, statement: ArrayStatement, columns: Sequence[Sequence[Any]]) -> Answers:
    rows = len(columns[0])
    parameters = [
        columns[at][0] if element is None else encode_array(element.dumper, columns[at])
        for at, element in statement.parameters
    ]
    if rows > 1 and any(isinstance(value, EncodedArray) and len(value.data) > MAX_ARRAY_BYTES for value in parameters):
        half = rows // 2
        return [
            *_send(connection, statement, [column[:half] for column in columns]),
            *_send(connection, statement, [column[half:] for column in columns]),
        ]
    return [(rows, connection.execute(statement.sql, parameters))]


def _returned(statement: ArrayStatement, answers: Answers, place: Sequence[int]) -> list[list[Row]]:
    """Returned rows for each row of the batch."""
    returned: list[list[Row]] = []
    for rows, cursor in answers:
        answer = cursor.fetchall()
        if statement.answers_by_position:
            of_row: list[list[Row]] = [[] for _ in range(rows)]
            for *values, position in answer:
                of_row[position - 1].append(tuple(values))
            returned += of_row
        elif len(answer) == rows:  # the server inserts the elements of arrays in their order, and answers so
            returned += [[row] for row in answer]
        else:
            raise StatementError(rows_left_out(len(answer), rows))
    return [returned[index] for index in place]


# -- from a statement for one row to one for many ----------------------------------------------------------------------


def _array_statement(form: CompiledForm, dialect: PGDialect_psycopg) -> ArrayStatement | None:
    elements = [element_type(of, dialect) for of in form.types]
    if form.parts is None or None in elements or not any(form.varying):
        return None
    if form.key is not None and not form.has_exact_key:
        return None
    types = [element for element in elements if element is not None]
    if isinstance(form.parts, InsertParts):
        text = _insert_from_arrays(form, form.parts, types)
    else:
        text = _change_from_arrays(form, form.parts, types)
    if text is None:
        return None
    parameters = tuple(
        (int(found[1]), None) if found[1] else (int(found[2]), types[int(found[2])])
        for found in _PARAMETER.finditer(text)
    )
    return ArrayStatement(
        _PARAMETER.sub(lambda found: "%s" if found[1] else "%b", text),
        parameters,
        answers_by_position=form.returns and isinstance(form.parts, ChangeParts),
    )


def _insert_from_arrays(form: CompiledForm, parts: InsertParts, types: Sequence[ElementType]) -> str | None:
    if any(form.varying[int(at)] for at in VALUE.findall(parts.conflict)):
        return None
    if form.returns and not parts.answers_each_row:
        return None
    if parts.key is None and "DO UPDATE" in parts.conflict:  # two rows of one key would be refused, and nobody can tell
        return None

    def value(found: re.Match[str]) -> str:
        at = int(found[1])
        # A value that is the same in each row needs a type here, where no column gives it one.
        return f"{_ROWS}.c{at}" if form.varying[at] else f"CAST({found[0]} AS {types[at].name})"

    selected = ", ".join(VALUE.sub(value, part) for part in parts.values)
    return f"{parts.head} SELECT {selected} FROM {_unnest(form, types)}{parts.conflict}{parts.returning}"


def _change_from_arrays(form: CompiledForm, parts: ChangeParts, types: Sequence[ElementType]) -> str | None:
    key = parts.key
    if key is None or not all(form.varying[at] for at in key.positions):
        return None

    def from_rows(text: str) -> str:
        return VALUE.sub(lambda found: f"{_ROWS}.c{found[1]}" if form.varying[int(found[1])] else found[0], text)

    if not parts.assignments and parts.is_only_keyed and len(key.columns) == 1 and not parts.returning:
        column = split_outside(parts.condition, " = ")[0]
        return f"DELETE FROM {parts.table} WHERE {column} = ANY({_array(key.positions[0], types)})"
    # A plan may come to the rows of the table in any order: so they are locked in the order of the keys first.
    key_values = zip(key.columns, key.positions, strict=True)
    found = " AND ".join(f"perflab_target.{column} = {_ROWS}.c{at}" for column, at in key_values)
    lock = "NO KEY UPDATE" if parts.assignments else "UPDATE"
    locked = (
        f"WITH {_ROWS} AS MATERIALIZED (SELECT {_ROWS}.* FROM {_unnest(form, types, numbered=True)} "
        f"JOIN {parts.table} AS perflab_target ON {found} ORDER BY {_ROWS}.position FOR {lock} OF perflab_target) "
    )
    if parts.assignments:
        assignments = ", ".join(f"{column} = {from_rows(value)}" for column, value in parts.assignments)
        change = f"UPDATE {parts.table} SET {assignments} FROM {_ROWS}"
    else:
        change = f"DELETE FROM {parts.table} USING {_ROWS}"
    returning = f"{parts.returning}, {_ROWS}.position" if parts.returning else ""
    return f"{locked}{change} WHERE {from_rows(parts.condition)}{returning}"


def _unnest(form: CompiledForm, types: Sequence[ElementType], *, numbered: bool = False) -> str:
    varying = [at for at, varies in enumerate(form.varying) if varies]
    arrays = ", ".join(_array(at, types) for at in varying)
    columns = [f"c{at}" for at in varying]
    if numbered:
        return f"unnest({arrays}) WITH ORDINALITY AS {_ROWS}({', '.join([*columns, 'position'])})"
    return f"unnest({arrays}) AS {_ROWS}({', '.join(columns)})"


def _array(at: int, types: Sequence[ElementType]) -> str:
    return f"\x01{at}\x01::{types[at].name}[]"
