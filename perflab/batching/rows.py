"""Rows from whatever holds them: dictionaries, tuples, a pandas DataFrame, an Arrow table, a generator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from perflab.database.values import shown
from perflab.errors import InvalidInput

CONVERTED_ROWS = 10_000
"""Of a DataFrame or an Arrow table at a time, so that there is never a second copy of the whole."""


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


def iterate_rows(source: Any) -> Iterator[Any]:
    """The rows of a source, one at a time and as they are: a generator is never read ahead.

    Args:
        source: an iterable of rows, a pandas DataFrame (a missing value becomes None), or an Arrow table or batch. Of
            the last two, `CONVERTED_ROWS` at a time become dictionaries.
    """
    if hasattr(source, "itertuples"):
        return _frame_rows(source)
    if hasattr(source, "to_batches"):
        return _arrow_rows(source.to_batches(max_chunksize=CONVERTED_ROWS))
    if hasattr(source, "to_pylist"):
        return _arrow_rows(source.slice(start, CONVERTED_ROWS) for start in range(0, len(source), CONVERTED_ROWS))
    if isinstance(source, Mapping | str | bytes) or not isinstance(source, Iterable):
        raise InvalidInput(
            f"extend() takes many rows, not one {type(source).__name__}: give a list, a generator, a DataFrame or an "
            "Arrow table; add() takes one row"
        )
    return iter(source)


def _arrow_rows(batches: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for batch in batches:
        yield from batch.to_pylist()


def _frame_rows(frame: Any) -> Iterator[dict[str, Any]]:
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        raise InvalidInput(f"the DataFrame has two columns of one name: {', '.join(names)}; rename one")
    for start in range(0, len(frame), CONVERTED_ROWS):
        part = frame.iloc[start : start + CONVERTED_ROWS]
        objects = part.astype(object)  # Python's own numbers instead of numpy's, which drivers do not know
        for row in objects.where(part.notna(), None).itertuples(index=False, name=None):
            yield dict(zip(names, row, strict=True))
