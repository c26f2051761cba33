"""Which columns of values travel to PostgreSQL in binary: as one array each, or as the rows of a COPY.

A dumper that is chosen by the type of the column trusts its values: it cuts an integer that is too large, and a time
off a date. So a column is sent that way only if all its values are of the types that stand here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Enum, Uuid
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.types import TypeEngine

from perflab.database.values import fit_into

_NONE = frozenset({type(None)})


@dataclass(frozen=True, slots=True)
class ElementType:
    """A type whose values can be sent many at once."""

    name: str
    """In SQL."""
    dumper: str
    """Name of the type whose dumper writes the bytes, in psycopg's registry."""
    kinds: frozenset[type]
    """Python types that this dumper takes without loss."""
    fits: Callable[[Sequence[Any]], bool] = lambda _values: True
    """Whether all values (None is not among them) are in its range."""

    def takes(self, values: Sequence[Any]) -> bool:
        kinds = set(map(type, values))
        if not kinds <= self.kinds | _NONE:
            return False
        return self.fits([value for value in values if value is not None] if type(None) in kinds else values)


def _zoned(values: Sequence[Any]) -> bool:
    return all(value.tzinfo is not None for value in values)


def _naive(values: Sequence[Any]) -> bool:
    return all(value.tzinfo is None for value in values)


_INTEGER, _TEXT = frozenset({int}), frozenset({str})
_ELEMENT_TYPES = {
    "SMALLINT": ElementType("int2", "int2", _INTEGER, partial(fit_into, "h")),
    "INTEGER": ElementType("int4", "int4", _INTEGER, partial(fit_into, "i")),
    "BIGINT": ElementType("int8", "int8", _INTEGER, partial(fit_into, "q")),
    # float8 for both: the dumper for float4 turns what is too large into infinity, where the server refuses it.
    "REAL": ElementType("float8", "float8", frozenset({float, int})),
    "FLOAT": ElementType("float8", "float8", frozenset({float, int})),
    "DOUBLE PRECISION": ElementType("float8", "float8", frozenset({float, int})),
    "NUMERIC": ElementType("numeric", "numeric", frozenset({Decimal, int})),
    "TEXT": ElementType("text", "text", _TEXT),
    "VARCHAR": ElementType("varchar", "varchar", _TEXT),
    "BYTEA": ElementType("bytea", "bytea", frozenset({bytes})),
    "BOOLEAN": ElementType("bool", "bool", frozenset({bool})),
    "DATE": ElementType("date", "date", frozenset({date})),
    "TIME WITHOUT TIME ZONE": ElementType("time", "time", frozenset({time}), _naive),
    "TIMESTAMP WITHOUT TIME ZONE": ElementType("timestamp", "timestamp", frozenset({datetime}), _naive),
    "TIMESTAMP WITH TIME ZONE": ElementType("timestamptz", "timestamptz", frozenset({datetime}), _zoned),
    "INTERVAL": ElementType("interval", "interval", frozenset({timedelta})),
    "UUID": ElementType("uuid", "uuid", frozenset({UUID})),
    # JSON comes here as text.
    "JSON": ElementType("json", "text", _TEXT),
    "JSONB": ElementType("jsonb", "text", _TEXT),
}

_LARGEST_FLOAT4 = 3.4028234663852886e38


def _fits_float4(values: Sequence[Any]) -> bool:
    return all(-_LARGEST_FLOAT4 <= value <= _LARGEST_FLOAT4 for value in values)


COPIED_TYPES = {element.name: element for element in _ELEMENT_TYPES.values()} | {
    "float4": ElementType("float4", "float4", frozenset({float, int}), _fits_float4),
    "bpchar": ElementType("bpchar", "text", _TEXT),
}
"""By name in the server's catalogue. A COPY converts nothing: its columns have the types of the table."""
JSONB_VERSION = "\x01"
"""Stands before the text of a jsonb value."""


def element_type(of: TypeEngine[Any], dialect: PGDialect_psycopg) -> ElementType | None:
    """The type of an array's elements for the values of a bound parameter; None where it cannot be one."""
    implemented = of.dialect_impl(dialect)
    try:
        name = dialect.type_compiler_instance.process(implemented)
    except SQLAlchemyError:  # a column without a type
        return None
    if isinstance(implemented, Enum) and implemented.native_enum:
        return ElementType(name, "text", _TEXT)
    if isinstance(implemented, Uuid) and not implemented.as_uuid:
        return ElementType("uuid", "text", _TEXT)
    base, bracket, rest = name.partition("(")
    return _ELEMENT_TYPES.get(base + rest.rpartition(")")[2] if bracket else name)
