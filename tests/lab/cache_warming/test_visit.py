"""What is known before: what each arm must come to, on both engines."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from perflab.cache.row_cache import RowCache
from perflab.database.database import Database
from perflab.errors import InvalidInput, WrongAnswer
from perflab.lab.cache_warming.board import Board
from perflab.lab.cache_warming.plan import Arm, WarmingPlan, warming_plan
from perflab.lab.cache_warming.visit import Change, VisitReading, measure_visit
from tests.lab.cache_warming.conftest import MONDAY_TEN

PLAN = WarmingPlan("sqlite", blocks=1, hours=1, ttl_seconds=600.0, changes=10)


def visit(database: Database, board: Board, arm: Arm, plan: WarmingPlan = PLAN) -> VisitReading:
    return measure_visit(plan, database, board, MONDAY_TEN, arm, block=0, position=0)


def total(reading: VisitReading, what: str) -> int:
    return sum(getattr(tick, what) for tick in reading.ticks)


def test_cold_each_job_waits_for_one_round_trip(board_database: Database, board: Board) -> None:
    reading = visit(board_database, board, Arm.COLD)
    jobs = sum(len(tick.job_seconds) for tick in reading.ticks)
    assert jobs == 4 * len(board.watches(MONDAY_TEN))
    assert total(reading, "read_round_trips") == jobs  # its own flights are gone after ten minutes
    assert 0 < total(reading, "hits") < total(reading, "asked") / 2  # of the airports
    assert total(reading, "warm_round_trips") == total(reading, "outdated") == 0


def test_predicted_no_job_waits_for_any(board_database: Database, board: Board) -> None:
    reading = visit(board_database, board, Arm.PREDICTED)
    assert total(reading, "hits") == total(reading, "asked") > 0
    assert total(reading, "read_round_trips") == 0
    assert 20 <= total(reading, "warm_round_trips") <= 40  # a question and a page for each tick
    assert total(reading, "outdated") > 0
    assert reading.metrics.precision > 0.9


def test_warmed_once_it_is_as_predicted_first_and_as_cold_later(board_database: Database, board: Board) -> None:
    reading = visit(board_database, board, Arm.WARMED)
    early = [tick for tick in reading.ticks if tick.minute < 9]
    late = [tick for tick in reading.ticks if tick.minute >= 15]
    assert all(tick.read_round_trips == 0 for tick in early)
    assert all(tick.read_round_trips == len(tick.job_seconds) for tick in late)
    assert [tick.warm_round_trips > 0 for tick in reading.ticks] == [True] + [False] * 19


def test_all_arms_ask_for_the_same_and_a_seed_decides_what_changes(board_database: Database, board: Board) -> None:
    first = visit(board_database, board, Arm.PREDICTED)
    with board_database.driver_transaction() as connection:
        connection.execute("DELETE FROM perflab_watches")
        connection.execute("UPDATE board SET version = 0")
    again = visit(board_database, board, Arm.PREDICTED)
    assert [tick.asked for tick in first.ticks] == [tick.asked for tick in again.ticks]
    assert [tick.outdated for tick in first.ticks] == [tick.outdated for tick in again.ticks]


def test_rows_of_another_key_are_a_wrong_answer(
    board_database: Database, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    get_many = RowCache.get_many

    def mixed_up(cache: RowCache, keys: Iterable[Any]) -> list[Any]:
        return get_many(cache, keys)[::-1]

    monkeypatch.setattr(RowCache, "get_many", mixed_up)
    with pytest.raises(WrongAnswer, match="asked for"):
        visit(board_database, board, Arm.COLD)


def test_a_row_that_outlives_its_life_is_a_wrong_answer(board_database: Database, board: Board) -> None:
    change = Change(board, 1, Random(1))
    change.happen(board_database, MONDAY_TEN)
    ((key, version),) = change.versions.items()
    assert version == 1
    later = MONDAY_TEN + timedelta(seconds=600)
    assert change.is_outdated(key, 1, later, 600.0) is False
    assert change.is_outdated(key, 0, later, 600.0) is True
    with pytest.raises(WrongAnswer, match="replaced 600 s before"):
        change.is_outdated(key, 0, later, 599.0)


@pytest.mark.parametrize(
    "arguments",
    [{"engine": "mysql"}, {"blocks": 0}, {"hours": 13}, {"ttl_seconds": 179.0}, {"changes": 201}],
)
def test_a_bad_plan_is_refused(arguments: dict[str, Any]) -> None:
    stated: dict[str, Any] = {"engine": "sqlite", "blocks": 1, "hours": 1, "ttl_seconds": 600.0}
    with pytest.raises(InvalidInput):
        WarmingPlan(**(stated | arguments))


def test_profiles_differ_in_their_extent() -> None:
    plans = [warming_plan(profile, engine="sqlite", ttl_seconds=600.0) for profile in ("smoke", "quick", "full")]
    assert [plan.blocks * plan.ticks for plan in plans] == sorted({plan.blocks * plan.ticks for plan in plans})
