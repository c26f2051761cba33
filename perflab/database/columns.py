"""Rows by columns."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any


def columns_of(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    """The values of each column. `zip(*rows)` would make an iterator for each row, which sets the garbage collector to
    work.

    Raises:
        ValueError: rows of several lengths.
    """
    lengths = set(map(len, rows))
    if len(lengths) > 1:
        raise ValueError(f"rows have {min(lengths)} to {max(lengths)} values")
    return [list(map(itemgetter(at), rows)) for at in range(max(lengths, default=0))]
