"""The delay line decides with the time passed in: order, delay, pipelining, jitter, bandwidth."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.lab.network.delay_line import DelayLine, TokenBucket
from perflab.lab.network.link import Link

links = st.builds(
    lambda round_trip, jitter, rate, burst: Link(round_trip, round_trip * jitter, rate, burst),
    st.floats(0, 1),
    st.floats(0, 1),
    st.none() | st.floats(10, 1e6),
    st.integers(0, 1_000),
)
arrivals = st.lists(st.tuples(st.floats(0, 0.5), st.binary(min_size=1, max_size=50)), max_size=30)


@given(links, arrivals, st.integers(0, 1_000))
def test_all_bytes_come_out_in_order_and_none_before_its_time(
    link: Link, arrivals: list[tuple[float, bytes]], seed: int
) -> None:
    line, now, out = DelayLine(link, Random(seed)), 0.0, b""
    least = (link.round_trip_seconds - link.jitter_seconds) / 2
    due_times = []
    for pause, data in arrivals:
        now += pause
        due_times.append(line.push(data, now))
        assert due_times[-1] >= now + least - 1e-9
    assert line.size_bytes == sum(len(data) for _, data in arrivals)
    assert due_times == sorted(due_times)
    while (due := line.next_due) is not None:
        assert line.pop(due - 1e-6 - abs(due) * 1e-9) == b""
        piece = line.pop(due)
        assert piece
        out += piece
    assert out == b"".join(data for _, data in arrivals)
    assert line.size_bytes == 0


@given(st.floats(0, 1), arrivals)
def test_a_delay_is_the_same_for_each_chunk_whatever_is_on_its_way(
    round_trip: float, arrivals: list[tuple[float, bytes]]
) -> None:
    line, now = DelayLine(Link(round_trip), Random(0)), 0.0
    for pause, data in arrivals:
        now += pause
        assert line.push(data, now) == now + round_trip / 2


def test_bytes_that_go_in_together_come_out_together() -> None:
    line = DelayLine(Link(0.2), Random(0))
    for piece in (b"a", b"b", b"c"):
        line.push(piece, 1.0)
    line.push(b"later", 1.05)
    assert line.pop(1.0999) == b""
    assert line.pop(1.1) == b"abc"
    assert line.pop(2.0) == b"later"
    assert line.next_due is None


def test_jitter_spreads_around_the_delay_and_repeats_with_its_seed() -> None:
    link = Link(round_trip_seconds=0.2, jitter_seconds=0.1)
    runs = []
    for seed in (1, 1, 2):
        line = DelayLine(link, Random(seed))
        runs.append([line.push(b"x", float(at)) - at for at in range(1_000)])
    assert runs[0] == runs[1] != runs[2]
    assert 0.05 <= min(runs[0]) < 0.06
    assert 0.14 < max(runs[0]) <= 0.15 + 1e-9
    assert sum(runs[0]) / 1_000 == pytest.approx(0.1, abs=0.005)


def test_bandwidth_makes_each_byte_wait_for_those_before_it() -> None:
    line = DelayLine(Link(round_trip_seconds=0.2, bytes_per_second=100), Random(0))
    assert line.push(b"x" * 10, 0.0) == pytest.approx(0.1 + 0.1)
    assert line.push(b"x" * 10, 0.0) == pytest.approx(0.1 + 0.2)
    assert line.push(b"x" * 10, 5.0) == pytest.approx(5.0 + 0.1 + 0.1)


def test_a_bucket_lets_a_burst_through_and_fills_up_to_its_depth() -> None:
    bucket = TokenBucket(100, 50)
    assert bucket.take(50, 0.0) == 0.0
    assert bucket.take(10, 0.0) == pytest.approx(0.1)
    assert bucket.take(20, 0.3) == 0.0  # 30 tokens came, 10 of them owed
    assert bucket.take(60, 100.0) == pytest.approx(0.1)


@given(
    st.floats(1, 1e6),
    st.integers(0, 1_000),
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 1_000)), min_size=1, max_size=50),
)
def test_a_bucket_never_lets_more_through_than_rate_and_depth(
    rate: float, depth: int, takes: list[tuple[float, int]]
) -> None:
    bucket, now, total = TokenBucket(rate, depth), 0.0, 0
    for pause, size in takes:
        now += pause
        total += size
        assert total <= depth + rate * (now + bucket.take(size, now)) * (1 + 1e-9) + 1e-6
