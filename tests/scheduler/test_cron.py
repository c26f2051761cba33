from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.database.values import from_microseconds, to_microseconds
from perflab.errors import InvalidInput
from perflab.scheduler.cron import find_timezone, next_slot
from perflab.scheduler.cron_slots import CronExpression, KnownCrons, cron_slots

HOUR = 3_600_000_000
# Clocks change by an hour at 2:00, by an hour at midnight (until 2019), by half an hour, and not at all.
ZONES = ("America/New_York", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kolkata")
FIRST, LAST = datetime(2013, 1, 1, tzinfo=UTC), datetime(2019, 12, 31, tzinfo=UTC)

minutes, hours = st.integers(0, 59), st.integers(0, 23)
moments = st.datetimes(FIRST.replace(tzinfo=None), LAST.replace(tzinfo=None), timezones=st.just(UTC))


def slots(expression: str, zone: str, after: datetime, count: int) -> list[datetime]:
    found = []
    moment = to_microseconds(after, "after")
    for _ in range(count):
        moment = next_slot(expression, find_timezone(zone), moment)
        found.append(from_microseconds(moment))
    return found


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        ("*/15 * * * *", "UTC", "2013-01-01T00:00:00", "2013-01-01T00:15:00"),
        ("*/15 * * * *", "UTC", "2013-01-01T00:14:59.999999", "2013-01-01T00:15:00"),
        ("0 0 29 2 *", "UTC", "2013-01-01T00:00:00", "2016-02-29T00:00:00"),
        ("0 12 * * MON", "UTC", "2013-01-01T00:00:00", "2013-01-07T12:00:00"),
        ("30 2 * * *", "America/New_York", "2013-03-09T07:30:00", "2013-03-10T07:00:00"),  # 3:00, for 2:30 is skipped
        ("30 2 * * *", "America/New_York", "2013-03-10T07:00:00", "2013-03-11T06:30:00"),
        ("30 1 * * *", "America/New_York", "2013-11-02T05:30:00", "2013-11-03T05:30:00"),  # the first of two 1:30s
        ("30 1 * * *", "America/New_York", "2013-11-03T05:30:00", "2013-11-04T06:30:00"),
        ("30 1 * * *", "America/New_York", "2013-11-03T06:29:00", "2013-11-04T06:30:00"),  # before the second 1:30
        ("30 * * * *", "America/New_York", "2013-11-03T05:30:00", "2013-11-03T06:30:00"),
    ],
)
def test_next_slot(expression: str, zone: str, after: str, expected: str) -> None:
    start = datetime.fromisoformat(after).replace(tzinfo=UTC)
    assert slots(expression, zone, start, 1) == [datetime.fromisoformat(expected).replace(tzinfo=UTC)]


@pytest.mark.case("F37")
@settings(max_examples=50)
@given(minutes, hours, st.sampled_from(ZONES), moments)
def test_a_daily_job_runs_once_on_each_day_whatever_the_clocks_do(
    minute: int, hour: int, zone: str, after: datetime
) -> None:
    found = slots(f"{minute} {hour} * * *", zone, after, 370)

    days = [slot.astimezone(find_timezone(zone)).date() for slot in found]
    assert days == [days[0] + timedelta(days=n) for n in range(370)]


@pytest.mark.case("F37")
@given(minutes, st.sampled_from(("America/New_York", "America/Sao_Paulo", "Asia/Kolkata")), moments)
def test_an_hourly_job_runs_once_in_each_hour_that_passes(minute: int, zone: str, after: datetime) -> None:
    found = slots(f"{minute} * * * *", zone, after, 200)
    assert {later - earlier for earlier, later in pairwise(found)} == {timedelta(hours=1)}


@given(st.data())
def test_the_next_slot_is_the_same_from_every_moment_before_it(data: st.DataObject) -> None:
    """Also from inside the hours that come twice, where the wall clock alone does not say which one it is."""
    minute = data.draw(st.sets(minutes, min_size=1, max_size=3))
    hour = data.draw(st.sets(st.integers(0, 4), min_size=1, max_size=3))
    expression = f"{','.join(map(str, minute))} {','.join(map(str, hour))} * * *"
    name, day = data.draw(
        st.sampled_from(
            [("America/New_York", "2013-11-03"), ("Australia/Lord_Howe", "2013-04-06T12"), ("UTC", "2013-05-05")]
        )
    )
    start = to_microseconds(datetime.fromisoformat(day).replace(tzinfo=UTC), "start") - 2 * HOUR
    zone = find_timezone(name)
    known = [next_slot(expression, zone, start)]
    while known[-1] <= start + 14 * HOUR:
        known.append(next_slot(expression, zone, known[-1]))

    after = data.draw(st.integers(start, start + 14 * HOUR))

    assert next_slot(expression, zone, after) == known[bisect_right(known, after)]


