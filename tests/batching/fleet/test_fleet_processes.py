"""Four processes, one of them killed in the middle of a flush, and settings that change while they run.

A trigger notes, inside the database, from when to when each flush was there. It knows nothing of slots.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from perflab.batching.fleet.fleet import Fleet
from perflab.batching.fleet.metrics import FleetMetrics, MemberState
from perflab.batching.fleet.settings import FleetSettings
from perflab.database.database import Database

PATIENCE_SECONDS = 90.0
PROCESSES = 4
VICTIM = 0
"""The number of the process that is killed. Its flushes wait while `HOLD` is taken, so that the signal meets one."""
HOLD = 4711
"""An advisory lock."""

NOTE_FLUSHES = f"""
CREATE TABLE sample (process int, n int);
CREATE TABLE flushes (pid int, process int, items int, began timestamptz, ended timestamptz);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    began timestamptz := clock_timestamp();
    writer int := (SELECT min(process) FROM new);
BEGIN
    PERFORM CASE WHEN writer = {VICTIM} THEN pg_advisory_xact_lock_shared({HOLD}) END;
    PERFORM pg_sleep(0.02);
    INSERT INTO flushes VALUES (pg_backend_pid(), writer, (SELECT count(*) FROM new), began, clock_timestamp());
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT ON sample REFERENCING NEW TABLE AS new FOR EACH STATEMENT EXECUTE FUNCTION note();
"""

PROCESS = """
    import sys, threading
    from sqlalchemy import Column, Integer, MetaData, Table, insert
    from perflab.batching.batcher import RequestBatcher
    from perflab.batching.fleet.fleet import Fleet
    from perflab.database.database import Database

    url, process = sys.argv[1], int(sys.argv[2])
    write = insert(Table("sample", MetaData(), Column("process", Integer), Column("n", Integer)))
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    with Database.open(url, busy_timeout=30.0) as db, Fleet(db, "ingest").join(heartbeat=0.2) as member:
        with RequestBatcher(db, 64, 0.01, max_pending=64, sizing=member.sizing(), gate=member) as batcher:
            member.add(batcher)
            print("joined", flush=True)
            n = 0
            while not stop.is_set():
                batcher.submit(write, {"process": process, "n": n})
                n += 1
        report = batcher.close()
        assert report.failed == report.abandoned == 0, report
        print(n)
