"""Watches with compressed payloads, on each engine, and the jobs that come of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from perflab.database.compression import Compression
from perflab.database.database import Database
from perflab.errors import CorruptPayload
from perflab.queue.queue import PriorityQueue
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import Watch

LARGE = {"flights": ["UA1545", "Zürich", -0.0, 1e16] * 300}


@pytest.fixture
def compressing(database: Database, perflab_url: str, clock: SimpleNamespace) -> Iterator[Scheduler]:
    with Database.open(perflab_url, compression=Compression()) as opened:
        yield Scheduler(opened, "ingest", now=lambda: clock.now)


def compressed(scheduler: Scheduler) -> dict[str, bool]:
    rows = scheduler.db.fetch("SELECT name, payload_zstd IS NOT NULL FROM perflab_watches")
    return {name: bool(is_compressed) for name, is_compressed in rows}


def test_large_payloads_of_watches_are_compressed_and_read_back(compressing: Scheduler) -> None:
    compressing.add_watches_bulk(
        [
            Watch("large", interval=60.0, payload=LARGE),
            Watch("small", interval=60.0, payload={"a": 1}),
            Watch("none", 1.0),
        ]
    )
    assert compressed(compressing) == {"large": True, "small": False, "none": False}
    payloads = {name: status.watch.payload for name, status in compressing.watches().items()}
    assert repr(payloads) == repr({"large": LARGE, "none": None, "small": {"a": 1}})


@pytest.mark.parametrize("names", [["w"], [f"w{number}" for number in range(120)]], ids=["one", "many"])
def test_a_watch_goes_from_text_to_frame_and_back(compressing: Scheduler, names: list[str]) -> None:
    payloads: list[Any] = [1, LARGE, LARGE | {"version": 2}, {"small": True}]
    for payload in payloads:
        compressing.add_watches_bulk([Watch(name, interval=60.0, payload=payload) for name in names])
        assert compressed(compressing) == dict.fromkeys(names, payload not in (1, {"small": True}))
        assert {name: status.watch.payload for name, status in compressing.watches(names).items()} == dict.fromkeys(
            names, payload
        )


def test_their_jobs_carry_the_payload(compressing: Scheduler, database: Database, clock: SimpleNamespace) -> None:
    """Of interval and cron watches, to a worker whose own setting is none."""
    compressing.add_watches_bulk(
        [
            Watch("interval", interval=60.0, payload=LARGE),
            Watch("cron", cron="* * * * *", payload=LARGE),
            Watch("small", interval=60.0, payload={"a": 1}),
        ]
    )
    clock.now += timedelta(minutes=2)
    assert compressing.tick().enqueued == 3
    jobs = PriorityQueue(database, "ingest", now=lambda: clock.now).claim()
    assert {job.payload["watch"]: job.payload["payload"] for job in jobs} == {
        "interval": LARGE,
        "cron": LARGE,
        "small": {"a": 1},
    }
    assert {job.payload["slot"] for job in jobs} == {"2013-01-01T00:02:00.000000+00:00"}
    names = database.fetch("SELECT payload ->> 'watch' FROM perflab_jobs WHERE payload_zstd IS NOT NULL ORDER BY 1")
    assert names == [("cron",), ("interval",)]


def test_a_damaged_watch_is_a_typed_error_with_its_name(compressing: Scheduler) -> None:
    compressing.add_watches_bulk([Watch("bad", interval=60.0, payload=LARGE), Watch("good", interval=60.0)])
    garbage = "x'00'" if compressing.db.engine_name == "sqlite" else r"'\x00'::bytea"
    with compressing.db.driver_transaction() as connection:
        connection.execute(f"UPDATE perflab_watches SET payload_zstd = {garbage} WHERE name = 'bad'")
    with pytest.raises(CorruptPayload, match="watch 'bad': the payload cannot be decoded"):
        compressing.watches()
    assert compressing.watches(["good"]).keys() == {"good"}
    assert compressing.tick().enqueued == 2  # the job dies where it is read, with its reason
