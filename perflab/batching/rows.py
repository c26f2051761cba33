"""Rows from whatever holds them: dictionaries, tuples, a pandas DataFrame, an Arrow table, a generator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from perflab.database.values import shown
from perflab.errors import InvalidInput

CONVERTED_ROWS = 10_000
"""Of a DataFrame at a time, so that there is never a second copy of the whole."""


def as_row(row: Any, columns: Sequence[str]) -> Mapping[str, Any]:
    """One row as a dictionary; a tuple or list is matched with `columns` by position.

    Raises:
        InvalidInput: another type, or another number of values than columns.
    """
    if isinstance(row, Mapping):
        return row
    if isinstance(row, str | bytes) or not isinstance(row, Sequence):
        raise InvalidInput(f"a row is a dictionary, tuple or list, not {type(row).__name__} {str(row)[:60]!r}")
    if len(row) != len(columns):
        raise InvalidInput(
            f"a row has {len(row)} values for {len(columns)} columns ({', '.join(columns)}): {shown(row, 120)}"
        )
    return dict(zip(columns, row, strict=True))


def iterate_rows(source: Any, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """The rows of a source, one at a time: a generator is never read ahead.

    Args:
        source: an iterable of rows, a pandas DataFrame (a missing value becomes None), or an Arrow table or batch.
        columns: names for rows that come as tuples or lists.
    """
    if hasattr(source, "itertuples"):
        yield from _frame_rows(source)
    elif hasattr(source, "to_batches"):
        for batch in source.to_batches():
            yield from batch.to_pylist()
    elif hasattr(source, "to_pylist"):
        yield from source.to_pylist()
    elif isinstance(source, Mapping | str | bytes) or not isinstance(source, Iterable):
        raise InvalidInput(
            f"extend() takes many rows, not one {type(source).__name__}: give a list, a generator, a DataFrame or an "
            "Arrow table; add() takes one row"
        )
    else:
        for row in source:
            yield as_row(row, columns)


def _frame_rows(frame: Any) -> Iterator[dict[str, Any]]:
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        raise InvalidInput(f"the DataFrame has two columns of one name: {', '.join(names)}; rename one")
    for start in range(0, len(frame), CONVERTED_ROWS):
        part = frame.iloc[start : start + CONVERTED_ROWS]
        objects = part.astype(object)  # Python's own numbers instead of numpy's, which drivers do not know
        for row in objects.where(part.notna(), None).itertuples(index=False, name=None):
            yield dict(zip(names, row, strict=True))
