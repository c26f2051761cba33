"""The bulk forms on SQLite: INSERTs of many VALUES, and one prepared statement for all rows of whatever else."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any

from perflab.database.bulk.form import CompiledForm, CoreRows, rows_left_out
from perflab.database.bulk.keys import Arranged, Row, arrange, in_key_order
from perflab.database.bulk.parts import VALUE, InsertParts
from perflab.database.ledger import Ledger
from perflab.database.operation import Deferred, DriverConnection
from perflab.errors import StatementError

VALUES_AT_ONCE = 1_000
"""Rows of one INSERT. Fewer go by executemany: a statement of each number of rows would be kept, and one of a thousand
rows of six columns takes 0.5 MB (measured). At 10,000 rows a batch `perflab bench load` has it level with the
fastest raw form; at 1,000 the forms are within the noise of each other
(`make crossovers`, table in docs/design/database.md)."""
RETURNED_AT_ONCE = 250
"""Rows of one INSERT that returns them, where there is no other form for fewer."""


class SQLiteBulk:
    """Chooses the form for the rows of each statement, and sends it."""

    def write(self, connection: DriverConnection, form: CompiledForm, rows: Sequence[Row]) -> Sequence[Any]:
        """Send rows of one form; for each of them, in order, the rows that it returned, or None without RETURNING."""
        arranged = arrange(rows, form.key) if form.key is not None and form.has_exact_key else None
        if not form.returns:
            _execute_many(connection, form, rows, arranged)
            return [None] * len(rows)
        parts = form.parts
        if not isinstance(parts, InsertParts) or not parts.answers_each_row or VALUE.search(parts.conflict):
            cursors = [connection.execute(form.sql, row) for row in rows]
            return Deferred(lambda: [cursor.fetchall() for cursor in cursors])
        if arranged is None:
            return _insert_returning(connection, form, parts, rows)
        connection.superseded += arranged.superseded
        returned = _insert_returning(connection, form, parts, [rows[index] for index in arranged.order])
        return [returned[place] for place in arranged.place]

    @staticmethod
    def checks_while_sending(_form: CompiledForm, _rows: int) -> bool:
        return False  # nobody else is at work meanwhile

    def write_alone(self, connection: DriverConnection, ledger: Ledger, rows: CoreRows) -> None:
        """The same as a transaction of its own."""
        with ledger.transaction(connection):
            self.write(connection, rows.form, rows.values)


def _execute_many(
    connection: DriverConnection, form: CompiledForm, rows: Sequence[Row], arranged: Arranged | None
) -> None:
    """In the order of the key, which touches each page once, and the last of those with one key."""
    if arranged is not None:
        rows = [rows[index] for index in arranged.order]
    elif form.key is not None:
        rows = [rows[index] for index in in_key_order(rows, form.key)]
    sent = _send_as_values(connection, form, rows)
    if sent < len(rows):
        connection.executemany(form.sql, rows[sent:])
    if arranged is not None:
        connection.superseded += arranged.superseded


def _send_as_values(connection: DriverConnection, form: CompiledForm, rows: Sequence[Row]) -> int:
    """Send full statements of many VALUES; how many rows these were."""
    at_once = _rows_at_once(connection, form, VALUES_AT_ONCE)
    parts = form.parts
    if not isinstance(parts, InsertParts) or VALUE.search(parts.conflict) or not 1 < at_once <= len(rows):
        return 0
    sql = _many_values(parts, at_once)
    statements = len(rows) // at_once
    for number in range(statements):
        part = rows[number * at_once : (number + 1) * at_once]
        connection.execute(sql, list(chain.from_iterable(part)))
    return statements * at_once


def _rows_at_once(connection: Any, form: CompiledForm, wanted: int) -> int:
    """How many rows one statement can bind on this connection."""
    most: int = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
    return max(1, min(wanted, most // max(1, len(form.names))))


def _many_values(parts: InsertParts, rows: int) -> str:
    one_row = VALUE.sub("?", f"({', '.join(parts.values)})")
    return f"{parts.head} VALUES {', '.join([one_row] * rows)}{parts.conflict}{parts.returning}"


def _insert_returning(
    connection: Any, form: CompiledForm, parts: InsertParts, rows: Sequence[Row]
) -> Sequence[list[Row]]:
    """Rows come back in the order in which they went in: SQLite keeps them aside as it inserts, then hands them out.

    No order is promised (https://sqlite.org/lang_returning.html); a test holds it.
    """
    at_once = _rows_at_once(connection, form, RETURNED_AT_ONCE)
    returned: list[list[Row]] = []
    for start in range(0, len(rows), at_once):
        part = rows[start : start + at_once]
        answer = connection.execute(_many_values(parts, len(part)), list(chain.from_iterable(part))).fetchall()
        if len(part) == 1:
            returned.append(answer)
        elif len(answer) == len(part):
            returned += [[row] for row in answer]
        else:
            raise StatementError(rows_left_out(len(answer), len(part)))
    return returned
