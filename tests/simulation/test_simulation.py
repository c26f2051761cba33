"""Safety under any fault, progress once faults stop; and mutants, without which the checker would not be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

import pytest

from perflab.database.database import Database
from perflab.database.statements import OwnStatement
from perflab.queue import sqlite as queue_sql
from perflab.queue.sqlite import SQLiteQueueEngine
from perflab.scheduler import sqlite as scheduler_sql
from tests.simulation.simulation import Simulated, simulate

HOURS = 0.2


@pytest.fixture
def engine() -> str:
    return "sqlite"


@pytest.mark.case("F01")
@pytest.mark.case("F03")
@pytest.mark.case("F36")
@pytest.mark.case("F38")
def test_nothing_goes_wrong(database: Database) -> None:
    simulated = simulate(1, HOURS, database)
    assert not simulated.findings, simulated
    assert simulated.left == 0, simulated
    faults = {fault.partition(" before")[0] for fault in simulated.faults}
    assert faults == {
        *("SQLITE_BUSY", "SQLITE_FULL", "SQLITE_IOERR", "clock set", "killed", "killed after commit", "stood still")
    }
    assert simulated.deliveries > simulated.jobs > 500


def test_the_same_seed_is_the_same_run(perflab_url: str, tmp_path: Any, sqlite_template: Any) -> None:
    runs: list[Simulated] = []
    for name in ("first", "second"):
        path = tmp_path / f"{name}.db"
        path.write_bytes(sqlite_template.read_bytes())
        with Database.open(f"sqlite:///{path}") as database:
            runs.append(simulate(7, HOURS / 4, database))
    assert runs[0] == runs[1]


# -- mutants -----------------------------------------------------------------------------------------------------------


def changed(sql: Mapping[str, OwnStatement], name: str, old: str, new: str) -> dict[str, OwnStatement]:
    assert old in sql[name]
    return {**sql, name: OwnStatement(sql[name].replace(old, new))}


def test_one_dropped_acknowledgement_in_a_thousand_is_found(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, numbers = SQLiteQueueEngine.mark_done, count(1)
    dropped: list[Any] = []

    def mark_done(self: SQLiteQueueEngine, connection: Any, leases: Any) -> list[bool]:
        kept = [lease for lease in leases if next(numbers) % 1_000]
        dropped.extend(lease for lease in leases if lease not in kept)
        answers = iter(original(self, connection, kept))
        return [next(answers) if lease in kept else True for lease in leases]

    monkeypatch.setattr(SQLiteQueueEngine, "mark_done", mark_done)
    simulated = simulate(1, 2 * HOURS, database, calm_hours=0.1)
    assert dropped
    assert simulated.findings.duplicated


def test_a_dropped_job_is_found(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    original, numbers = SQLiteQueueEngine.rescue_expired, count(1)

    def rescue_expired(self: SQLiteQueueEngine, connection: Any, queue: str, *rest: Any, **options: Any) -> list[str]:
        states = original(self, connection, queue, *rest, **options)
        if states and next(numbers) == 1:
            connection.execute("DELETE FROM perflab_jobs WHERE id = (SELECT max(id) FROM perflab_jobs)")
        return states

    monkeypatch.setattr(SQLiteQueueEngine, "rescue_expired", rescue_expired)
    assert simulate(1, HOURS, database).findings.lost


def test_a_skipped_fence_is_found(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant = changed(queue_sql._SQL, "mark_done", "attempt = ?2", "attempt >= ?2")
    mutant = changed(mutant, "lost", "attempt = ?2", "attempt >= ?2")
    monkeypatch.setattr(queue_sql, "_SQL", mutant)
    assert simulate(1, HOURS, database).findings.stale


def test_a_doubled_slot_is_found(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks do not move on in the first fifty seconds of a minute."""
    mutant = changed(
        scheduler_sql._SQL,
        "advance",
        "SET next_due_at = due.next_slot",
        "SET next_due_at = CASE WHEN ?1 % 60000000 < 50000000 THEN next_due_at ELSE due.next_slot END",
    )
    monkeypatch.setattr(scheduler_sql, "_SQL", mutant)
    assert simulate(1, HOURS, database).findings.duplicated
