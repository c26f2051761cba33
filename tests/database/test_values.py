"""Checks of single values: the same answer on every engine, before anything is sent."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import Enum, IntEnum, StrEnum
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.database.values import (
    MAX_INT64,
    MIN_INT64,
    approximate_bytes,
    check_identifier,
    check_integer,
    check_number,
    check_text,
    check_value,
    from_microseconds,
    storable,
    to_microseconds,
)
from perflab.errors import InvalidInput

HUGE = 10**5_000
"""More digits than Python turns into text."""
HUGE_PARAMETERS = (pytest.param(HUGE, id="huge"), pytest.param(-HUGE, id="-huge"))


def refused(check: Callable[..., Any], value: Any, **bounds: Any) -> str:
    """The message with which a value is refused."""
    with pytest.raises(InvalidInput) as caught:
        check(value, "the field", **bounds)
    message = str(caught.value)
    assert message.startswith("the field ")
    return message


# -- numbers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [MIN_INT64, -1, 0, 1, MAX_INT64])
def test_integers_of_64_bits_are_taken(value: int) -> None:
    assert check_integer(value, "n") == value
    assert check_value(value, "n") == value


@pytest.mark.case("F29")
@pytest.mark.parametrize("value", [MIN_INT64 - 1, MAX_INT64 + 1, *HUGE_PARAMETERS])
def test_integers_beyond_64_bits_are_refused(value: int) -> None:
    assert f"must lie between {MIN_INT64} and {MAX_INT64}" in refused(check_integer, value)
    assert "must lie between" in refused(check_value, value)
    assert not storable(value)


def test_a_long_integer_is_shown_by_its_length() -> None:
    assert "an integer of 16,610 bits" in refused(check_integer, HUGE)


@pytest.mark.case("F29")
@pytest.mark.parametrize("value", [True, 1.0, "1", None, np.int64(1)])
def test_what_is_no_integer_is_refused(value: Any) -> None:
    assert "give an integer" in refused(check_integer, value)


def test_integers_have_bounds() -> None:
    assert check_integer(5, "n", low=5, high=5) == 5
    assert "is 4: it must lie between 5 and 6" in refused(check_integer, 4, low=5, high=6)
    assert "is 7: " in refused(check_integer, 7, low=5, high=6)


@pytest.mark.parametrize("value", [0, 0.0, 5, 1e-300, 1e300, np.float64(2.5)])
def test_numbers_are_taken(value: float) -> None:
    assert check_number(value, "n") == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1, -1e-300, *HUGE_PARAMETERS, np.float64("nan")])
def test_numbers_that_are_negative_or_not_finite_are_refused(value: float) -> None:
    assert "it must be a finite number, at least 0" in refused(check_number, value)


@pytest.mark.parametrize("value", [True, "1", None, 1j])
def test_what_is_no_number_is_refused(value: Any) -> None:
    assert "give a number" in refused(check_number, value)


def test_numbers_have_bounds() -> None:
    assert check_number(1.0, "n", low=1.0, high=1.0) == 1.0
    assert "at least 1 and at most 2" in refused(check_number, 2.1, low=1.0, high=2.0)
    assert "greater than 0 and at most 2" in refused(check_number, 0, high=2.0, above_low=True)
    assert check_number(1e-9, "n", above_low=True) == 1e-9


# -- text --------------------------------------------------------------------------------------------------------------


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_text_that_is_taken_goes_through_sqlite_unchanged(text: str) -> None:
    assert check_text(text, "t") == text
    assert storable(text)
    with sqlite3.connect(":memory:") as connection:
        assert connection.execute("SELECT ?1, length(?1)", (text,)).fetchone() == (text, len(text))
    connection.close()


@pytest.mark.case("F26", "F27")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\0b", "holds a NUL character at position 1: remove it"),
        ("\0", "at position 0"),
        ("é\0", "at position 1"),
        ("ab\ud800", r"holds a lone surrogate ('\ud800' at position 2)"),
        ("\udfff€", "at position 0"),
    ],
)
def test_text_that_an_engine_cannot_hold_is_refused(text: str, message: str) -> None:
    assert message in refused(check_text, text)
    assert message in refused(check_value, text)
    assert not storable(text)


class PlainText(str, Enum):  # noqa: UP042  # the older way is the point: str() of it is not its content
    NUL = "a\0"
    GOOD = "good"


class Text(StrEnum):
    NUL = "a\0"


class Number(IntEnum):
    GOOD = 1
    HUGE = 2**63


@pytest.mark.parametrize(
    "value", [PlainText.NUL, Text.NUL, Number.HUGE, np.str_("\ud800"), np.float64("nan"), np.float64("inf")]
)
def test_subclasses_are_checked_like_what_they_hold(value: Any) -> None:
    assert not storable(value)
    refused(check_value, value)


@pytest.mark.parametrize(
    "value",
    [None, True, b"\0", 1.5, "text", PlainText.GOOD, Number.GOOD, np.float64(1.5), datetime(2026, 1, 1, tzinfo=UTC)],
)
def test_other_values_are_left_to_the_driver(value: Any) -> None:
    assert storable(value)
    assert check_value(value, "v") is value


@pytest.mark.case("F28")
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_floats_that_engines_disagree_on_are_refused(value: float) -> None:
    assert "engines disagree on it; store None and the reason instead" in refused(check_value, value)


@pytest.mark.case("F35")
@pytest.mark.parametrize("name", ["a", "_", "ingest_2", "a" * 41])
def test_identifiers(name: str) -> None:
    assert check_identifier(name, "name") == name


@pytest.mark.case("F35")
@pytest.mark.parametrize(
    "name", ["", "A", "2a", "a-b", "a b", "a" * 42, "ä", "a\n", "a\0", 'a"; DROP TABLE x; --', None, 5, b"a"]
)
def test_what_is_no_identifier_is_refused(name: Any) -> None:
    assert "use 1 to 41 lower-case letters, digits and underscores" in refused(check_identifier, name)


# -- time --------------------------------------------------------------------------------------------------------------


@given(st.datetimes(timezones=st.timezones()), st.integers(-23, 23))
def test_a_moment_is_kept_to_the_microsecond(moment: datetime, offset_hours: int) -> None:
    shifted = moment.astimezone(UTC) if moment.year > 2 and moment.year < 9998 else datetime(2026, 1, 1, tzinfo=UTC)
    other = shifted.astimezone(timezone(timedelta(hours=offset_hours)))
    microseconds = to_microseconds(other, "t")
    assert from_microseconds(microseconds) == shifted
    assert to_microseconds(shifted, "t") == microseconds


def test_the_epoch_and_its_neighbours() -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert to_microseconds(epoch, "t") == 0
    assert to_microseconds(epoch - timedelta(microseconds=1), "t") == -1
    assert from_microseconds(1_000_000) == epoch + timedelta(seconds=1)


class Nowhere(tzinfo):
    """A time zone that does not say its offset."""

    def utcoffset(self, moment: datetime | None) -> None:
        return None

    dst = utcoffset

    def tzname(self, moment: datetime | None) -> str:
        return "nowhere"


@pytest.mark.parametrize("moment", [datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=Nowhere())])  # noqa: DTZ001
def test_a_moment_without_a_time_zone_is_refused(moment: datetime) -> None:
    assert "which has no time zone: give an aware datetime" in refused(to_microseconds, moment)


@pytest.mark.parametrize("moment", [None, 0, "2026-01-01", datetime(2026, 1, 1, tzinfo=UTC).date()])
def test_what_is_no_moment_is_refused(moment: Any) -> None:
    assert "give an aware datetime" in refused(to_microseconds, moment)


# -- sizes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "size_bytes"),
    [
        ("abc", 3),
        (b"abcd", 4),
        (5, 8),
        (None, 8),
        ({"ab": "abc"}, 5),
        ({"id": 1, "name": "x" * 100}, 114),
        (["abc", {"k": [1, 2]}], 20),
        (("ab", "cd"), 4),
        ({}, 0),
    ],
)
def test_sizes_are_about_those_of_what_is_sent(value: Any, size_bytes: int) -> None:
    assert approximate_bytes(value) == size_bytes
