from __future__ import annotations

from collections import Counter
from datetime import timedelta

from sqlalchemy import select

from perflab.database.database import Database
from perflab.lab.cache_warming.board import BOARD, SLOT_SECONDS, Board, change_rows
from tests.lab.cache_warming.conftest import MONDAY_TEN


def test_a_poll_reads_its_route_its_airports_and_the_flights_of_six_hours(board: Board) -> None:
    keys = board.keys("AA:LGA-ORD", MONDAY_TEN)
    assert keys[:3] == ["route AA:LGA-ORD", "airport LGA", "airport ORD"]
    hours = {int(key.rpartition("T")[2][:2]) for key in keys[3:]}
    assert len(keys) > 5
    assert hours <= {10, 11, 12, 13, 14, 15}
    later = board.keys("AA:LGA-ORD", MONDAY_TEN + timedelta(hours=1))
    assert set(later) - set(keys)  # new ones
    assert len(set(keys) & set(later)) > 3
    assert board.keys("AA:LGA-ORD", MONDAY_TEN + timedelta(days=30)) == keys[:3]


def test_upcoming_flights_are_those_of_all_polls(board: Board) -> None:
    polled = {
        key for watch in board.watches(MONDAY_TEN) for key in board.keys(watch.name, MONDAY_TEN) if "flight" in key
    }
    assert sorted(polled) == sorted(board.upcoming(MONDAY_TEN))


def test_polls_spread_over_the_quarter_of_an_hour(board: Board) -> None:
    slots = Counter(watch.start_at for watch in board.watches(MONDAY_TEN))
    assert set(slots) == {MONDAY_TEN + timedelta(seconds=SLOT_SECONDS * place) for place in range(5)}


def test_all_rows_are_written_and_changed_as_told(board_database: Database, board: Board) -> None:
    first, second, *_ = board.upcoming(MONDAY_TEN)
    change_rows(board_database, {first: 1, second: 2})
    with board_database.reading() as connection:
        versions = {row.key: row.version for row in connection.execute(select(BOARD))}
    assert len(versions) == len(board)
    assert {key: version for key, version in versions.items() if version} == {first: 1, second: 2}
