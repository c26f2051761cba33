from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.errors import InvalidInput
from perflab.lab.workloads.flights import Flight
from perflab.lab.workloads.trace import EventKind, TraceEvent, job_events, trace
from perflab.lab.workloads.workload import Workload, replay

if TYPE_CHECKING:
    from perflab.lab.workloads.flights import FlightData


def test_the_year_ten_thousand_times_as_fast(year_jobs: tuple[TraceEvent, ...]) -> None:
    workload = replay(year_jobs, speed_up=10_000, name="flights-year", description="the jobs of 2013")
    assert len(workload) == 336_776
    assert workload.duration_seconds / 60 == pytest.approx(52.5, abs=0.05)
    assert workload.mean_rate == pytest.approx(107, abs=0.5)
    assert workload.peak_rate(60 / 10_000) == pytest.approx(28 * 10_000 / 60)
    assert workload.description == "the jobs of 2013, replayed 10,000 times as fast as it happened"


@given(speed_up=st.floats(1e-3, 1e6))
def test_offsets_are_the_time_since_the_first_event_over_the_speed_up(speed_up: float) -> None:
    events = _events([0, 0, 1, 7, 90])
    workload = replay(events, speed_up=speed_up, name="w", description="five events")
    assert workload.offsets_seconds == pytest.approx(np.array([0, 0, 60, 420, 5400]) / speed_up)
    assert workload.events == tuple(events)
    assert workload.speed_up == speed_up
    assert workload.mean_rate == pytest.approx(4 / 5400 * speed_up)


def test_each_offset_belongs_to_its_event(week: FlightData) -> None:
    events = trace(week)
    workload = replay(events, speed_up=1_000, name="w", description="the week")
    for event, offset in zip(workload.events, workload.offsets_seconds, strict=True):
        assert offset == pytest.approx((event.at - events[0].at).total_seconds() / 1_000)


@pytest.mark.parametrize("speed_up", [0.0, -1.0, math.nan, math.inf])
def test_a_speed_up_must_be_positive(week: FlightData, speed_up: float) -> None:
    with pytest.raises(InvalidInput, match="speed-up"):
        replay(job_events(week), speed_up=speed_up, name="w", description="the week")


def test_a_replay_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match="one event"):
        replay([], speed_up=1.0, name="w", description="nothing")


def test_a_replay_out_of_order_is_refused() -> None:
    with pytest.raises(InvalidInput, match="sorted"):
        replay(_events([0, 5, 3]), speed_up=1.0, name="w", description="three events")


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ([], "one row"),
        ([[0.0, 1.0]], "one row"),
        ([-1.0, 0.0], "not negative"),
        ([0.0, 2.0, 1.0], "sorted"),
        ([0.0, math.nan], "finite"),
        ([0.0, math.inf], "finite"),
    ],
)
def test_bad_offsets_are_refused(offsets: list[float], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Workload("w", "bad", np.array(offsets))


def test_a_workload_needs_a_name() -> None:
    with pytest.raises(InvalidInput, match="name"):
        Workload("", "nameless", np.array([0.0]))


def test_events_must_match_the_offsets() -> None:
    with pytest.raises(InvalidInput, match="1 events for 2 offsets"):
        Workload("w", "bad", np.array([0.0, 1.0]), events=tuple(_events([0])))


def test_offsets_cannot_be_changed_later() -> None:
    offsets = np.array([0.0, 1.0])
    workload = Workload("w", "two", offsets, seed=7)
    offsets[0] = 0.5
    assert workload.offsets_seconds.tolist() == [0.0, 1.0]
    with pytest.raises(ValueError, match="read-only"):
        workload.offsets_seconds[0] = 0.5


def test_arrivals_at_one_instant_have_an_infinite_mean_rate() -> None:
    assert Workload("w", "herd", np.zeros(3)).mean_rate == math.inf


def _events(minutes: list[int]) -> list[TraceEvent]:
    start = datetime(2013, 6, 6, 12, tzinfo=UTC)
    flight = Flight("k", "UA:EWR-ORD", "UA", 1, None, "EWR", "ORD", 719, 1, start, start, None, None)
    return [TraceEvent(start + timedelta(minutes=m), EventKind.SCHEDULED, flight.watch, flight) for m in minutes]
