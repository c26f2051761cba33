"""JSON payloads: what is taken comes back unchanged, what is not is refused with its place."""

from __future__ import annotations

import json
import math
import sqlite3
from collections import Counter, OrderedDict, namedtuple
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.database import values
from perflab.database.values import (
    MAX_INT64,
    MAX_PAYLOAD_BYTES,
    MAX_PAYLOAD_DEPTH,
    MIN_INT64,
    decode_payload,
    encode_payload,
)
from perflab.errors import InvalidInput

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(MIN_INT64, MAX_INT64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
PAYLOADS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=20
)


@pytest.fixture(scope="module")
def sqlite() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE job (payload TEXT NOT NULL)")
    yield connection
    connection.close()


def identical(one: Any, other: Any) -> bool:
    """Equal, and of the same types: 1 is not True, and 0.0 is not -0.0."""
    return repr(one) == repr(other)


@given(PAYLOADS)
def test_what_is_taken_comes_back_from_sqlite_unchanged(sqlite: sqlite3.Connection, payload: Any) -> None:
    with sqlite:
        sqlite.execute("DELETE FROM job")
        sqlite.execute("INSERT INTO job VALUES (?)", (encode_payload(payload),))
    (text,) = sqlite.execute("SELECT payload FROM job WHERE json_valid(payload)").fetchone()
    assert identical(decode_payload(text), payload)


@given(st.none() | st.booleans() | st.integers(MIN_INT64, MAX_INT64) | TEXT)
def test_sqlite_finds_the_same_value_in_it(sqlite: sqlite3.Connection, value: Any) -> None:
    text = encode_payload({"list": [{"value": value}]})
    (found,) = sqlite.execute("SELECT json_extract(?, '$.list[0].value')", (text,)).fetchone()
    assert found == value  # SQLite's true is 1


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_sqlite_finds_the_same_float_in_it_to_its_last_digits(sqlite: sqlite3.Connection, value: float) -> None:
    (found,) = sqlite.execute("SELECT json_extract(?, '$')", (encode_payload(value),)).fetchone()
    assert found == pytest.approx(value, rel=1e-14, abs=1e-300)


