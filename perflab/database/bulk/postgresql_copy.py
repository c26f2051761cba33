"""Rows by COPY: straight into the table, or into a temporary one and from there, where they may conflict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any, cast

import psycopg
from sqlalchemy import Enum

from perflab.database.bulk.form import CompiledForm, CoreRows, checked_columns
from perflab.database.bulk.keys import Row
from perflab.database.bulk.parts import VALUE, InsertParts
from perflab.database.bulk.postgresql_types import COPIED_TYPES, JSONB_VERSION, ElementType
from perflab.database.copying import CopyStatement, copy_rows
from perflab.database.ledger import Ledger
from perflab.database.operation import DriverConnection

NOT_COPIED = (
    psycopg.errors.FeatureNotSupported,  # row-level security
    psycopg.errors.WrongObjectType,  # a view
    psycopg.errors.InsufficientPrivilege,  # to make a temporary table
    psycopg.errors.InvalidBinaryRepresentation,  # the type of a column has changed …
    psycopg.errors.ProtocolViolation,  # … to a longer one
)
"""What an INSERT may do and a COPY may not."""
AT_ONCE = 300
"""Rows that are looked at together: the server waits for the first of them."""
_STAGING = "perflab_staging"


class ValueNotCopied(Exception):
    """A value is of a type, or out of a range, that only the server can make something of."""


@dataclass(frozen=True, slots=True)
class Copy:
    """How the rows of one form are copied."""

    statement: CopyStatement
    positions: tuple[int, ...]
    """Of the bound value of each column."""
    elements: tuple[ElementType, ...]

    def send(self, connection: DriverConnection, ledger: Ledger, rows: CoreRows) -> None:
        """One transaction and one round trip. Values are looked at while the server is at work on those before.

        Raises:
            ValueNotCopied: a value cannot be sent so; nothing was written.
            ValueRefused: one that nobody had looked at cannot be sent in any way; nor was anything.
        """
        starts = range(0, len(rows.values), AT_ONCE)
        values = chain.from_iterable(
            self._checked(rows._replace(values=rows.values[start : start + AT_ONCE])) for start in starts
        )
        first = next(values)  # most rows that cannot be sent are noticed here, before anything is
        with ledger.copying(connection) as note:
            connection.round_trips += 1
            copy_rows(cast("psycopg.Connection[Any]", connection), self.statement, chain([first], values), note)

    def _checked(self, rows: CoreRows) -> Iterable[Row]:
        """Some rows as they are sent."""
        given = checked_columns(rows)
        columns = [given[position] for position in self.positions]
        for element, column in zip(self.elements, columns, strict=True):
            if not element.takes(column):
                raise ValueNotCopied
        if self.is_as_given:
            return rows.values
        for at, element in enumerate(self.elements):
            if element.name == "jsonb":
                columns[at] = [None if text is None else JSONB_VERSION + text for text in columns[at]]
        return zip(*columns, strict=True)

    @property
    def is_as_given(self) -> bool:
        """Whether the bound values are sent in their order and as they are."""
        in_order = self.positions == tuple(range(len(self.positions)))
        return in_order and all(element.name != "jsonb" for element in self.elements)


def copy_of(connection: DriverConnection, form: CompiledForm) -> Copy | None:
    """How the rows of a form are copied; None where they cannot be. Asks the server for the types, in one round trip.

    An upsert is copied into a temporary table first. Rows are read from there in the order in which they were written:
    no other process reads along, and no parallel plan.
    """
    parts = form.parts
    if not isinstance(parts, InsertParts) or parts.lone_values is None or form.returns or VALUE.search(parts.conflict):
        return None
    if parts.conflict and (parts.key is None or not form.has_exact_key):
        return None
    if form.fills_identity:  # which a COPY would, where an INSERT is refused
        return None
    columns = ", ".join(parts.columns)
    elements = _types_in_table(connection, form, parts, columns)
    if elements is None:
        return None
    target = _STAGING if parts.conflict else parts.table
    copy = f"COPY {target} ({columns}) FROM STDIN (FORMAT BINARY)"
    before, after = [], []
    if parts.conflict:
        before = [
            f"CREATE TEMPORARY TABLE {_STAGING} ON COMMIT DROP AS SELECT {columns} FROM {parts.table} WITH NO DATA"
        ]
        after = [f"{parts.head} SELECT {columns} FROM {_STAGING}{parts.conflict}"]
    statement = CopyStatement(
        _plain(copy),
        tuple(element.dumper for element in elements),
        before=tuple(map(_plain, before)),
        after=tuple(map(_plain, after)),
    )
    return Copy(statement, parts.lone_values, tuple(elements))


def _types_in_table(
    connection: DriverConnection, form: CompiledForm, parts: InsertParts, columns: str
) -> list[ElementType] | None:
    try:
        answer = connection.execute(f"SELECT {columns} FROM {parts.table} LIMIT 0", ())
    except psycopg.Error:  # the table may be there to be written only
        if connection.is_broken:
            raise
        return None
    registry = psycopg.adapters.types
    elements = []
    for column, position in zip(answer.description, parts.lone_values or (), strict=True):
        known = registry.get(column.type_code)
        bound = form.types[position]
        if known is None and isinstance(bound, Enum) and bound.native_enum:
            element = COPIED_TYPES.get("text")
        else:
            element = None if known is None or known.array_oid == column.type_code else COPIED_TYPES.get(known.name)
        if element is None:
            return None
        elements.append(element)
    return elements


def _plain(sql: str) -> str:
    """Without what the driver makes of parameters: a simple Query has none."""
    return sql.replace("%%", "%")