@given(
    st.sets(minutes, min_size=1, max_size=5),
    st.sets(hours, min_size=1, max_size=5),
    st.sets(st.integers(0, 6), min_size=1, max_size=3),
    moments,
)
def test_a_slot_is_the_first_minute_that_matches(
    minute: set[int], hour: set[int], weekday: set[int], after: datetime
) -> None:
    expression = f"{','.join(map(str, minute))} {','.join(map(str, hour))} * * {','.join(map(str, weekday))}"
    expected = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
    while not (expected.minute in minute and expected.hour in hour and expected.isoweekday() % 7 in weekday):
        expected += timedelta(minutes=1)

    assert slots(expression, "UTC", after, 1) == [expected]


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "* * * *",
        "0 30 2 * * *",
        "@daily",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "*/0 * * * *",
        "5-1 * * * *",
        "a * * * *",
        "0 0 31 2 *",
        "* * * * \x00",
        "1, * * * *" + "," * 200,
        7,
        None,
    ],
)
def test_a_bad_expression_is_refused(expression: str) -> None:
    with pytest.raises(InvalidInput, match="cron expression"):
        next_slot(expression, UTC, 0)


@given(st.text("0123456789*/,-#LW SUNJA\t", max_size=30) | st.text(max_size=30))
def test_any_text_is_refused_or_has_a_later_slot(expression: str) -> None:
    try:
        slot = next_slot(expression, UTC, 1)
    except InvalidInput:
        return
    assert slot > 1


def test_an_expression_that_runs_out_of_years_is_refused() -> None:
    after = to_microseconds(datetime(9999, 12, 31, 23, 59, tzinfo=UTC), "after")
    with pytest.raises(InvalidInput, match="has no slot"):
        next_slot("0 0 * * *", UTC, after)


@pytest.mark.parametrize(
    "name", ["", "Mars/Olympus", "America", "../etc/passwd", "/etc/passwd", "A\x00", "\ud800", "x" * 999, 1, None]
)
def test_a_bad_time_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="time zone"):
        find_timezone(name)


def test_utc_needs_no_zone_files(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_files(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr("perflab.scheduler.cron.ZoneInfo", no_files)
    assert find_timezone("UTC") is UTC


# -- what a tick brings along ------------------------------------------------------------------------------------------


@given(st.data())
def test_recent_slots_are_the_last_ones_of_the_walk(data: st.DataObject) -> None:
    """Also on the nights when clocks change, and of expressions with few slots."""
    cron = data.draw(st.sampled_from(["* * * * *", "*/7 1-3 * * *", "30 2 * * *", "30 1 * * *", "0 0 1 1 *"]))
    zone, day = data.draw(
        st.sampled_from([("America/New_York", "2013-03-10T08"), ("America/New_York", "2013-11-03T08")])
    )
    now = to_microseconds(datetime.fromisoformat(day).replace(tzinfo=UTC), "now") + data.draw(st.integers(-HOUR, HOUR))
    count = data.draw(st.integers(1, 20))
    walked = []
    slot = next_slot(cron, find_timezone(zone), now - 24 * HOUR)
    while slot <= now:
        walked.append(slot)
        slot = next_slot(cron, find_timezone(zone), slot)

    found = cron_slots(CronExpression(cron, zone), count, now)

    assert found.next_slot == slot
    assert len(found.recent) == count
    assert list(found.recent)[: len(walked)] == walked[::-1][:count]
    assert list(found.recent) == sorted(set(found.recent), reverse=True)


def test_an_expression_without_past_slots() -> None:
    found = cron_slots(CronExpression("0 0 29 2 *", "UTC"), 3, to_microseconds(datetime(1971, 1, 1, tzinfo=UTC), "now"))
    assert found.recent == ()
    assert found.next_slot == to_microseconds(datetime(1972, 2, 29, tzinfo=UTC), "slot")


@given(st.lists(st.integers(-2 * HOUR, 3 * HOUR), min_size=1, max_size=12), st.integers(1, 5), st.randoms())
def test_known_crons_tell_what_a_fresh_look_tells(steps: list[int], depth: int, rng: Random) -> None:
    """Whatever the clock does, and whichever ticks fail."""
    known = KnownCrons()
    expressions = [CronExpression(cron, "America/New_York") for cron in ("*/20 * * * *", "30 1 * * *", "5 * * * *")]
    known.ask_for([(*expression, depth) for expression in expressions])
    now = to_microseconds(datetime(2013, 11, 3, tzinfo=UTC), "now")
    told = dict.fromkeys(expressions, now - 1)  # until when each has been told of
    for step in steps:
        now += step
        brought = known.for_tick(now)
        assert brought == [cron_slots(slots.expression, depth, now) for slots in brought]
        came = {expression for expression, until in told.items() if next_slot(*_split(expression), until) <= now}
        assert came <= {slots.expression for slots in brought}
        if rng.random() < 0.7:
            known.ticked(brought)
            told.update((slots.expression, now) for slots in brought)


def _split(expression: CronExpression) -> tuple[str, tzinfo]:
    return expression.cron, find_timezone(expression.timezone)


def test_known_crons_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perflab.scheduler.cron_slots.MOST_KNOWN", 3)
    known = KnownCrons()
    known.ask_for([(f"{minute} * * * *", "UTC", 1) for minute in range(5)])
    assert [slots.expression.cron for slots in known.for_tick(HOUR)] == ["2 * * * *", "3 * * * *", "4 * * * *"]


def test_a_larger_depth_that_is_asked_for_during_a_tick_is_kept() -> None:
    known = KnownCrons()
    known.ask_for([("* * * * *", "UTC", 1)])
    brought = known.for_tick(HOUR)
    known.ask_for([("* * * * *", "UTC", 4)])
    known.ticked(brought)
    assert [slots.depth for slots in known.for_tick(HOUR)] == [4]
