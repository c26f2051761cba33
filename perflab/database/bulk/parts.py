"""What a compiled statement consists of, so that one for a single row can be made into one for many.

The text is what SQLAlchemy's compiler writes, of which only the plainest shapes are taken apart. Everything else (a
CTE, a sub-select, an OR in the condition, a table function) has no parts, and is sent row by row as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

VALUE = re.compile(r"\x00(\d+)\x00")
"""Stands for the bound value of that position: no SQL holds a NUL."""

_QUOTED = r'"(?:[^"]|"")*"' + r"|'(?:[^']|'')*'"
_NAME = r'(?:\w+|"(?:[^"]|"")+")'
_CAST = r"(?:::[A-Z][A-Z ]*)?"
_LONE_VALUE = re.compile(rf"\x00(\d+)\x00{_CAST}")
_EQUALITY = re.compile(rf"(?:{_NAME}\.)*({_NAME}) = \x00(\d+)\x00{_CAST}")
_MOMENT = re.compile(r"now\(\)|CURRENT_TIMESTAMP", re.IGNORECASE)
_CONFLICT = re.compile(rf" ON CONFLICT \(({_NAME}(?:, {_NAME})*)\) DO (NOTHING|UPDATE SET .*)", re.DOTALL)
_ANY_CONFLICT = " ON CONFLICT DO NOTHING"
_TOO_MUCH = re.compile(r"\b(?:SELECT|CASE|DEFAULT)\b")


class Duplicates(StrEnum):
    """What becomes of rows of one batch that have one key."""

    LAST = "last"
    """The last alone leaves what all of them would: it overwrites all that the others wrote."""
    ALL = "all"
    """All are sent together: the engine keeps the first."""
    APART = "apart"
    """Each builds upon the one before, so they are sent one after the other."""


@dataclass(frozen=True, slots=True)
class Key:
    """The values by which a row of the batch finds its row in the table."""

    columns: tuple[str, ...]
    positions: tuple[int, ...]
    """Of the bound values."""
    duplicates: Duplicates


@dataclass(frozen=True)
class InsertParts:
    """`INSERT INTO table (columns) VALUES (values) tail`, the tail being ON CONFLICT or nothing, and RETURNING."""

    table: str
    columns: tuple[str, ...]
    values: tuple[str, ...]
    conflict: str
    returning: str
    primary_key: tuple[str, ...]

    @property
    def head(self) -> str:
        return f"INSERT INTO {self.table} ({', '.join(self.columns)})"

    @cached_property
    def key(self) -> Key | None:
        """The key of an upsert, if its values are in each row."""
        if self.conflict == _ANY_CONFLICT:
            return self._key_of(self.primary_key, Duplicates.ALL)
        found = _CONFLICT.fullmatch(self.conflict)
        if found is None:
            return None
        columns, action = tuple(split_outside(found[1], ", ")), found[2]
        if action == "NOTHING":
            return self._key_of(columns, Duplicates.ALL)
        return self._key_of(columns, Duplicates.LAST if self._overwrites_all(action, columns) else Duplicates.APART)

    def _key_of(self, columns: tuple[str, ...], duplicates: Duplicates) -> Key | None:
        value_of = dict(zip(self.columns, self.values, strict=True))
        values = [_LONE_VALUE.fullmatch(value_of.get(column, "")) for column in columns]
        positions = tuple(int(value[1]) for value in values if value)
        return Key(columns, positions, duplicates) if columns and len(positions) == len(columns) else None

    def _overwrites_all(self, action: str, key: Sequence[str]) -> bool:
        assignments = [part.split(" = ", 1) for part in split_outside(action.removeprefix("UPDATE SET "), ", ")]
        overwritten = {name for name, *value in assignments if value == [f"excluded.{name}"]}
        return len(overwritten) == len(assignments) and overwritten | set(key) >= set(self.columns)

    @cached_property
    def lone_values(self) -> tuple[int, ...] | None:
        """Of each column, which bound value it gets as it is; None if one gets anything else."""
        values = [_LONE_VALUE.fullmatch(value) for value in self.values]
        return tuple(int(value[1]) for value in values if value) if all(values) else None

    @property
    def answers_each_row(self) -> bool:
        """Whether RETURNING gives one row for each row of the batch: nothing is left out for a conflict."""
        return not self.conflict or (
            " DO UPDATE " in self.conflict and len(split_outside(self.conflict, " WHERE ")) == 1
        )


@dataclass(frozen=True)
class ChangeParts:
    """`UPDATE table SET assignments WHERE condition` or `DELETE FROM table WHERE condition`, and RETURNING."""

    table: str
    assignments: tuple[tuple[str, str], ...]
    """Column and value; none for a DELETE."""
    condition: str
    returning: str

    @cached_property
    def key(self) -> Key | None:
        """The equalities of the condition: rows that differ in them change different rows of the table.

        Columns that the statement itself sets are none, because one row of the batch could then lead to another.
        """
        conditions = split_outside(self.condition, " AND ")
        equalities = [found for part in conditions if (found := _EQUALITY.fullmatch(part))]
        set_columns = {column for column, _ in self.assignments}
        keys = {found[1]: int(found[2]) for found in equalities if found[1] not in set_columns}
        if not keys:
            return None
        overwrites = all(_LONE_VALUE.fullmatch(value) or _MOMENT.fullmatch(value) for _, value in self.assignments)
        reducible = overwrites and len(keys) == len(conditions)
        if not self.assignments and self.returning:  # of two deletes of one row, the first returns it
            reducible = False
        return Key(tuple(keys), tuple(keys.values()), Duplicates.LAST if reducible else Duplicates.APART)

    @property
    def is_only_keyed(self) -> bool:
        """Whether the condition is nothing but the key."""
        return self.key is not None and len(self.key.columns) == len(split_outside(self.condition, " AND "))


Parts = InsertParts | ChangeParts


def take_apart(sql: str, placeholder: str, primary_key: Sequence[str]) -> Parts | None:
    """The parts of a compiled INSERT, UPDATE or DELETE; None where it is none of the plain ones.

    Args:
        sql: as SQLAlchemy compiled it.
        placeholder: what stands for a bound value in it, "%s" or "?".
        primary_key: columns of it, as they are written in SQL.
    """
    text = _mark_values(sql, placeholder)
    before, *returning = split_outside(text, " RETURNING ")
    if len(returning) > 1:
        return None
    tail = f" RETURNING {returning[0]}" if returning else ""
    parts: Parts | None
    if text.startswith("INSERT INTO "):
        parts = _take_insert_apart(before, tail, tuple(primary_key))
    else:
        parts = _take_change_apart(before, tail)
    return None if any(map(_TOO_MUCH.search, _expressions(parts))) else parts


def split_outside(text: str, separator: str) -> list[str]:
    """Split at a separator where it stands outside of quotes and brackets."""
    parts = []
    start = depth = 0
    for token in re.finditer(rf"{_QUOTED}|[()]|{re.escape(separator)}", text):
        if token[0] == "(":
            depth += 1
        elif token[0] == ")":
            depth -= 1
        elif token[0] == separator and depth == 0:
            parts.append(text[start : token.start()])
            start = token.end()
    return [*parts, text[start:]]


def _mark_values(sql: str, placeholder: str) -> str:
    count = -1

    def mark(token: re.Match[str]) -> str:
        nonlocal count
        if token[0] != placeholder:
            return token[0]
        count += 1
        return f"\x00{count}\x00"

    return re.sub(rf"{_QUOTED}|%%|{re.escape(placeholder)}", mark, sql)


def _take_insert_apart(text: str, returning: str, primary_key: tuple[str, ...]) -> InsertParts | None:
    head, *rest = split_outside(text, " VALUES ")
    named = re.fullmatch(rf"INSERT INTO ({_NAME}(?:\.{_NAME})*) \((.*)\)", head, re.DOTALL)
    if named is None or len(rest) != 1:
        return None
    values, *conflict = split_outside(rest[0], " ON CONFLICT ")
    if len(split_outside(values, ", ")) > 1:  # several rows
        return None
    return InsertParts(
        table=named[1],
        columns=tuple(split_outside(named[2], ", ")),
        values=tuple(split_outside(values.removeprefix("(").removesuffix(")"), ", ")),
        conflict=f" ON CONFLICT {conflict[0]}" if conflict else "",
        returning=returning,
        primary_key=primary_key,
    )


def _take_change_apart(text: str, returning: str) -> ChangeParts | None:
    head, *conditions = split_outside(text, " WHERE ")
    named = re.fullmatch(rf"(?:UPDATE|DELETE FROM) ({_NAME}(?:\.{_NAME})*)(?: SET (.*))?", head, re.DOTALL)
    if named is None or len(conditions) != 1:
        return None
    set_part, condition = named[2] or "", conditions[0]
    if len(split_outside(set_part, " FROM ")) > 1 or len(split_outside(condition, " OR ")) > 1:
        return None
    assignments = [part.partition("=") for part in split_outside(set_part, ", ")] if set_part else []
    return ChangeParts(
        table=named[1],
        assignments=tuple((name, value) for name, _, value in assignments),
        condition=condition,
        returning=returning,
    )


def _expressions(parts: Parts | None) -> Iterable[str]:
    if isinstance(parts, InsertParts):
        return (*parts.values, parts.conflict)
    if isinstance(parts, ChangeParts):
        return (*(value for _, value in parts.assignments), parts.condition)
    return ()
