"""The bulk forms on SQLite: one prepared statement for all rows, and one with many VALUES where rows must come back."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any

from perflab.database.bulk.form import CompiledForm, rows_left_out
from perflab.database.bulk.keys import Arranged, Row, arrange, in_key_order
from perflab.database.bulk.parts import VALUE, InsertParts
from perflab.database.ledger import Ledger
from perflab.database.operation import Deferred, DriverConnection
from perflab.errors import StatementError

VALUES_AT_ONCE = 250
"""Rows of one INSERT that returns them."""


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

    def write_alone(
        self, connection: DriverConnection, ledger: Ledger, form: CompiledForm, rows: Sequence[Row]
    ) -> None:
        """The same as a transaction of its own."""
        with ledger.transaction(connection):
            self.write(connection, form, rows)


def _execute_many(
    connection: DriverConnection, form: CompiledForm, rows: Sequence[Row], arranged: Arranged | None
) -> None:
    """In the order of the key, which touches each page once, and the last of those with one key."""
    if arranged is not None:
        connection.superseded += arranged.superseded
        rows = [rows[index] for index in arranged.order]
    elif form.key is not None:
        rows = [rows[index] for index in in_key_order(rows, form.key)]
    connection.executemany(form.sql, rows)


def _insert_returning(
    connection: Any, form: CompiledForm, parts: InsertParts, rows: Sequence[Row]
) -> Sequence[list[Row]]:
    """Rows come back in the order in which they went in: SQLite keeps them aside as it inserts, then hands them out.

    No order is promised (https://sqlite.org/lang_returning.html); a test holds it.
    """
    one_row = VALUE.sub("?", f"({', '.join(parts.values)})")
    most = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
    at_once = max(1, min(VALUES_AT_ONCE, most // max(1, len(form.names))))
    returned: list[list[Row]] = []
    for start in range(0, len(rows), at_once):
        part = rows[start : start + at_once]
        values = ", ".join([one_row] * len(part))
        sql = f"{parts.head} VALUES {values}{parts.conflict}{parts.returning}"
        answer = connection.execute(sql, list(chain.from_iterable(part))).fetchall()
        if len(part) == 1:
            returned.append(answer)
        elif len(answer) == len(part):
            returned += [[row] for row in answer]
        else:
            raise StatementError(rows_left_out(len(answer), len(part)))
    return returned
