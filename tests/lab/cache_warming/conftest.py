"""A board of real flights, small enough for many visits."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from perflab.database.database import Database
from perflab.lab.cache_warming.board import Board
from perflab.lab.workloads.flights import load_flights

MONDAY_TEN = datetime(2013, 8, 19, 10, tzinfo=UTC)


@pytest.fixture(scope="session")
def board() -> Board:
    """Of the flights of American Airlines."""
    return Board([flight for flight in load_flights("week").flights if flight.carrier == "AA"])


@pytest.fixture
def board_database(database: Database, board: Board) -> Database:
    board.write(database)
    return database
