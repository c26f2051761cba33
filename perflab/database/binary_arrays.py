"""Columns of a batch as binary array parameters of PostgreSQL.

They are only values, so that operations can be written without its driver; `array_dumpers.py` encodes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class TextArray:
    """A `text[]`."""

    values: Sequence[str | None]


@dataclass(frozen=True, slots=True)
class IntegerArray:
    """An `int8[]`."""

    values: Sequence[int | None]


@dataclass(frozen=True, slots=True)
class BytesArray:
    """A `bytea[]`."""

    values: Sequence[bytes | None]


@dataclass(frozen=True, slots=True)
class EncodedArray:
    """An array of any type, encoded."""

    oid: int
    """Of the array type."""
    data: bytes


def once_if_shared(values: Sequence[Value]) -> Sequence[Value]:
    """The first value alone, of a column that holds no other.

    For statements that fill the rest up: `unnest` pads a short array with nulls, and `coalesce(value, (array)[1])` puts
    its first value in. So the column must hold no nulls. With five such columns of nine, 1,000 watches cost 0.7 µs less
    each.
    """
    is_shared = values[0] is values[-1] and values.count(values[0]) == len(values)
    return values[:1] if is_shared else values
