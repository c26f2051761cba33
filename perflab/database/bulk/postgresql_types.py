"""How columns of values travel to PostgreSQL in binary: as one array each, or as the rows of a COPY.

Binary, because a list that is sent as text costs the server up to four times as much. psycopg's own dumper of lists
asks for a Python call for each element; its row formatter, which writes a length and the bytes of each value just as
an array does, takes a whole column at once in a fifth of the time (16 against 88 ns for an integer or a short text).

A dumper that is chosen by the type of the column trusts its values: it cuts an integer that is too large, and a time
off a date. So a column is sent that way only if all its values are of the types that stand here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from struct import Struct
from typing import Any
from uuid import UUID

from psycopg._copy_base import format_row_binary
from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper, PyFormat, Transformer
from psycopg.pq import Format
from sqlalchemy import Enum, Uuid
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.types import TypeEngine

VALUES_AT_ONCE = 32_767
"""The row formatter counts values in 16 bits."""
_HEADER = Struct("!iiiii")
_ARRAY_OF_ONE_DIMENSION = 1
_MAY_HOLD_NULLS = 1
_FIRST_SUBSCRIPT = 1
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


def _integers(bits: int) -> Callable[[Sequence[Any]], bool]:
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    return lambda values: not values or (low <= min(values) and max(values) <= high)


def _zoned(values: Sequence[Any]) -> bool:
    return all(value.tzinfo is not None for value in values)


def _naive(values: Sequence[Any]) -> bool:
    return all(value.tzinfo is None for value in values)


_INTEGER, _TEXT = frozenset({int}), frozenset({str})
_ELEMENT_TYPES = {
    "SMALLINT": ElementType("int2", "int2", _INTEGER, _integers(16)),
    "INTEGER": ElementType("int4", "int4", _INTEGER, _integers(32)),
    "BIGINT": ElementType("int8", "int8", _INTEGER, _integers(64)),
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


class EncodedArray:
    """An array in the server's binary format, as a parameter."""

    __slots__ = ("data", "oid")

    def __init__(self, oid: int, data: bytes) -> None:
        self.oid = oid
        self.data = data


class EncodedArrayDumper(Dumper):
    """Hands an `EncodedArray` over as it is."""

    format = Format.BINARY

    def get_key(self, obj: EncodedArray, format: PyFormat) -> Any:  # noqa: A002, ARG002  # psycopg's names
        return (self.cls, obj.oid)

    def upgrade(self, obj: EncodedArray, format: PyFormat) -> EncodedArrayDumper:  # noqa: A002, ARG002
        dumper = EncodedArrayDumper(self.cls)
        dumper.oid = obj.oid
        return dumper

    def dump(self, obj: EncodedArray) -> bytes:
        return obj.data


def encode_array(context: AdaptContext, element: ElementType, values: Sequence[Any]) -> EncodedArray:
    """A column of values, which its type takes, as a parameter."""
    info = Transformer(context).adapters.types[element.dumper]
    parts: list[Any] = [_HEADER.pack(_ARRAY_OF_ONE_DIMENSION, _MAY_HOLD_NULLS, info.oid, len(values), _FIRST_SUBSCRIPT)]
    for start in range(0, len(values), VALUES_AT_ONCE):
        part = values[start : start + VALUES_AT_ONCE]
        transformer = Transformer(context)
        transformer.set_dumper_types([info.oid] * len(part), Format.BINARY)
        row = bytearray()
        format_row_binary(part, transformer, row)
        parts.append(memoryview(row)[2:])  # without their number, which stands in the header
    return EncodedArray(info.array_oid, b"".join(parts))
