"""What will be due soon, told without touching it."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from perflab.errors import InvalidInput
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import Watch

NEW_YEAR = datetime(2013, 1, 1, tzinfo=UTC)


def names_due(scheduler: Scheduler, within: float = 0.0, **options: Any) -> list[str]:
    return [status.watch.name for status in scheduler.due_soon(within, **options)]


@pytest.fixture
def watched(scheduler: Scheduler) -> Scheduler:
    scheduler.add_watches_bulk(
        [
            Watch("in 20 s", 60.0, start_at=NEW_YEAR + timedelta(seconds=20), payload={"origin": "JFK"}),
            Watch("now", 60.0),
            Watch("in an hour", 60.0, start_at=NEW_YEAR + timedelta(hours=1)),
            Watch("at half past", cron="30 * * * *"),
            Watch("paused", 60.0, enabled=False),
            Watch("missed", 60.0, start_at=NEW_YEAR - timedelta(hours=1)),
        ]
    )
    return scheduler


def test_the_watches_within_so_many_seconds_in_the_order_of_their_slots(watched: Scheduler) -> None:
    assert names_due(watched) == ["missed", "now"]
    assert names_due(watched, 20.0) == ["missed", "now", "in 20 s"]
    assert names_due(watched, 19.999_999) == ["missed", "now"]
    assert names_due(watched, 1_800.0) == ["missed", "now", "in 20 s", "at half past"]
    assert names_due(watched, 1e9) == ["missed", "now", "in 20 s", "at half past", "in an hour"]
    assert names_due(watched, 1e9, limit=2) == ["missed", "now"]


def test_they_come_with_all_that_is_known_and_a_tick_moves_them_on(watched: Scheduler, clock: SimpleNamespace) -> None:
    found = watched.due_soon(20.0)[-1]
    assert found == watched.watches(["in 20 s"])["in 20 s"]
    assert found.watch.payload == {"origin": "JFK"}
    assert names_due(watched) == ["missed", "now"]  # looking has moved nothing

    watched.tick()

    assert names_due(watched) == []
    clock.now += timedelta(seconds=20)
    assert names_due(watched) == ["in 20 s"]


@pytest.mark.parametrize(
    "arguments", [{"within": -1.0}, {"within": math.nan}, {"within": math.inf}, {"limit": 0}, {"limit": 1.5}]
)
def test_a_bad_argument_is_refused(scheduler: Scheduler, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        scheduler.due_soon(**arguments)
