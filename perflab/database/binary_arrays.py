"""Columns of a batch as binary array parameters of PostgreSQL.

They are only values, so that operations can be written without its driver; `array_dumpers.py` encodes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TextArray:
    """A `text[]`."""

    values: Sequence[str | None]


@dataclass(frozen=True, slots=True)
class IntegerArray:
    """An `int8[]`."""

    values: Sequence[int | None]


@dataclass(frozen=True, slots=True)
class EncodedArray:
    """An array of any type, encoded."""

    oid: int
    """Of the array type."""
    data: bytes
