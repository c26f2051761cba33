from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.lab.report.parameter_types import PARAMETER_TYPES

texts = st.text(st.characters(exclude_categories=["Cs"]))
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(st.integers())
def test_whole_numbers_survive_the_command_line(value: int) -> None:
    assert PARAMETER_TYPES["int"].convert(str(value)) == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_survive_the_command_line(value: float) -> None:
    assert PARAMETER_TYPES["float"].convert(repr(value)) == value


@pytest.mark.case("F41")
@given(texts)
def test_text_arrives_as_it_is(value: str) -> None:
    assert PARAMETER_TYPES["str"].convert(value) == value
    assert PARAMETER_TYPES["Optional[str]"].convert(value) == value


@given(st.lists(plain, max_size=4))
def test_lists_survive_as_json(value: list[object]) -> None:
    assert PARAMETER_TYPES["list"].convert(json.dumps(value)) == value


@given(st.dictionaries(texts, plain, max_size=4))
def test_dicts_survive_as_json(value: dict[str, object]) -> None:
    assert PARAMETER_TYPES["dict"].convert(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("Yes", True), ("1", True), ("false", False), ("NO", False), (" 0 ", False)],
)
def test_truth_values_have_six_words(text: str, value: bool) -> None:
    assert PARAMETER_TYPES["bool"].convert(text) is value


@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("int", "five"),
        ("int", "1.0"),
        ("int", "1e3"),
        ("int", ""),
        ("int", "9" * 5000),
        ("int", 1.0),
        ("int", True),
        ("float", "nan"),
        ("float", "inf"),
        ("float", "-Infinity"),
        ("float", "1e999"),
        ("float", 10**400),
        ("float", False),
        ("float", math.nan),
        ("bool", "on"),
        ("bool", "2"),
        ("bool", 1),
        ("str", 5),
        ("str", None),
        ("str", "bad \udcff byte"),
        ("Optional[str]", 5),
        ("list", "1,2,3"),
        ("list", '{"a": 1}'),
        ("list", "[NaN]"),
        ("list", "[1e999]"),
        ("list", "__import__('os').getcwd()"),
        ("list", "[" * 100_000),
        ("list", (1, 2)),
        ("list", [object()]),
        ("dict", "[]"),
        ("dict", {1: "a"}),
        ("dict", {"a": [math.inf]}),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(type_name: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"such as|true or false|text") as caught:
        PARAMETER_TYPES[type_name].convert(value)
    assert str(caught.value) == PARAMETER_TYPES[type_name].wanted


def test_none_is_an_optional_text() -> None:
    assert PARAMETER_TYPES["Optional[str]"].convert(None) is None
