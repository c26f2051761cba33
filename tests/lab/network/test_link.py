"""Links: what is refused, and what follows from the settings."""

from __future__ import annotations

import math
from typing import Any

import pytest

from perflab.errors import InvalidInput
from perflab.lab.network.link import MAX_BYTES_ON_THE_LINE, Link


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"round_trip_seconds": -0.001}, "round_trip_seconds is -0.001"),
        ({"round_trip_seconds": math.nan}, "round_trip_seconds is nan"),
        ({"round_trip_seconds": math.inf}, "round_trip_seconds is inf"),
        ({"round_trip_seconds": 61.0}, "at most 60"),
        ({"round_trip_seconds": "1 ms"}, "give a number"),
        ({"round_trip_seconds": 1.0, "jitter_seconds": -0.1}, "jitter_seconds is -0.1"),
        ({"round_trip_seconds": 0.001, "jitter_seconds": 0.002}, "must not exceed the round trip"),
        ({"bytes_per_second": 0.0}, "bytes_per_second is 0.0"),
        ({"bytes_per_second": math.nan}, "bytes_per_second is nan"),
        ({"burst_bytes": -1}, "burst_bytes is -1"),
        ({"burst_bytes": 1.5}, "give an integer"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_a_bad_setting_is_refused_by_name(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        Link(**settings)


def test_only_a_link_that_adds_nothing_is_transparent() -> None:
    assert Link().is_transparent
    assert not Link(round_trip_seconds=0.001).is_transparent
    assert not Link(bytes_per_second=1e6).is_transparent


def test_a_slow_link_moves_small_pieces_and_holds_few_bytes() -> None:
    fast, slow, slowest = Link(), Link(bytes_per_second=1e6), Link(bytes_per_second=1_000)
    assert slowest.read_bytes < slow.read_bytes < fast.read_bytes
    assert slow.capacity_bytes < fast.capacity_bytes == MAX_BYTES_ON_THE_LINE
    assert slow.capacity_bytes >= slow.read_bytes


def test_the_expected_round_trip_counts_the_bytes_beyond_the_burst_both_ways() -> None:
    assert Link(round_trip_seconds=0.002).expected_round_trip_seconds(1_000) == 0.002
    link = Link(round_trip_seconds=0.002, bytes_per_second=10_000, burst_bytes=400)
    assert link.expected_round_trip_seconds(1_000) == pytest.approx(0.002 + 2 * 0.06)
    assert link.expected_round_trip_seconds(100) == 0.002