"""

SLOTS = """
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND granted AND classid = 'perflab_fleets'::regclass AND pid = ANY(
    SELECT pid FROM pg_stat_activity WHERE application_name = %s
)
"""
WAITING = """
SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND NOT granted AND mode = 'ShareLock' AND application_name = %s
"""
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
OVERLAP = """
SELECT coalesce(max((
    SELECT count(*) FROM flushes AS other WHERE other.began <= flush.began AND flush.began < other.ended
)), 0)
FROM flushes AS flush WHERE began >= %s AND began < coalesce(%s::timestamptz, 'infinity')
"""


class Observer:
    """Looks into the database, past perflab."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url, autocommit=True)

    def value(self, sql: str, *parameters: Any) -> Any:
        (value,) = self.connection.execute(sql, parameters).fetchone() or (None,)
        return value

    def now(self) -> Any:
        return self.value("SELECT clock_timestamp()")

    def most_at_once(self, since: Any, until: Any = None) -> int:
        """Flushes that were in the database at the same time, of those that began in a span."""
        most: int = self.value(OVERLAP, since, until)
        return most

    def eventually(self, is_so: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_so():
            assert time.monotonic() < deadline, "it did not come to that"
            time.sleep(0.01)

    def flushes_since(self, moment: Any, count: int) -> None:
        """Wait until that many flushes of the processes that stay began after a moment and are committed."""
        self.eventually(
            lambda: (
                self.value("SELECT count(*) FROM flushes WHERE process <> %s AND began >= %s", VICTIM, moment) >= count
            )
        )


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def observer(url: str) -> Iterator[Observer]:
    watcher = Observer(url)
    with watcher.connection:
        yield watcher


def test_the_cap_holds_and_is_reached_while_a_process_is_killed_and_settings_change(
    url: str, observer: Observer, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    with ExitStack() as stack:
        db = stack.enter_context(Database.open(url))
        db.create_schema()
        observer.connection.execute(NOTE_FLUSHES)
        fleet = Fleet(db, "ingest")
        fleet.configure(FleetSettings(batch_size=16, max_in_flight=2))
        start = observer.now()
        separator = "&" if "?" in url else "?"
        processes = [
            start_python(PROCESS, f"{url}{separator}application_name=process_{number}", number)
            for number in range(PROCESSES)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "joined\n"
        observer.eventually(lambda: observer.value("SELECT count(DISTINCT process) FROM flushes") == PROCESSES)
        observer.flushes_since(observer.now(), 30)

        killed_at = _kill_in_a_flush(processes[VICTIM], observer)
        observer.flushes_since(killed_at, 30)

        changed_at = observer.now()
        fleet.configure(FleetSettings(batch_size=5, max_in_flight=3))
        observer.flushes_since(changed_at, 60)
        running = _metrics_when_the_victim_is_lost(fleet, observer)

        written = _stop(processes[1:])
        _check_overlaps(observer, start, killed_at, changed_at)
        _check_sizes(observer, changed_at)
        assert observer.value("SELECT count(*) FROM sample WHERE process <> %s", VICTIM) == sum(written)
        _check_metrics(running, fleet.metrics(), written)


def _kill_in_a_flush(victim: subprocess.Popen[str], observer: Observer) -> Any:
    """SIGKILL while a flush of it holds a slot; returns when that slot is free again."""
    name = f"process_{VICTIM}"
    observer.value("SELECT pg_advisory_lock(%s)", HOLD)
    observer.eventually(lambda: observer.value(WAITING, name))
    victim.send_signal(signal.SIGKILL)
    assert victim.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    assert observer.value(SLOTS, name) == 1, "the signal met no flush"  # the database still works on it
    observer.value("SELECT pg_advisory_unlock(%s)", HOLD)
    observer.eventually(lambda: not observer.value(SESSIONS, name))
    assert observer.value(SLOTS, name) == 0
    return observer.now()


def _metrics_when_the_victim_is_lost(fleet: Fleet, observer: Observer) -> FleetMetrics:
    """With the others alive: one that was stalled for a moment counts as lost until it is heard of again."""
    seen: list[FleetMetrics] = []

    def is_so() -> bool:
        seen.append(fleet.metrics())
        return (seen[-1].count(MemberState.LIVE), seen[-1].count(MemberState.LOST)) == (PROCESSES - 1, 1)

    observer.eventually(is_so)
    return seen[-1]


def _stop(processes: list[subprocess.Popen[str]]) -> list[int]:
    written = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    for process in processes:
        process.stdin = None  # communicate would flush it
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0, errors
        written.append(int(output))
    return written


def _check_overlaps(observer: Observer, start: Any, killed_at: Any, changed_at: Any) -> None:
    """Never more than the cap, and as many as that, before the kill, after it, and after the cap was raised."""
    assert observer.most_at_once(start, killed_at) == 2
    assert observer.most_at_once(killed_at, changed_at) == 2
    assert observer.most_at_once(changed_at) == 3


def _check_sizes(observer: Observer, changed_at: Any) -> None:
    assert observer.value("SELECT max(items) FROM flushes") == 16
    # The one on its way when the settings changed, and the one that had left behind it.
    late = observer.value("SELECT count(*) FROM flushes WHERE began >= %s AND items > 5", changed_at)
    assert late <= 2 * (PROCESSES - 1)
    assert observer.value("SELECT max(items) FROM (SELECT items FROM flushes ORDER BY began DESC LIMIT 30)") == 5


def _check_metrics(running: FleetMetrics, ended: FleetMetrics, written: list[int]) -> None:
    assert running.flushes_in_flight is not None
    assert running.flushes_in_flight <= 3
    left = [member for member in ended.members if member.state is MemberState.LEFT]
    assert sorted(member.items for member in left) == sorted(written)
    assert ended.count(MemberState.LOST) == 1
    assert ended.pending == 0
    assert ended.items > sum(written)  # what the lost one had reported stays
