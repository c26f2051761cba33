from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from perflab.batching.batcher import RequestBatcher
from perflab.database.database import Database
from perflab.errors import InvalidInput
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import IngestState, IngestStatus, Watch

NEW_YEAR = datetime(2013, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_successes_and_errors(scheduler: Scheduler, clock: SimpleNamespace) -> None:
    scheduler.add_watch("jfk-lax", 60.0)
    assert scheduler.ingest_states() == {}

    assert scheduler.update_ingest_state("jfk-lax", error=OSError("no route")) is True
    failed = IngestStatus(None, None, None, "OSError: no route", 1, NEW_YEAR)
    assert scheduler.ingest_states() == {"jfk-lax": failed}

    clock.now += HOUR
    assert scheduler.update_ingest_state("jfk-lax", cursor="page-1", etag='W/"1"') is True
    succeeded = IngestStatus("page-1", 'W/"1"', NEW_YEAR + HOUR, None, 0, NEW_YEAR + HOUR)
    assert scheduler.ingest_states(["jfk-lax", "nobody"]) == {"jfk-lax": succeeded}

    clock.now += HOUR
    scheduler.update_ingest_state("jfk-lax", error="timeout")
    scheduler.update_ingest_state("jfk-lax", error="")
    failed = IngestStatus("page-1", 'W/"1"', NEW_YEAR + HOUR, "", 2, NEW_YEAR + 2 * HOUR)
    assert scheduler.ingest_states() == {"jfk-lax": failed}

    scheduler.update_ingest_state("jfk-lax", etag='W/"2"', succeeded_at=NEW_YEAR + HOUR / 2)
    succeeded = IngestStatus("page-1", 'W/"2"', NEW_YEAR + HOUR / 2, None, 0, NEW_YEAR + 2 * HOUR)
    assert scheduler.ingest_states() == {"jfk-lax": succeeded}


def test_an_error_moves_a_cursor_that_is_given(scheduler: Scheduler) -> None:
    scheduler.add_watch("a", 60.0)
    scheduler.update_ingest_state("a", cursor="page-5", error="page 6 is missing")
    assert scheduler.ingest_states()["a"] == IngestStatus("page-5", None, None, "page 6 is missing", 1, NEW_YEAR)


def test_texts_that_look_like_nothing(scheduler: Scheduler) -> None:
    """An absent cursor must not be mistaken for one that is empty, or a zero."""
    scheduler.add_watch("a", 60.0)
    for cursor in ("0", "", "null", "0.0"):
        scheduler.update_ingest_state("a", cursor=cursor, etag=cursor)
        state = scheduler.ingest_states()["a"]
        assert (state.cursor, state.etag) == (cursor, cursor)
    scheduler.update_ingest_state("a", error="0")
    assert scheduler.ingest_states()["a"].last_error == "0"
    assert scheduler.ingest_states()["a"].consecutive_failures == 1


def test_the_items_of_a_batch_apply_in_order(scheduler: Scheduler) -> None:
    scheduler.add_watches_bulk([Watch("a", 60.0), Watch("b", 60.0)])

    results = scheduler.update_ingest_states_bulk(
        [
            IngestState("a", error="one"),
            IngestState("b", cursor="b-1"),
            IngestState("a", cursor="a-1"),
            IngestState("nobody", cursor="lost"),
            IngestState("a", error="two"),
            IngestState("b", cursor="b-2"),
            IngestState("a", error="three"),
        ]
    )

    assert results == [True, True, True, False, True, True, True]
    states = scheduler.ingest_states()
    assert set(states) == {"a", "b"}
    assert (states["a"].cursor, states["a"].last_error, states["a"].consecutive_failures) == ("a-1", "three", 2)
    assert states["b"].cursor == "b-2"


@pytest.mark.parametrize("count", [1, 49, 50, 51, 120])
def test_results_come_in_input_order(scheduler: Scheduler, count: int) -> None:
    scheduler.add_watches_bulk([Watch(f"watch-{n}", 60.0) for n in range(count) if n % 3])

    states = [IngestState(f"watch-{n}", cursor=f"{n}") for n in range(count)]
    assert scheduler.update_ingest_states_bulk(states) == [n % 3 > 0 for n in range(count)]

    known = {f"watch-{n}": f"{n}" for n in range(count) if n % 3}
    assert {name: state.cursor for name, state in scheduler.ingest_states().items()} == known


def test_round_trips_do_not_grow_with_the_states(database: Database, scheduler: Scheduler) -> None:
    scheduler.add_watches_bulk([Watch(f"watch-{n}", 60.0) for n in range(1_020)])
    counts = []
    for first, size in ((0, 51), (51, 969)):
        for cursor in "12":  # the first states of these watches, and the next ones
            states = [IngestState(f"watch-{n}", cursor=cursor) for n in range(first, first + size)]
            with database.counting() as count:
                scheduler.update_ingest_states_bulk(states)
            counts.append(count.round_trips)
    assert counts == {"sqlite": [6, 3], "postgresql": [1, 1]}[database.engine_name] * 2


def test_errors_are_bounded_and_made_storable(scheduler: Scheduler) -> None:
    scheduler.add_watch("a", 60.0)
    scheduler.update_ingest_state("a", error="NUL \x00, surrogate \ud800, " + "long" * 5_000)
    error = scheduler.ingest_states()["a"].last_error
    assert error is not None
    assert error.startswith("NUL \ufffd, surrogate ?, long")
    assert len(error) == 2_000


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (IngestState("", cursor="1"), "name of a watch"),
        (IngestState("a\x00", cursor="1"), "NUL"),
        (IngestState(None, cursor="1"), "name of a watch"),  # type: ignore[arg-type]
        (IngestState("a", cursor=7), "the cursor of watch 'a' is int"),  # type: ignore[arg-type]
        (IngestState("a", cursor="\x00"), "NUL"),
        (IngestState("a", etag="\ud800"), "surrogate"),
        (IngestState("a", etag="x" * 65_537), "at most 65,536"),
        (IngestState("a", error=7), "give an exception or text"),  # type: ignore[arg-type]
        (IngestState("a", error="e", succeeded_at=NEW_YEAR), "both"),
        (IngestState("a", succeeded_at=datetime(2013, 1, 1)), "no time zone"),  # noqa: DTZ001
        (IngestState("a", succeeded_at=datetime(1970, 1, 1, tzinfo=UTC)), "after 1970"),
        ("a", "write IngestState"),
    ],
)
def test_a_bad_state_is_refused_and_nothing_is_written(
    shared_scheduler: Scheduler, state: IngestState, message: str
) -> None:
    shared_scheduler.add_watch("a", 60.0)
    with pytest.raises(InvalidInput, match=message):
        shared_scheduler.update_ingest_states_bulk([IngestState("a", cursor="good"), state])
    assert shared_scheduler.ingest_states() == {}


