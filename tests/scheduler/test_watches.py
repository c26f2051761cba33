from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from perflab.database.database import Database
from perflab.errors import InvalidInput, StatementError
from perflab.queue.queue import PriorityQueue
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import Watch

NEW_YEAR = datetime(2013, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def next_due(scheduler: Scheduler, name: str = "jfk-lax") -> datetime:
    return scheduler.watches([name])[name].next_due_at


def test_a_watch_is_read_back_as_it_was_added(scheduler: Scheduler) -> None:
    watches = [
        Watch("jfk-lax", interval=0.25, priority=-3, payload={"origin": "JFK", "stops": [1, None]}),
        Watch("Zürich ✈ 'ZRH'", cron="0 6 * * *", timezone="Europe/Zurich", queue="slow", enabled=False),
        Watch("ewr-ord", interval=60.0, queue="slow", overlap="queue", catch_up=100),
        Watch("lga-bos", interval=60.0, queue="slow", overlap="coalesce"),
    ]

    ids = scheduler.add_watches_bulk(watches)

    stored = scheduler.watches()
    assert [stored[watch.name].id for watch in watches] == ids
    assert stored["jfk-lax"].watch == Watch(
        "jfk-lax", interval=0.25, queue="ingest", priority=-3, payload={"origin": "JFK", "stops": [1, None]}
    )
    assert [stored[watch.name].watch for watch in watches[1:]] == watches[1:]
    assert set(scheduler.watches(["jfk-lax", "nobody", "jfk-lax"])) == {"jfk-lax"}
    assert scheduler.watches([]) == {}


def test_the_first_slot(scheduler: Scheduler) -> None:
    scheduler.add_watch("interval", 60.0)
    scheduler.add_watch("cron", cron="30 * * * *")
    scheduler.add_watch("interval from", 60.0, start_at=NEW_YEAR + 5 * MINUTE)
    scheduler.add_watch("cron from", cron="30 * * * *", start_at=NEW_YEAR + 5 * MINUTE)

    assert {name: status.next_due_at for name, status in scheduler.watches().items()} == {
        "interval": NEW_YEAR,
        "cron": NEW_YEAR + 30 * MINUTE,
        "interval from": NEW_YEAR + 5 * MINUTE,
        "cron from": NEW_YEAR + 5 * MINUTE,
    }


def test_adding_again_changes_the_settings_and_keeps_the_slot(scheduler: Scheduler, clock: SimpleNamespace) -> None:
    first = scheduler.add_watch("jfk-lax", 60.0)
    clock.now += 5 * MINUTE

    changed = Watch("jfk-lax", 60.0, queue="slow", priority=7, payload=[1], overlap="queue", catch_up=3)
    again = scheduler.add_watches_bulk([replace(changed, start_at=NEW_YEAR + 9 * MINUTE)])

    assert again == [first]
    status = scheduler.watches()["jfk-lax"]
    assert status.watch == changed
    assert status.next_due_at == NEW_YEAR


def test_a_changed_schedule_has_a_new_slot(scheduler: Scheduler, clock: SimpleNamespace) -> None:
    scheduler.add_watch("jfk-lax", 60.0)
    clock.now += 5 * MINUTE

    scheduler.add_watch("jfk-lax", 61.0)
    assert next_due(scheduler) == clock.now
    scheduler.add_watch("jfk-lax", cron="0 3 * * *")
    assert next_due(scheduler) == NEW_YEAR.replace(hour=3)
    scheduler.add_watch("jfk-lax", cron="0 4 * * *")
    assert next_due(scheduler) == NEW_YEAR.replace(hour=4)
    scheduler.add_watch("jfk-lax", cron="0 4 * * *", start_at=NEW_YEAR.replace(hour=9))
    assert next_due(scheduler) == NEW_YEAR.replace(hour=4)
    scheduler.add_watch("jfk-lax", cron="0 4 * * *", timezone="America/New_York")
    assert next_due(scheduler) == NEW_YEAR.replace(hour=9)
    scheduler.add_watch("jfk-lax", 61.0, start_at=NEW_YEAR.replace(hour=8))
    assert next_due(scheduler) == NEW_YEAR.replace(hour=8)
    scheduler.add_watch("jfk-lax", 61.0, timezone="Asia/Tokyo")  # an interval has no use for it
    assert next_due(scheduler) == NEW_YEAR.replace(hour=8)


@pytest.mark.parametrize("count", [1, 2, 49, 50, 51, 100, 120])
def test_ids_come_in_input_order(scheduler: Scheduler, count: int) -> None:
    """Statements take 50 rows: whole ones, parts of one, new watches, known ones, and both."""
    names = [f"watch-{n * 7919 % count}" for n in range(count)]
    new = scheduler.add_watches_bulk([Watch(name, 60.0) for name in names])
    known = scheduler.add_watches_bulk([Watch(name, 60.0) for name in reversed(names)])
    mixed = scheduler.add_watches_bulk(Watch(name, 60.0) for name in [*names[:1], "new", *names[1:]])

    stored = {name: status.id for name, status in scheduler.watches().items()}
    assert len(set(stored.values())) == count + 1
    assert new == [stored[name] for name in names]
    assert known == [stored[name] for name in reversed(names)]
    assert mixed == [stored[name] for name in [*names[:1], "new", *names[1:]]]


def test_ids_after_the_last_watch_was_removed(scheduler: Scheduler) -> None:
    scheduler.add_watches_bulk([Watch(name, 60.0) for name in "abc"])
    scheduler.remove_watches(["c"])
    ids = scheduler.add_watches_bulk([Watch(name, 60.0) for name in "def"])
    assert ids == [scheduler.watches()[name].id for name in "def"]


@pytest.mark.case("F30")
def test_the_last_of_several_with_one_name_counts(scheduler: Scheduler) -> None:
    ids = scheduler.add_watches_bulk(
        [
            Watch("jfk-lax", 60.0, priority=1, start_at=NEW_YEAR + MINUTE),
            Watch("ewr-ord", 60.0),
            Watch("jfk-lax", 60.0, priority=2, start_at=NEW_YEAR + 2 * MINUTE),
        ]
    )

    assert ids[0] == ids[2] != ids[1]
    status = scheduler.watches()["jfk-lax"]
    assert (status.watch.priority, status.next_due_at) == (2, NEW_YEAR + 2 * MINUTE)


def test_round_trips_do_not_grow_with_the_watches(database: Database, scheduler: Scheduler) -> None:
    counts = []
    for prefix, size in (("a", 51), ("b", 1_020)):
        for interval in (60.0, 70.0):  # new ones, and the same ones changed
            with database.counting() as count:
                scheduler.add_watches_bulk([Watch(f"{prefix}{n}", interval) for n in range(size)])
            counts.append(count.round_trips)
    assert counts == {"sqlite": [6, 7], "postgresql": [1, 1]}[database.engine_name] * 2


def test_remove(database: Database, scheduler: Scheduler) -> None:
    scheduler.add_watches_bulk([Watch("a", 60.0), Watch("b", 60.0)])
    scheduler.update_ingest_state("a", cursor="1")
    scheduler.tick()

    assert scheduler.remove_watches(["a", "nobody", "a"]) == [True, False, False]

    assert set(scheduler.watches()) == {"b"}
    assert scheduler.ingest_states() == {}
    assert database.fetch("SELECT count(*) FROM perflab_jobs") == [(2,)]


def test_a_paused_watch_is_not_due_and_comes_once_when_it_resumes(
    scheduler: Scheduler, clock: SimpleNamespace, finish_jobs: Callable[[], list[dict[str, Any]]]
) -> None:
    scheduler.add_watches_bulk([Watch("a", 60.0), Watch("b", 60.0)])

    assert scheduler.pause_watches(["a", "nobody", "a"]) == [True, False, True]
    assert scheduler.watches()["a"].watch.enabled is False
    scheduler.tick()
    assert [job["watch"] for job in finish_jobs()] == ["b"]

    clock.now += 10 * MINUTE
    assert scheduler.resume_watches(["nobody", "a"]) == [False, True]
    scheduler.tick()
    assert sorted(job["watch"] for job in finish_jobs()) == ["a", "b"]
    assert scheduler.tick().due == 0


def test_watches_are_written_in_a_transaction_of_yours(database: Database, scheduler: Scheduler) -> None:
    with database.transaction() as connection:
        scheduler.add_watches_bulk([Watch("a", 60.0)], connection=connection)
        connection.rollback()
    assert scheduler.watches() == {}

    with database.transaction() as connection:
        scheduler.add_watches_bulk([Watch("a", 60.0), Watch("b", 60.0), Watch("c", 60.0)], connection=connection)
        scheduler.pause_watches(["a"], connection=connection)
        scheduler.resume_watches(["a"], connection=connection)
        scheduler.remove_watches(["b"], connection=connection)
    assert set(scheduler.watches()) == {"a", "c"}


@pytest.mark.parametrize(
    ("watch", "message"),
    [
        (Watch("bad"), "neither an interval nor a cron"),
        (Watch("bad", interval=60.0, cron="* * * * *"), "both an interval and a cron"),
        (Watch("bad", interval=0.0), "at least 0.001"),
        (Watch("bad", interval=-1.0), "at least 0.001"),
        (Watch("bad", interval=0.0009), "at least 0.001"),
        (Watch("bad", interval=1e12), "at most"),
        (Watch("bad", interval=float("nan")), "the interval of watch 'bad'"),
        (Watch("bad", interval=float("inf")), "the interval of watch 'bad'"),
        (Watch("bad", interval=True), "give a number"),
        (Watch("bad", interval="60"), "give a number"),  # type: ignore[arg-type]
        (Watch("bad", cron="* * *"), "watch 'bad'.*five fields"),
        (Watch("bad", cron="61 * * * *"), "Bad minute"),
        (Watch("bad", cron="0 0 31 2 *"), "day-of-month"),
        (Watch("bad", cron="* * * * *", timezone="Mars/Olympus"), "Mars/Olympus"),
        (Watch("bad", interval=60.0, timezone="Mars/Olympus"), "Mars/Olympus"),
        (Watch("", interval=60.0), "1 to 200 characters"),
        (Watch("x" * 201, interval=60.0), "1 to 200 characters"),
        (Watch("a\x00b", interval=60.0), "NUL"),
        (Watch("a\ud800b", interval=60.0), "surrogate"),
        (Watch(7, interval=60.0), "give text"),  # type: ignore[arg-type]
        (Watch("bad", interval=60.0, queue="Not A Name"), "the queue of watch 'bad'"),
        (Watch("bad", interval=60.0, queue="ingest; DROP TABLE perflab_jobs"), "the queue of watch 'bad'"),
        (Watch("bad", interval=60.0, priority=40_000), "the priority of watch 'bad'"),
        (Watch("bad", interval=60.0, priority=1.5), "give an integer"),  # type: ignore[arg-type]
        (Watch("bad", interval=60.0, enabled=1), "give True or False"),  # type: ignore[arg-type]
        (Watch("bad", interval=60.0, payload=float("nan")), "payload"),
        (Watch("bad", interval=60.0, payload={1, 2}), "payload"),
        (Watch("bad", interval=60.0, start_at=datetime(2013, 1, 1)), "no time zone"),  # noqa: DTZ001
        (Watch("bad", interval=60.0, start_at=datetime(1969, 1, 1, tzinfo=UTC)), "after 1970"),
        (Watch("bad", interval=60.0, overlap="wait"), "overlap of watch 'bad' is 'wait': give skip, queue or coalesce"),  # type: ignore[arg-type]
        (Watch("bad", interval=60.0, overlap=["skip"]), "overlap of watch 'bad'"),  # type: ignore[arg-type]
        (Watch("bad", interval=60.0, overlap="queue", catch_up=0), "catch_up of watch 'bad'"),
        (Watch("bad", interval=60.0, overlap="queue", catch_up=101), "between 1 and 100"),
        (Watch("bad", interval=60.0, catch_up=True), "catch_up of watch 'bad'"),
        (Watch("bad", interval=60.0, catch_up=2), "give overlap='queue'"),
        (Watch("bad", interval=60.0, overlap="coalesce", catch_up=2), "give overlap='queue'"),
        ("jfk-lax", "write Watch"),
    ],
)
def test_a_bad_watch_is_refused_and_nothing_is_written(shared_scheduler: Scheduler, watch: Watch, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        shared_scheduler.add_watches_bulk([Watch("good", 60.0), watch, Watch("also good", 60.0)])
    assert shared_scheduler.watches() == {}


@pytest.mark.case("F41")
def test_names_are_data(database: Database, scheduler: Scheduler) -> None:
    names = ["'); DROP TABLE perflab_watches; --", '"', "\\", "\n", "%s", "?1", ":name", "0", "null", "😀" * 200]
    ids = scheduler.add_watches_bulk([Watch(name, 60.0) for name in names])
    assert {name: status.id for name, status in scheduler.watches(names).items()} == dict(zip(names, ids, strict=True))
    assert scheduler.add_watches_bulk([Watch(name, 60.0) for name in names]) == ids
    assert scheduler.tick().enqueued == len(names)
    assert sorted(key for (key,) in database.fetch("SELECT key FROM perflab_jobs")) == sorted(
        f"watch:{name}" for name in names
    )
    assert scheduler.remove_watches(names) == [True] * len(names)


def test_one_text_is_not_a_list_of_names(scheduler: Scheduler) -> None:
    scheduler.add_watch("a", 60.0)
    for call in (scheduler.remove_watches, scheduler.pause_watches, scheduler.watches, scheduler.ingest_states):
        with pytest.raises(InvalidInput, match="give a list"):
            call("a")
    with pytest.raises(InvalidInput, match="name of a watch"):
        scheduler.remove_watches(["a", 1])  # type: ignore[list-item]
    assert set(scheduler.watches()) == {"a"}


def test_the_queue_of_the_scheduler(database: Database) -> None:
    Scheduler(database, PriorityQueue(database, "mine")).add_watch("a", 60.0)
    Scheduler(database, "yours").add_watch("b", 60.0)
    Scheduler(database).add_watch("c", 60.0, queue="theirs")
    with pytest.raises(InvalidInput, match="names no queue"):
        Scheduler(database).add_watch("d", 60.0)
    with pytest.raises(InvalidInput, match="queue of the scheduler"):
        Scheduler(database, "Not A Name")

    stored = Scheduler(database).watches()
    assert {name: status.watch.queue for name, status in stored.items()} == {"a": "mine", "b": "yours", "c": "theirs"}


def test_a_queue_of_another_database_is_refused(database: Database) -> None:
    with Database.open("sqlite://") as other, pytest.raises(InvalidInput, match="use one database"):
        Scheduler(database, PriorityQueue(other, "mine"))


def test_without_a_schema(database_url: str) -> None:
    with Database.open(database_url) as empty, pytest.raises(StatementError, match="create_schema"):
        Scheduler(empty, "ingest").add_watch("a", 60.0)
