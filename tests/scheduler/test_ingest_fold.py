"""Several rows of one watch as one: the effect must be that of SQLite, which applies them one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.database.database import Database
from perflab.scheduler.engine import ABSENT, IngestRow
from perflab.scheduler.ingest_fold import NetIngest, fold_ingest_rows, net_ingest_columns
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import IngestState, Watch
from tests.postgres_databases import PostgresDatabases

START = datetime(2013, 1, 1, tzinfo=UTC)
NOW = 7
WATCHES = ("a", "b", "c")

texts = st.none() | st.sampled_from(["", "0", "null", "page-1", "page-2"])
moments = st.none() | st.integers(0, 100).map(lambda minutes: START + timedelta(minutes=minutes))
successes = st.builds(
    IngestState, st.sampled_from([*WATCHES, "nobody"]), cursor=texts, etag=texts, succeeded_at=moments
)
errors = st.builds(
    IngestState,
    st.sampled_from([*WATCHES, "nobody"]),
    cursor=texts,
    etag=texts,
    error=st.sampled_from(["", "0", "timeout", "no route"]),
)
batches = st.lists(st.lists(successes | errors, min_size=1, max_size=12), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def both(
    postgres_databases: PostgresDatabases,
) -> Iterator[tuple[SimpleNamespace, list[Scheduler]]]:
    """A clock, and a scheduler on each engine that goes by it."""
    clock = SimpleNamespace(now=START)
    with (
        postgres_databases.new() as url,
        Database.open(url) as postgresql,
        Database.open("sqlite://") as sqlite,
    ):
        sqlite.create_schema()
        yield clock, [Scheduler(database, "ingest", now=lambda: clock.now) for database in (sqlite, postgresql)]


@given(batches)
def test_batches_have_the_same_effect_on_both_engines(
    both: tuple[SimpleNamespace, list[Scheduler]], batches: list[list[IngestState]]
) -> None:
    clock, schedulers = both
    for scheduler in schedulers:
        scheduler.remove_watches(WATCHES)
        scheduler.add_watches_bulk([Watch(name, 60.0) for name in WATCHES])
    for batch in batches:
        clock.now += timedelta(seconds=1)
        on_sqlite, on_postgresql = (
            (scheduler.update_ingest_states_bulk(batch), scheduler.ingest_states()) for scheduler in schedulers
        )
        assert on_sqlite == on_postgresql


@given(batches)
def test_a_batch_has_the_same_effect_as_its_rows_one_by_one(
    both: tuple[SimpleNamespace, list[Scheduler]], batches: list[list[IngestState]]
) -> None:
    _, schedulers = both
    ends = []
    for parts in (batches, [[state] for batch in batches for state in batch]):
        scheduler = schedulers[1]
        scheduler.remove_watches(WATCHES)
        scheduler.add_watches_bulk([Watch(name, 60.0) for name in WATCHES])
        for part in parts:
            scheduler.update_ingest_states_bulk(part)
        ends.append({name: replace(state, updated_at=START) for name, state in scheduler.ingest_states().items()})
    assert ends[0] == ends[1]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("a", "1", "e", 5, ABSENT)], ("a", "1", "e", 5, "", 0)),
        ([("a", ABSENT, ABSENT, ABSENT, ABSENT)], ("a", None, None, NOW, "", 0)),
        ([("a", "", ABSENT, ABSENT, "")], ("a", "", None, ABSENT, "", 1)),
        (
            [("a", "1", ABSENT, ABSENT, "x"), ("a", ABSENT, "e", ABSENT, "y")],
            ("a", "1", "e", ABSENT, "y", 2),
        ),
        (
            [("a", "1", ABSENT, ABSENT, "x"), ("a", "2", "e", 5, ABSENT), ("a", ABSENT, ABSENT, ABSENT, "y")],
            ("a", "2", "e", 5, "y", 1),
        ),
        ([("a", ABSENT, ABSENT, 9, ABSENT), ("a", ABSENT, ABSENT, 5, ABSENT)], ("a", None, None, 5, "", 0)),
    ],
)
def test_what_rows_come_to(rows: list[IngestRow], expected: NetIngest) -> None:
    assert fold_ingest_rows(rows, NOW) == [expected]
    assert [tuple(column) for column in net_ingest_columns(rows, NOW)] == [(value,) for value in expected]


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcd"),
            st.sampled_from([ABSENT, "", "0", "1"]),
            st.sampled_from([ABSENT, "", "e"]),
            st.sampled_from([ABSENT, 5, 9]),
            st.just(ABSENT) | st.sampled_from([ABSENT, "", "x"]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_columns_are_those_of_the_rows(rows: list[IngestRow]) -> None:
    assert list(zip(*net_ingest_columns(rows, NOW), strict=True)) == fold_ingest_rows(rows, NOW)


def test_each_watch_comes_once() -> None:
    rows: list[IngestRow] = [(name, ABSENT, ABSENT, ABSENT, ABSENT) for name in ("b", "a", "b", "c", "a")]
    assert [watch for watch, *_ in fold_ingest_rows(rows, NOW)] == ["b", "a", "c"]
