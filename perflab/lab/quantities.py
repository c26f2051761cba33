"""Measured quantities as people read them: three significant digits, a unit, and "unbounded" for infinity."""

from __future__ import annotations

import math
import re

from perflab.errors import InvalidInput

UNBOUNDED = "unbounded"

_SECONDS_PER_UNIT = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
_TIME = re.compile(r"(?P<number>\d+\.?\d*|\.\d+) ?(?P<unit>s|ms|us|µs)")


def format_seconds(seconds: float) -> str:
    """A time in the largest unit that gives at least one: `"212 µs"`, `"1.50 s"`.

    Raises:
        InvalidInput: The value is NaN. The same holds for every function here.
    """
    if math.isinf(seconds) or seconds == 0:
        return _digits(seconds) if seconds else "0 s"
    unit = _unit_of(seconds)
    return f"{_digits(seconds / _SECONDS_PER_UNIT[unit])} {unit}"


def format_seconds_interval(seconds: float, low: float, high: float) -> str:
    """A time with its bounds in the same unit: `"212 µs [190, 240]"`."""
    per_unit = _SECONDS_PER_UNIT[_unit_of(seconds)] if seconds and math.isfinite(seconds) else 1.0
    return f"{format_seconds(seconds)} [{_digits(low / per_unit)}, {_digits(high / per_unit)}]"


def format_rate(per_second: float) -> str:
    """A rate per second: `"109,000/s"`."""
    return f"{_digits(per_second)}/s" if math.isfinite(per_second) else _digits(per_second)


def format_rate_interval(per_second: float, low: float, high: float) -> str:
    """A rate with its bounds: `"109,000/s [101,000, 115,000]"`."""
    return f"{format_rate(per_second)} [{_digits(low)}, {_digits(high)}]"


def format_count(count: float) -> str:
    """A number of things: whole (`"1,048,576"`), but to three digits below ten (`"1.06"`) where it is not."""
    if math.isinf(_number(count)) or (abs(count) < 9.995 and count != int(count)):
        return _digits(count)
    return f"{round(count):,}"


def format_percent(fraction: float, *, signed: bool = False) -> str:
    """A fraction as per cent: `0.0523` is `"5.2%"`; small ones keep two digits (`"0.05%"`)."""
    percent = _number(fraction * 100)
    if math.isinf(percent):
        return _digits(percent)
    magnitude = abs(percent)
    decimals = 0 if magnitude >= 99.95 else 1 if magnitude >= 0.995 or magnitude == 0 else 2
    text = f"{percent:{'+' if signed else ''},.{decimals}f}"
    return f"{text}%"


def format_factor(factor: float) -> str:
    """A ratio: three decimals near one (`"1.003"`), three significant digits from ten on (`"12.3"`)."""
    if abs(factor) < 9.9995 and factor != 0:
        return f"{_number(factor):.3f}" if abs(factor) >= 0.1 else _digits(factor)
    return _digits(factor)


def _number(value: float) -> float:
    if math.isnan(value):
        raise InvalidInput(
            "NaN is not a quantity: it means that a measurement is missing. Find out why, or leave it out."
        )
    return value


def _digits(value: float) -> str:
    """Three significant digits, never in exponent form, thousands separated; infinity is `UNBOUNDED`."""
    if math.isinf(_number(value)):
        return UNBOUNDED if value > 0 else f"-{UNBOUNDED}"
    if value == 0:
        return "0"
    # through the exponent form, so that 999.7 counts as 1,000 before its decimals are chosen
    rounded = float(f"{value:.2e}")
    decimals = max(0, 2 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}"


def _unit_of(seconds: float) -> str:
    rounded = abs(float(f"{_number(seconds):.2e}"))
    return next((unit for unit, size in _SECONDS_PER_UNIT.items() if rounded >= size), "ns")


def parse_seconds(text: str, what: str) -> float:
    """A time that a user wrote with its unit: `"20ms"`, `"0.5 s"`, `"300us"`.

    Args:
        text: what was written.
        what: its name in an error.

    Raises:
        InvalidInput: it is no number above zero with one of these units.
    """
    found = _TIME.fullmatch(text.strip())
    seconds = float(found["number"]) * _SECONDS_PER_UNIT[found["unit"].replace("us", "µs")] if found else 0.0
    if not 0 < seconds < math.inf:
        raise InvalidInput(f"{what} is {text!r}: give a time with its unit, such as 20ms or 0.5s")
    return seconds
