"""Many watches and ingest states are prepared as each is, and plain ones without looking at each."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.database.database import Database
from perflab.database.operation import PLAIN_FROM, prepare_all
from perflab.scheduler.operations import AddWatch, UpdateIngestState
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import LONGEST_CURSOR, LONGEST_NAME, IngestState, Watch
from tests.plain import outcome


class Name(StrEnum):
    JFK = "jfk"


any_watch: Any = Watch
"""Takes what a type checker would refuse."""
any_state: Any = IngestState
MOMENT = datetime(2013, 8, 20, 1, 2, 3, 4, tzinfo=UTC)
PLAIN_WATCHES = [
    Watch("a", interval=30, payload={"n": 1}),
    Watch("b" * LONGEST_NAME, interval=0.001, priority=-32_768, payload={"n": 2}),
    Watch("c", interval=1.0000005, priority=32_767, enabled=False, payload={}),
]
ODD_WATCHES: list[Any] = [
    *(any_watch("w", interval=1, overlap="queue"), any_watch("w", interval=1, overlap="x")),
    *(any_watch("w", interval=1, catch_up=2), any_watch("w", interval=1, catch_up=True)),
    any_watch("w", interval=1, overlap="queue", catch_up=3),
    *(
        any_watch("", interval=1),
        any_watch("b" * (LONGEST_NAME + 1), interval=1),
        any_watch("é", interval=1),
        any_watch("\x00", interval=1),
    ),
    *(
        any_watch(Name.JFK, interval=1),
        any_watch(1, interval=1),
        any_watch("w", cron="0 0 * * *"),
        any_watch("w", interval=1, cron="0 0 * * *"),
    ),
    *(
        any_watch("w"),
        any_watch("w", interval=math.nan),
        any_watch("w", interval=math.inf),
        any_watch("w", interval=0),
        any_watch("w", interval=True),
    ),
    *(
        any_watch("w", interval=1, priority=32_768),
        any_watch("w", interval=1, priority=True),
        any_watch("w", interval=1, priority=1.0),
    ),
    *(
        any_watch("w", interval=1, enabled=1),
        any_watch("w", interval=1, queue="other"),
        any_watch("w", interval=1, queue="Bad Name"),
    ),
    *(
        any_watch("w", interval=1, start_at=MOMENT),
        any_watch("w", interval=1, timezone="Asia/Tokyo"),
        any_watch("w", interval=1, timezone="x"),
    ),
    *(any_watch("w", interval=1, payload=math.nan), any_watch("w", interval=1), "w", None),
]
PLAIN_STATES = [
    IngestState("a", "cursor", "etag", MOMENT),
    IngestState("b" * LONGEST_NAME, "", "", datetime(2013, 8, 20, tzinfo=timezone(timedelta(hours=-4)))),
]
ODD_STATES: list[Any] = [
    *(
        any_state("a"),
        any_state("a", "cursor"),
        any_state("a", None, "etag"),
        any_state("a", "c", "e", error="x"),
    ),
    *(
        any_state("a", error=ValueError("no")),
        any_state("a", "c", "e", MOMENT, error="x"),
        any_state("a", error=1),
    ),
    *(
        any_state("", "c", "e", MOMENT),
        any_state("b" * (LONGEST_NAME + 1), "c", "e", MOMENT),
        any_state("é", "c", "e", MOMENT),
    ),
    *(
        any_state("a", "c" * (LONGEST_CURSOR + 1), "e", MOMENT),
        any_state("a", "c", "\ud800", MOMENT),
        any_state("a", 1, "e", MOMENT),
    ),
    *(any_state("a", "c", "e", datetime(2013, 1, 1)), any_state("a", "c", "e", datetime(1969, 1, 1, tzinfo=UTC))),  # noqa: DTZ001
    *(
        any_state("a", "c", "e", MOMENT.date()),
        any_state("a", "c", "e", 0),
        any_state("a", "c", "e", datetime.max.replace(tzinfo=UTC)),
    ),
    *(any_state(None, "c", "e", MOMENT), "a", None),
]
DATABASE = Database.open("sqlite://")
SCHEDULER, WITHOUT_QUEUE = Scheduler(DATABASE, "ingest"), Scheduler(DATABASE)


@given(
    st.lists(st.sampled_from([*PLAIN_WATCHES * 8, *ODD_WATCHES]), max_size=3),
    st.sampled_from([SCHEDULER, WITHOUT_QUEUE]),
)
def test_many_watches_are_prepared_as_each_is(some: list[Any], scheduler: Scheduler) -> None:
    add, items = scheduler.operations.add_watch, PLAIN_WATCHES * PLAIN_FROM + some
    assert outcome(lambda: prepare_all(add, items)) == outcome(lambda: list(map(add.prepare, items)))


@given(st.lists(st.sampled_from([*PLAIN_STATES * 8, *ODD_STATES]), max_size=3))
def test_many_states_are_prepared_as_each_is(some: list[Any]) -> None:
    update, items = SCHEDULER.operations.update_ingest_state, PLAIN_STATES * PLAIN_FROM + some
    assert outcome(lambda: prepare_all(update, items)) == outcome(lambda: list(map(update.prepare, items)))


@pytest.mark.parametrize("items", [PLAIN_WATCHES, [Watch("w", interval=1)]])
def test_plain_watches_are_not_looked_at_one_by_one(items: list[Watch]) -> None:
    with patch.object(AddWatch, "prepare", side_effect=AssertionError):
        assert len(prepare_all(SCHEDULER.operations.add_watch, items * PLAIN_FROM)) == len(items) * PLAIN_FROM


@pytest.mark.parametrize("items", [PLAIN_STATES, [IngestState("a")], [IngestState("a", "cursor")]])
def test_plain_states_are_not_looked_at_one_by_one(items: list[IngestState]) -> None:
    with patch.object(UpdateIngestState, "prepare", side_effect=AssertionError):
        assert len(prepare_all(SCHEDULER.operations.update_ingest_state, items * PLAIN_FROM)) == len(items) * PLAIN_FROM
