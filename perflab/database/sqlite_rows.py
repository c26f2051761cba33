"""Many rows with few statements on SQLite.

The row after VALUES is repeated for as many rows as one statement takes, for a statement has its price, and with
AUTOINCREMENT the counter of the ids is written for each. With 1,000 rows of `perflab_jobs`: 3.9 µs each with one row
for each INSERT, 1.8 with 10, 1.4 with 50 or 100.

What all rows of a batch share is bound once: a value costs 40 to 100 ns each time it is bound, NULL the most.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain, count
from typing import Any, NamedTuple

from perflab.database.operation import DriverConnection

ROWS_PER_STATEMENT = 50

_ROW = re.compile(r"(?<=VALUES )(\((?:[^()]|\([^()]*\))+\))")
"""With functions in it, but none in another."""
_PLACE = re.compile(r"\?(?!\d)")


class WrittenRows(NamedTuple):
    """What came of many rows."""

    changed: int
    """How many rows of the table were inserted or updated."""
    last_id: int
    """Of the row that was inserted last."""


def write_rows(
    connection: DriverConnection, sql: str, given: Sequence[Any], columns: Sequence[Sequence[Any]]
) -> WrittenRows:
    """Run a statement that has one `VALUES (…)`.

    Args:
        connection: in a transaction.
        sql: ?1, ?2 … stand for what is given, and each ? in its row for a column.
        given: values for the statement as a whole.
        columns: at least one value in each.
    """
    rows = len(columns[0])
    if rows == 1:
        cursor = connection.execute(
            _statement(sql, len(given), (True,) * len(columns), 1), (*given, *(column[0] for column in columns))
        )
        return WrittenRows(cursor.rowcount, cursor.lastrowid)
    is_shared = tuple(column[0] is column[-1] and column.count(column[0]) == rows for column in columns)
    once = (*given, *(column[0] for column, shared in zip(columns, is_shared, strict=True) if shared))
    own = [*zip(*(column for column, shared in zip(columns, is_shared, strict=True) if not shared), strict=True)]
    # The last statement has 1 … ROWS_PER_STATEMENT rows; all before it are full, and the driver prepares those once.
    last = (rows - 1) // ROWS_PER_STATEMENT * ROWS_PER_STATEMENT
    changed = 0
    if last:
        full = [
            (*once, *chain.from_iterable(own[start : start + ROWS_PER_STATEMENT]))
            for start in range(0, last, ROWS_PER_STATEMENT)
        ]
        changed = connection.executemany(_statement(sql, len(given), is_shared, ROWS_PER_STATEMENT), full).rowcount
    rest = (*once, *chain.from_iterable(own[last:]))
    cursor = connection.execute(_statement(sql, len(given), is_shared, rows - last), rest)
    return WrittenRows(changed + cursor.rowcount, cursor.lastrowid)


@lru_cache(maxsize=512)
def _statement(sql: str, given: int, is_shared: tuple[bool, ...], rows: int) -> str:
    """The statement with all its places numbered: what is given, what is shared, and then the rows' own values."""
    head, row, tail = _ROW.split(sql)
    numbers = count(given + 1)
    numbers_of_shared = [next(numbers) if shared else None for shared in is_shared]

    def numbered_row() -> str:
        places = iter([number or next(numbers) for number in numbers_of_shared])
        return _PLACE.sub(lambda _: f"?{next(places)}", row)

    return head + ", ".join(numbered_row() for _ in range(rows)) + tail