@given(PAYLOADS)
def test_the_text_is_compact_and_what_pythons_own_encoder_writes(payload: Any) -> None:
    expected = json.dumps(payload, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    assert encode_payload(payload) == expected


def test_an_interpreter_without_the_c_encoder_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = {"a": [1, -2.5, None, True, 'é"\\\n\x01'], "b": {}}
    expected = encode_payload(payload)
    monkeypatch.setattr(json.encoder, "c_make_encoder", None)
    monkeypatch.setattr(values, "_encode", values._make_encode())
    assert encode_payload(payload) == expected
    for bad in (math.nan, {1, 2}, 2**63):
        with pytest.raises(InvalidInput):
            encode_payload(bad)
    circular: list[Any] = []
    circular.append(circular)
    with pytest.raises(InvalidInput, match="nested deeper"):
        encode_payload(circular)


@pytest.mark.parametrize("text", [r"\u0000", "C:\\u0000\\dir", r"\\u0000", "\\", 'a"\\u0000"'])
def test_a_backslash_that_looks_like_a_nul_is_innocent(text: str) -> None:
    assert decode_payload(encode_payload({text: [text]})) == {text: [text]}


def test_a_tuple_comes_back_as_a_list_and_subclasses_as_what_they_are() -> None:
    Point = namedtuple("Point", "x y")  # noqa: PYI024
    assert decode_payload(encode_payload((1, ("a",)))) == [1, ["a"]]
    assert decode_payload(encode_payload(Point(1, 2))) == [1, 2]
    assert decode_payload(encode_payload(OrderedDict(b=1, a=2))) == {"b": 1, "a": 2}
    assert decode_payload(encode_payload(Counter("aab"))) == {"a": 2, "b": 1}


def nested(levels: int, *, kind: type = list) -> Any:
    payload: Any = 1
    for _ in range(levels):
        payload = [payload] if kind is list else {"k": payload}
    return payload


def circular() -> dict[str, Any]:
    payload: dict[str, Any] = {}
    payload["self"] = [payload]
    return payload


@pytest.mark.case("F28", "F34")
@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (math.nan, "payload is nan, which JSON does not have"),
        ({"a": [1, math.inf]}, "payload['a'][1] is inf"),
        ({"a": -math.inf}, "payload['a'] is -inf"),
        ({"a": "x\0"}, "payload['a'] holds a NUL character at position 1"),
        ({"a": {"\0": 1}}, "a key of payload['a'] holds a NUL character at position 0"),
        (["\\u0000", "\0"], "payload[1] holds a NUL character"),
        ({"a": ["\ud800"]}, r"payload['a'][0] holds a lone surrogate ('\ud800' at position 0)"),
        ({"\udfff": 1}, "a key of payload holds a lone surrogate"),
        (2**63, "payload is 9223372036854775808, which does not fit into 64 bits: store it as text"),
        ({"a": {"b": [-(2**63) - 1]}}, "payload['a']['b'][0] is -9223372036854775809, which does not fit"),
        pytest.param(10**5_000, "payload is an integer of 16,610 bits", id="huge"),
        (OrderedDict(a=2**63), "payload['a'] is 9223372036854775808"),
        ([(1, 2**64)], "payload[0][1] is 18446744073709551616"),
        ({1: "a", "1": "b"}, "payload has the key 1, which JSON does not have: make it text"),
        ({"a": {None: 1}}, "payload['a'] has the key None"),
        ({("t",): 1}, "payload has the key ('t',)"),
        ({"a": {True: 1}}, "has the key True"),
        ({"a": {1, 2}}, "payload['a'] is of type set: use dict, list"),
        ([b"bytes"], "payload[0] is of type bytes"),
        (Decimal(1), "payload is of type Decimal"),
        ({"at": datetime(2026, 1, 1, tzinfo=UTC)}, "payload['at'] is of type datetime"),
        (MappingProxyType({}), "payload is of type mappingproxy"),
        (circular(), "nested deeper than 100 levels, or contains itself: flatten it"),
        (nested(MAX_PAYLOAD_DEPTH + 1), "nested deeper than 100 levels"),
        (nested(MAX_PAYLOAD_DEPTH + 1, kind=dict), "nested deeper than 100 levels"),
        (nested(50_000), "nested deeper than 100 levels"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_place(payload: Any, problem: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        encode_payload(payload)
    assert str(caught.value).startswith("the payload cannot be stored: ")
    assert problem in str(caught.value)
    assert len(str(caught.value)) < 1_000


@pytest.mark.case("F34")
@pytest.mark.parametrize("kind", [list, dict])
def test_the_deepest_payload_is_taken_by_python_and_by_sqlite(sqlite: sqlite3.Connection, kind: type) -> None:
    payload = nested(MAX_PAYLOAD_DEPTH, kind=kind)
    text = encode_payload(payload)
    assert decode_payload(text) == payload
    assert sqlite.execute("SELECT json_valid(?)", (text,)).fetchone() == (1,)


@pytest.mark.parametrize("border", [MIN_INT64, MAX_INT64])
def test_the_borders_of_64_bits_are_taken(sqlite: sqlite3.Connection, border: int) -> None:
    text = encode_payload([border, {"n": border}])
    assert decode_payload(text) == [border, {"n": border}]
    assert sqlite.execute("SELECT json_extract(?, '$[1].n')", (text,)).fetchone() == (border,)


@pytest.mark.case("F32")
@pytest.mark.parametrize("letter", ["a", "é", "€", "😀"])
def test_the_bound_is_in_bytes_of_the_encoded_text(letter: str) -> None:
    letters = 100
    size = letters * len(letter.encode()) + 2
    payload = letter * letters
    assert encode_payload(payload, max_bytes=size) == f'"{payload}"'
    assert encode_payload(payload, max_bytes=size + 1) == f'"{payload}"'
    with pytest.raises(InvalidInput, match=f"has {size} bytes, more than the limit of {size - 1}: store a reference"):
        encode_payload(payload, max_bytes=size - 1)


@pytest.mark.case("F32")
def test_the_default_bound_is_a_mebibyte() -> None:
    assert len(encode_payload("x" * (MAX_PAYLOAD_BYTES - 2))) == MAX_PAYLOAD_BYTES
    with pytest.raises(InvalidInput, match="has 1,048,577 bytes, more than the limit of 1,048,576"):
        encode_payload("x" * (MAX_PAYLOAD_BYTES - 1))
