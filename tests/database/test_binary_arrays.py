"""What the server makes of our binary arrays, and the driver's own encoding as the one to compare with."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.types.array import ListBinaryDumper

from perflab.database.array_dumpers import VALUES_AT_ONCE, encode_array
from perflab.database.binary_arrays import IntegerArray, TextArray
from perflab.database.database import Database
from perflab.database.embedded import EmbeddedServer
from perflab.database.values import MAX_INT64, MIN_INT64

texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
integers = st.integers(MIN_INT64, MAX_INT64)


@pytest.fixture(scope="module")
def database(postgres_server: EmbeddedServer) -> Iterator[Database]:
    with Database.open(postgres_server.url) as database:
        yield database


@given(st.lists(st.none() | texts, max_size=30))
def test_texts_arrive_as_they_are(database: Database, values: list[str | None]) -> None:
    assert database.fetch("SELECT %b::text[]", [TextArray(values)]) == [(values,)]


@given(st.lists(st.none() | integers, max_size=30))
def test_integers_arrive_as_they_are(database: Database, values: list[int | None]) -> None:
    assert database.fetch("SELECT %b::int8[]", [IntegerArray(values)]) == [(values,)]


@pytest.mark.parametrize("length", [1, 1_000])
def test_the_encoding_is_that_of_the_driver(length: int) -> None:
    words = ["é" * (number % 300) for number in range(length)]
    dumper = ListBinaryDumper(list).upgrade(words, psycopg.adapt.PyFormat.BINARY)
    encoded, expected = encode_array("text", words).data, bytes(dumper.dump(words) or b"")
    assert encoded[:4] + encoded[8:] == expected[:4] + expected[8:]  # but for the flag that there may be nulls


@pytest.mark.case("F29")
def test_an_integer_out_of_range_is_never_sent() -> None:
    with pytest.raises(OverflowError):
        encode_array("int8", [MAX_INT64 + 1])


@pytest.mark.case("F25")
def test_more_elements_than_are_formatted_at_once(database: Database) -> None:
    numbers = [None if number % 5 == 0 else number for number in range(3 * VALUES_AT_ONCE + 1)]
    assert database.fetch("SELECT %b::int8[]", [IntegerArray(numbers)]) == [(numbers,)]