def test_a_cursor_moves_with_the_rows_or_not_at_all(database: Database, scheduler: Scheduler) -> None:
    scheduler.add_watch("a", 60.0)
    with database.transaction() as connection:
        connection.execute(text("CREATE TABLE fares (fare INTEGER)"))

    def ingest(fares: list[int]) -> None:
        with database.transaction() as connection:
            scheduler.update_ingest_states_bulk([IngestState("a", cursor=str(len(fares)))], connection=connection)
            connection.execute(text("INSERT INTO fares VALUES (:fare)"), [{"fare": 100 // fare} for fare in fares])

    ingest([1, 2])
    with pytest.raises(ZeroDivisionError):
        ingest([3, 4, 0])

    assert scheduler.ingest_states()["a"].cursor == "2"
    assert database.fetch("SELECT count(*) FROM fares") == [(2,)]


def test_a_batcher_takes_the_operations(database: Database, scheduler: Scheduler) -> None:
    with RequestBatcher(database, batch_size=100, flush_interval=60.0) as batcher:
        added = [batcher.submit(scheduler.operations.add_watch, Watch(f"w{n}", 60.0)) for n in range(30)]
        updated = [
            batcher.submit(scheduler.operations.update_ingest_state, IngestState(f"w{n}", cursor=f"{n}"))
            for n in range(31)
        ]
        removed = batcher.submit(scheduler.operations.remove_watch, "w0")
        batcher.flush()
        assert batcher.metrics().batches == 1

    stored = scheduler.watches()
    assert [future.result() for future in added[1:]] == [stored[f"w{n}"].id for n in range(1, 30)]
    assert [future.result() for future in updated] == [True] * 30 + [False]
    assert removed.result() is True
    assert set(scheduler.ingest_states()) == {f"w{n}" for n in range(1, 30)}


@pytest.mark.parametrize("engine", ["postgresql"])
def test_states_are_rewritten_where_they_are(scheduler: Scheduler) -> None:
    """New versions take the room of old ones in their pages, and need neither new index entries nor a vacuum."""

    def pages() -> int:
        ((count,),) = scheduler.db.fetch("SELECT pg_relation_size('perflab_ingest_states') / 8192", {})
        return int(count)

    names = [f"watch-{n}" for n in range(2_000)]
    scheduler.add_watches_bulk(Watch(name, 60.0) for name in names)
    scheduler.update_ingest_states_bulk(IngestState(name, cursor="1") for name in names)
    at_first = pages()
    for page in range(2, 7):
        scheduler.update_ingest_states_bulk(IngestState(name, cursor=str(page)) for name in names)
    assert at_first <= pages() <= 1.5 * at_first
