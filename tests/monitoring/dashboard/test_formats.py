"""Numbers as people read them at a glance."""

from __future__ import annotations

from math import inf, nan

import pytest

from perflab.monitoring.dashboard import formats


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, formats.NOTHING),
        (nan, formats.NOTHING),
        (inf, formats.NOTHING),
        (0.0, "0"),
        (7, "7"),
        (0.25, "0.25"),
        (12.345, "12.3"),
        (612.4, "612"),
        (9_999, "9,999"),
        (98_812, "98.81 k"),
        (1_234_567, "1.235 M"),
        (-59_780, "-59.78 k"),
        (3e15, "3.00e+15"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert formats.number(value).replace("\N{NARROW NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, formats.NOTHING),
        (nan, formats.NOTHING),
        (0.0, "0 s"),
        (-1.0, "0 s"),
        (0.000_000_4, "0.4 µs"),
        (0.0042, "4.2 ms"),
        (1.5, "1.5 s"),
        (90.0, "1.5 min"),
        (9_000.0, "2.5 h"),
        (259_200.0, "3 d"),
    ],
)
def test_seconds(value: float | None, text: str) -> None:
    assert formats.seconds(value).replace("\N{NARROW NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, formats.NOTHING), (0.9718, "97.2 %"), (1.0, "100.0 %"), (0.0, "0.0 %")]
)
def test_shares(value: float | None, text: str) -> None:
    assert formats.share(value).replace("\N{NARROW NO-BREAK SPACE}", " ") == text
