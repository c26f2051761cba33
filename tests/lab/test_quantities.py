from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.errors import InvalidInput
from perflab.lab.quantities import (
    format_count,
    format_factor,
    format_percent,
    format_rate,
    format_rate_interval,
    format_seconds,
    format_seconds_interval,
    parse_seconds,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (212e-6, "212 µs"),
        (9.1e-6, "9.10 µs"),
        (1e-3, "1.00 ms"),
        (1e-6, "1.00 µs"),
        (1.0, "1.00 s"),
        (0.9996e-3, "1.00 ms"),
        (0.9994e-3, "999 µs"),
        (12.34, "12.3 s"),
        (3600.0, "3,600 s"),
        (5e-10, "0.500 ns"),
        (42e-9, "42.0 ns"),
        (-0.003, "-3.00 ms"),
        (0.0, "0 s"),
        (math.inf, "unbounded"),
    ],
)
def test_seconds_have_a_unit_and_three_digits(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        ((212e-6, 190e-6, 240e-6), "212 µs [190, 240]"),
        ((9.1e-6, 0.0, math.inf), "9.10 µs [0, unbounded]"),
        ((0.9e-3, 0.85e-3, 1.2e-3), "900 µs [850, 1,200]"),
        ((0.0, 0.0, 0.5), "0 s [0, 0.500]"),
        ((1.0, -math.inf, math.inf), "1.00 s [-unbounded, unbounded]"),
    ],
)
def test_bounds_share_the_unit_of_the_value(bounds: tuple[float, float, float], text: str) -> None:
    assert format_seconds_interval(*bounds) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [(109_234.0, "109,000/s"), (12.34, "12.3/s"), (0.0456, "0.0456/s"), (0.0, "0/s"), (math.inf, "unbounded")],
)
def test_rates_have_thousands_and_three_digits(rate: float, text: str) -> None:
    assert format_rate(rate) == text


def test_a_rate_has_bounds() -> None:
    assert format_rate_interval(109_234, 101_499, math.inf) == "109,000/s [101,000, unbounded]"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (23, "23"),
        (1_048_576, "1,048,576"),
        (23.4, "23"),
        (12_345.6, "12,346"),
        (1.0625, "1.06"),
        (9.999, "10"),
        (0, "0"),
        (math.inf, "unbounded"),
    ],
)
def test_counts_are_whole_from_ten_on(count: float, text: str) -> None:
    assert format_count(count) == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0.0523, "5.2%"),
        (0.0005, "0.05%"),
        (0.00996, "1.0%"),
        (0.9996, "100%"),
        (0.9, "90.0%"),
        (19.5, "1,950%"),
        (0.0, "0.0%"),
        (-0.021, "-2.1%"),
        (math.inf, "unbounded"),
    ],
)
def test_percentages_keep_the_digits_that_matter(fraction: float, text: str) -> None:
    assert format_percent(fraction) == text


def test_a_signed_percentage_shows_a_plus() -> None:
    assert format_percent(0.05, signed=True) == "+5.0%"
    assert format_percent(-0.05, signed=True) == "-5.0%"


@pytest.mark.parametrize(
    ("factor", "text"),
    [(1.0031, "1.003"), (12.345, "12.3"), (0.05, "0.0500"), (9.9996, "10.0"), (0.0, "0"), (math.inf, "unbounded")],
)
def test_factors_near_one_keep_three_decimals(factor: float, text: str) -> None:
    assert format_factor(factor) == text


@given(st.floats(1e-9, 1e6))
def test_a_reader_gets_the_value_back_to_three_digits(seconds: float) -> None:
    number, unit = format_seconds(seconds).split(" ")
    scale = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}[unit]

    assert float(number.replace(",", "")) * scale == pytest.approx(seconds, rel=0.0051)


@pytest.mark.parametrize("formatter", [format_seconds, format_rate, format_count, format_percent, format_factor])
def test_nan_is_not_printed(formatter: Callable[[float], str]) -> None:
    with pytest.raises(InvalidInput, match="NaN is not a quantity"):
        formatter(math.nan)


@pytest.mark.parametrize(
    ("text", "seconds"), [("20ms", 0.020), ("0.5 s", 0.5), ("300us", 300e-6), ("300µs", 300e-6), (".5s", 0.5)]
)
def test_a_time_is_read_with_its_unit(text: str, seconds: float) -> None:
    assert parse_seconds(text, "--slo") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "20", "ms", "20 m", "-1s", "0s", "1e400s", "nan s", "1s2s"])
def test_a_time_without_sense_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"--slo is .*: give a time with its unit, such as 20ms or"):
        parse_seconds(text, "--slo")
