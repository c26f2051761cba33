"""Rows from whatever holds them."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator
from datetime import datetime
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from perflab.batching import rows as rows_module
from perflab.batching.rows import as_row, iterate_rows
from perflab.errors import InvalidInput

COLUMNS = ("id", "name")


def test_a_mapping_stays_as_it_is() -> None:
    row = MappingProxyType({"id": 1})
    assert as_row(row, COLUMNS) is row


def test_tuples_and_lists_are_matched_by_position() -> None:
    Point = namedtuple("Point", "x y")  # noqa: PYI024
    for row in ((1, "a"), [1, "a"], Point(1, "a")):
        assert as_row(row, COLUMNS) == {"id": 1, "name": "a"}


@pytest.mark.parametrize("row", ["ab", b"ab", 5, None, {1, 2}, object()])
def test_what_is_no_row_is_refused(row: Any) -> None:
    with pytest.raises(InvalidInput, match="a row is a dictionary, tuple or list, not "):
        as_row(row, COLUMNS)


@pytest.mark.parametrize("row", [(), (1,), (1, 2, 3), ["x" * 10_000]])
def test_a_row_of_another_length_is_refused(row: Any) -> None:
    with pytest.raises(InvalidInput, match=rf"a row has {len(row)} values for 2 columns \(id, name\)") as caught:
        as_row(row, COLUMNS)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("source", [{"id": 1}, "rows", b"rows", 5, None])
def test_what_is_one_row_or_no_row_is_refused_by_extend(source: Any) -> None:
    with pytest.raises(InvalidInput, match=r"extend\(\) takes many rows, not one "):
        list(iterate_rows(source))


def test_a_generator_is_never_read_ahead() -> None:
    read: list[int] = []

    def generate() -> Iterator[tuple[int, str]]:
        for n in range(10):
            read.append(n)
            yield n, "x"

    rows = iterate_rows(generate())
    assert read == []
    next(rows)
    next(rows)
    assert read == [0, 1]


# -- pandas ------------------------------------------------------------------------------------------------------------


def test_a_data_frame_gives_pythons_own_values() -> None:
    frame = pd.DataFrame(
        {
            "integer": np.array([1, 2], dtype=np.int64),
            "small": np.array([1, 2], dtype=np.uint8),
            "number": np.array([1.5, np.nan], dtype=np.float32),
            "flag": [True, False],
            "text": ["a", None],
            "at": [pd.Timestamp("2013-03-10 02:30"), pd.NaT],
            "nullable": pd.array([5, None], dtype="Int64"),
            "category": pd.Categorical(["x", None]),
        }
    )
    first, second = iterate_rows(frame)
    assert first == {
        "integer": 1,
        "small": 1,
        "number": 1.5,
        "flag": True,
        "text": "a",
        "at": datetime(2013, 3, 10, 2, 30),  # noqa: DTZ001
        "nullable": 5,
        "category": "x",
    }
    assert [type(first[name]) for name in ("integer", "small", "number", "flag", "text", "nullable")] == [
        int,
        int,
        float,
        bool,
        str,
        int,
    ]
    assert {name: value for name, value in second.items() if value is not None} == {
        "integer": 2,
        "small": 2,
        "flag": False,
    }


def test_a_long_data_frame_is_converted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "CONVERTED_ROWS", 3)
    frame = pd.DataFrame({"n": range(8)}, index=[5] * 8)
    assert [row["n"] for row in iterate_rows(frame)] == list(range(8))
    assert list(iterate_rows(frame.iloc[:0])) == []


def test_names_of_columns_become_text_and_must_differ() -> None:
    assert list(iterate_rows(pd.DataFrame({0: [1]}))) == [{"0": 1}]
    for names in (["a", "a"], [0, "0"]):
        with pytest.raises(InvalidInput, match="two columns of one name"):
            list(iterate_rows(pd.DataFrame([[1, 2]], columns=names)))


# -- Arrow -------------------------------------------------------------------------------------------------------------


class Batch:
    """What an Arrow record batch has that matters here."""

    def __init__(self, rows: list[dict[str, Any]], at_most: int) -> None:
        self._rows = rows
        self._at_most = at_most

    def __len__(self) -> int:
        return len(self._rows)

    def slice(self, start: int, length: int) -> Batch:
        return Batch(self._rows[start : start + length], self._at_most)

    def to_pylist(self) -> list[dict[str, Any]]:
        assert len(self._rows) <= self._at_most, "it is taken in parts"
        return self._rows


class ArrowTable(Batch):
    def to_batches(self, max_chunksize: int) -> Iterator[Batch]:
        return (self.slice(start, max_chunksize) for start in range(0, len(self), max_chunksize))


@pytest.mark.parametrize("kind", [Batch, ArrowTable])
def test_arrow_is_converted_in_parts(monkeypatch: pytest.MonkeyPatch, kind: type[Batch]) -> None:
    monkeypatch.setattr(rows_module, "CONVERTED_ROWS", 3)
    rows: list[dict[str, Any]] = [{"id": 1}, {"id": None}, *({"id": n} for n in range(5))]
    assert list(iterate_rows(kind(rows, at_most=3))) == rows
    assert list(iterate_rows(kind([], at_most=3))) == []


def test_a_real_arrow_table() -> None:
    table = pa.table({"id": [1, 2], "name": ["a", None]})
    assert list(iterate_rows(table)) == [{"id": 1, "name": "a"}, {"id": 2, "name": None}]
    assert list(iterate_rows(table.to_batches()[0])) == [{"id": 1, "name": "a"}, {"id": 2, "name": None}]
