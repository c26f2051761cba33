"""Many keys in one SELECT on SQLite: joined with a list of values."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from perflab.database.load import Key, Numbered, ReadAnswer, ReadForm


class SQLiteKeys:
    """A value without a type of its own is compared as the column's type says, as in `WHERE column = ?`."""

    def __init__(self, form: ReadForm) -> None:
        self._form = form
        self._statement = lru_cache(maxsize=64)(self._make_statement)

    def find(self, connection: Any, keys: Sequence[Key]) -> ReadAnswer:
        most: int = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        at_once = max(1, most // len(self._form.key))
        answers: list[Numbered] = []
        for start in range(0, len(keys), at_once):
            part = keys[start : start + at_once]
            rows = connection.execute(self._statement(len(part)), tuple(chain.from_iterable(part)))
            answers += [(start + place, row) for place, *row in rows]
        return lambda: (answers, [None] * len(answers[0][1]) if answers else ())

    def _make_statement(self, keys: int) -> str:
        form = self._form
        names = [f"c{at}" for at in range(len(form.key))]
        places = ", ?" * len(names)
        values = ", ".join(f"({position}{places})" for position in range(keys))
        equal = " AND ".join(f"{column} = perflab_keys.{name}" for column, name in zip(form.key, names, strict=True))
        # CROSS JOIN: the keys drive, whatever the planner takes the table's size for.
        return (
            f"WITH perflab_keys(position, {', '.join(names)}) AS (VALUES {values}) "
            f"SELECT perflab_keys.position, {form.columns} FROM perflab_keys CROSS JOIN {form.table} ON {equal}"
        )
