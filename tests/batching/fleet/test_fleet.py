"""Settings, members and metrics of a fleet, on both engines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert

from perflab.batching.async_batcher import AsyncRequestBatcher
from perflab.batching.batcher import RequestBatcher
from perflab.batching.fleet.fleet import Fleet
from perflab.batching.fleet.metrics import MemberState
from perflab.batching.fleet.settings import FleetSettings
from perflab.database.database import Database
from perflab.errors import InvalidInput, StatementError
from perflab.events import FlushCompleted
from tests.listening import to_flushes

PATIENCE_SECONDS = 60.0
NEVER = 600.0
"""Seconds between heartbeats that no test waits for."""

TABLE = Table("sample", MetaData(), Column("n", Integer))
INSERT = insert(TABLE)


def eventually(is_so: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.005)


@pytest.fixture
def db(perflab_url: str) -> Iterator[Database]:
    with Database.open(perflab_url) as opened:
        with opened.transaction() as connection:
            TABLE.create(connection)
        yield opened


def test_settings_are_kept_and_replaced_as_a_whole(db: Database) -> None:
    fleet = Fleet(db, "ingest")
    assert fleet.settings() == FleetSettings()
    fleet.configure(FleetSettings(batch_size=7, flush_interval=0.25, max_in_flight=3, jitter=0.5))
    assert Fleet(db, "ingest").settings() == FleetSettings(7, 0.25, 3, 0.5)
    assert Fleet(db, "another").settings() == FleetSettings()
    fleet.configure(FleetSettings(batch_size=8))
    assert fleet.settings() == FleetSettings(batch_size=8)


@pytest.mark.parametrize(
    "settings",
    [{"batch_size": 0}, {"flush_interval": -1.0}, {"max_in_flight": 0}, {"max_in_flight": 1_001}, {"jitter": 1.1}],
)
def test_bad_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(settings))):
        FleetSettings(**settings)


def test_bad_names_and_heartbeats_are_refused(db: Database) -> None:
    with pytest.raises(InvalidInput, match="name of the fleet"):
        Fleet(db, "No Name")
    with pytest.raises(InvalidInput, match="heartbeat"):
        Fleet(db, "ingest").join(heartbeat=0.0)


def test_without_the_schema_a_fleet_says_what_is_missing(database_url: str) -> None:
    with Database.open(database_url) as db, pytest.raises(StatementError, match="perflab_fleets"):
        Fleet(db, "ingest")


def test_a_flush_brings_the_settings_at_the_stated_cost(db: Database) -> None:
    flushes: list[FlushCompleted] = []
    db.events.add(to_flushes(flushes.append))
    fleet = Fleet(db, "ingest")
    with RequestBatcher(db, mode="inline") as plain:
        plain.submit(INSERT, {"n": 0}).result()
    with fleet.join(heartbeat=NEVER, listen=False) as member:
        fleet.configure(FleetSettings(batch_size=2, max_in_flight=3))
        with RequestBatcher(db, 10, NEVER, mode="inline", sizing=member.sizing(), gate=member) as batcher:
            for n in range(10):
                batcher.submit(INSERT, {"n": n})
            assert [flush.items for flush in flushes[1:]] == [10]
            assert member.settings == FleetSettings(batch_size=2, max_in_flight=3)
            for n in range(4):
                batcher.submit(INSERT, {"n": n})
    assert [flush.items for flush in flushes[1:]] == [10, 2, 2]
    extra = 0 if db.engine_name == "postgresql" else 1
    assert {flush.round_trips for flush in flushes[1:]} == {flushes[0].round_trips + extra}


def test_a_batch_that_waits_hears_of_new_settings_by_the_heartbeat(db: Database) -> None:
    fleet = Fleet(db, "ingest")
    with (
        fleet.join(heartbeat=0.05, listen=False) as member,
        RequestBatcher(db, 10, NEVER, sizing=member.sizing(), gate=member) as batcher,
    ):
        member.add(batcher)
        future = batcher.submit(INSERT, {"n": 1})
        fleet.configure(FleetSettings(flush_interval=0.001))
        future.result(PATIENCE_SECONDS)
        assert "The fleet's settings make that 1 ms." in str(batcher.explain())


def test_the_asyncio_batcher_hears_of_them_too(db: Database) -> None:
    fleet = Fleet(db, "ingest")

    async def run() -> None:
        with fleet.join(heartbeat=0.05) as member:
            async with AsyncRequestBatcher(db, 10, NEVER, sizing=member.sizing(), gate=member) as batcher:
                member.add(batcher)
                future = batcher.submit(INSERT, {"n": 1})
                fleet.configure(FleetSettings(flush_interval=0.001))
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await future

    asyncio.run(run())


def test_metrics_add_up_what_members_reported(db: Database) -> None:
    fleet = Fleet(db, "ingest")
    with fleet.join(heartbeat=NEVER) as one, fleet.join(heartbeat=NEVER) as two:
        for member, count in ((one, 3), (two, 4)):
            with RequestBatcher(db, mode="inline", gate=member) as batcher:
                member.add(batcher)
                for n in range(count):
                    batcher.submit(INSERT, {"n": n})
        one.beat()
        two.close()
        two.close()
        with db.counting() as count_of:
            metrics = fleet.metrics()
        assert count_of.round_trips == 1
        states = {member.instance: (member.state, member.items, member.batches) for member in metrics.members}
        assert states == {one.instance: (MemberState.LIVE, 3, 1), two.instance: (MemberState.LEFT, 4, 1)}
        assert (metrics.items, metrics.batches, metrics.failed) == (7, 2, 0)
        assert metrics.round_trips_saved > 0
    assert fleet.metrics().count(MemberState.LEFT) == 2
    assert Fleet(db, "another").metrics().members == ()


def test_a_member_that_is_silent_is_lost_and_forgotten_after_an_hour(db: Database) -> None:
    fleet = Fleet(db, "ingest")
    with fleet.join(heartbeat=10.0) as silent:
        with db.driver_transaction() as connection:
            connection.execute("UPDATE perflab_fleet_members SET heard_at = heard_at - 31000000")
        assert fleet.metrics().count(MemberState.LOST) == 1
        silent.beat()
        assert fleet.metrics().count(MemberState.LIVE) == 1
        with db.driver_transaction() as connection:
            connection.execute("UPDATE perflab_fleet_members SET heard_at = heard_at - 3601000000")
        with fleet.join(heartbeat=10.0) as new:
            assert [member.instance for member in fleet.metrics().members] == [new.instance]


def test_a_report_that_fails_disturbs_nobody(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    fleet = Fleet(db, "ingest")
    with fleet.join(heartbeat=0.02) as member:
        with db.driver_transaction() as connection:
            connection.execute("ALTER TABLE perflab_fleet_members RENAME TO elsewhere")
        eventually(lambda: "did not hear of" in caplog.text)
        with RequestBatcher(db, mode="inline", gate=member) as batcher:
            batcher.submit(INSERT, {"n": 1}).result()
        with db.driver_transaction() as connection:
            connection.execute("ALTER TABLE elsewhere RENAME TO perflab_fleet_members")
    assert fleet.metrics().count(MemberState.LEFT) == 1


def test_settings_that_somebody_broke_by_hand_cost_no_flush(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    fleet = Fleet(db, "ingest")
    fleet.configure(FleetSettings(batch_size=2))
    with (
        fleet.join(heartbeat=NEVER) as member,
        RequestBatcher(db, mode="inline", sizing=member.sizing(), gate=member) as batcher,
    ):
        with db.driver_transaction() as connection:
            connection.execute("UPDATE perflab_fleets SET batch_size = 0, version = version + 1")
        futures = [batcher.submit(INSERT, {"n": n}) for n in range(4)]
        batcher.flush()
        assert [future.exception() for future in futures] == [None] * 4
        assert db.fetch("SELECT n FROM sample ORDER BY n") == [(0,), (1,), (2,), (3,)]
        assert member.settings == FleetSettings(batch_size=2)
        assert "cannot be followed" in caplog.text
        with db.driver_transaction() as connection:
            connection.execute("UPDATE perflab_fleets SET batch_size = 3, version = version + 1")


class TestSlots:
    """What only PostgreSQL needs: on SQLite the file has one writer."""

    @pytest.fixture
    def url(self, postgres_url: str) -> str:
        return postgres_url

    @pytest.fixture
    def fleet(self, url: str) -> Iterator[Fleet]:
        with Database.open(url) as opened:
            opened.create_schema()
            with opened.transaction() as connection:
                TABLE.create(connection)
            yield Fleet(opened, "ingest")

    def test_an_idle_member_hears_of_new_settings_at_once(self, fleet: Fleet, url: str) -> None:
        """Of those of its own fleet: it is notified, and its heartbeat is far away."""
        with (
            Database.open(url) as db,
            fleet.join(heartbeat=NEVER) as member,
            RequestBatcher(db, 10, NEVER, sizing=member.sizing(), gate=member) as batcher,
        ):
            member.add(batcher)
            future = batcher.submit(INSERT, {"n": 1})
            Fleet(db, "another").configure(FleetSettings(batch_size=3))
            fleet.configure(FleetSettings(flush_interval=0.001))
            future.result(PATIENCE_SECONDS)
            assert member.settings == FleetSettings(flush_interval=0.001)

    @pytest.mark.case("F09")
    def test_a_member_whose_listening_connection_is_cut_looks_with_its_heartbeat(self, fleet: Fleet, url: str) -> None:
        with psycopg.connect(url, autocommit=True) as observer:

            def listening() -> list[int]:
                """Sessions that listen; those of earlier tests may take a moment to end."""
                answer = observer.execute(
                    "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"
                )
                return [pid for (pid,) in answer.fetchall()]

            eventually(lambda: not listening())
            with fleet.join(heartbeat=0.05) as member:
                (first,) = listening()
                observer.execute("SELECT pg_terminate_backend(%s)", (first,))
                fleet.configure(FleetSettings(batch_size=7))
                eventually(lambda: member.settings == FleetSettings(batch_size=7))
                eventually(lambda: any(pid != first for pid in listening()))
                assert fleet.metrics().count(MemberState.LIVE) == 1
            eventually(lambda: not listening())

    def test_a_flush_takes_one_slot_and_gives_it_back(self, fleet: Fleet, url: str) -> None:
        fleet.configure(FleetSettings(max_in_flight=5))
        with Database.open(url) as db, fleet.join(heartbeat=NEVER) as member:
            for expected in (1, 2, 3):  # each of them inside the transactions of those before
                with db.driver_conversation() as connection:
                    member.enter(connection)()
                    held = fleet.metrics()
                    assert (held.flushes_in_flight, held.flushes_waiting) == (1, 0), expected
            assert fleet.metrics().flushes_in_flight == 0

    def test_fleets_have_slots_of_their_own(self, fleet: Fleet, url: str) -> None:
        with Database.open(url) as db:
            other = Fleet(db, "another")
            for each in (fleet, other):
                each.configure(FleetSettings(max_in_flight=1))
            with (
                fleet.join(heartbeat=NEVER) as one,
                other.join(heartbeat=NEVER) as two,
                db.driver_conversation() as a,
                db.driver_conversation() as b,
            ):
                one.enter(a)()
                two.enter(b)()
                assert (fleet.metrics().flushes_in_flight, other.metrics().flushes_in_flight) == (1, 1)

    def test_a_flush_waits_for_a_slot_and_is_tried_again_after_the_busy_timeout(self, fleet: Fleet, url: str) -> None:
        fleet.configure(FleetSettings(max_in_flight=1))
        with (
            Database.open(url, busy_timeout=0.05) as impatient,
            fleet.join(heartbeat=NEVER) as member,
            RequestBatcher(impatient, 1, gate=member) as batcher,
            psycopg.connect(url) as holder,
        ):
            holder.execute(
                "SELECT pg_advisory_xact_lock(tableoid::int4, id * 1024 + 1) FROM perflab_fleets WHERE name = 'ingest'"
            )
            future = batcher.submit(INSERT, {"n": 1})
            eventually(lambda: fleet.metrics().flushes_waiting)
            eventually(lambda: batcher.metrics().retries >= 2)
            assert not future.done()
            holder.rollback()
            future.result(PATIENCE_SECONDS)
            assert batcher.metrics().failed == 0

    def test_a_new_cap_holds_for_the_next_flush_without_anybody_being_told(self, fleet: Fleet, url: str) -> None:
        fleet.configure(FleetSettings(max_in_flight=1))
        with (
            Database.open(url) as db,
            fleet.join(heartbeat=NEVER) as member,
            db.driver_conversation() as first,
            RequestBatcher(db, 1, gate=member) as batcher,
        ):
            member.enter(first)()
            waiting = batcher.submit(INSERT, {"n": 1})
            eventually(lambda: fleet.metrics().flushes_waiting == 1)
            fleet.configure(FleetSettings(max_in_flight=2))
            with RequestBatcher(db, 1, gate=member) as another:
                another.submit(INSERT, {"n": 2}).result(PATIENCE_SECONDS)
            assert not waiting.done()
            first.execute("ROLLBACK")
            waiting.result(PATIENCE_SECONDS)
