"""Many payloads at once are encoded and refused as they are one by one."""

from __future__ import annotations

import math
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.database import plain_payloads
from perflab.database.plain_payloads import encode_all
from perflab.database.values import MAX_INT64, MAX_PAYLOAD_BYTES, encode_payload
from tests.plain import outcome

PLAIN = [
    {"origin": "JFK", "delay": -3, "share": 0.5, "late": True, "tail": None},
    {},
    {"é": "\U0001f6eb"},
    {"n": MAX_INT64},
]
ODD: list[Any] = [
    *({"n": MAX_INT64 + 1}, {"x": math.nan}, {"x": -math.inf}, {"t": "\x00"}, {"t": "\\u0000"}, {"t": "\ud800"}),
    *({1: "a"}, {True: "a"}, {None: 1}, {"a": object()}, {"a": [1, {"b": 2}]}, {"a": b"x"}, {"\x00": 1}),
    *(None, [1], "text", 1, (1, 2), {"t": "x" * MAX_PAYLOAD_BYTES}, {"t": "é" * (MAX_PAYLOAD_BYTES // 3)}),
]


@given(st.lists(st.sampled_from([*PLAIN * 3, *ODD]), min_size=1, max_size=6))
def test_all_are_encoded_as_each_is(payloads: list[Any]) -> None:
    together = outcome(lambda: encode_all(encode_payload, payloads))
    assert together == outcome(lambda: list(map(encode_payload, payloads)))


def test_flat_dictionaries_are_not_looked_at_one_by_one() -> None:
    with patch.object(plain_payloads, "encode_payload", side_effect=AssertionError) as each:
        assert encode_all(each, PLAIN) == list(map(encode_payload, PLAIN))


@pytest.mark.parametrize("odd", [odd for odd in ODD if odd not in ({"t": "\\u0000"}, None)])
def test_one_odd_payload_brings_all_to_the_thorough_way(odd: object) -> None:
    thorough = patch.object(plain_payloads, "encode_payload", side_effect=str)
    with thorough as each:
        assert encode_all(each, [*PLAIN, odd]) == list(map(str, [*PLAIN, odd]))
    assert each.call_count == len(PLAIN) + 1


def test_what_compresses_is_asked_for_each() -> None:
    assert encode_all(lambda payload: f"{len(payload)}".encode(), PLAIN) == [b"5", b"0", b"1", b"1"]
