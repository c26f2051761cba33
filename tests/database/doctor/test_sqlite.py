"""The look at a SQLite file: each illness is found, and nothing is changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from perflab.database.database import Database
from perflab.database.doctor import machine
from perflab.database.doctor import sqlite as look
from perflab.database.doctor.diagnosis import Check, Verdict
from perflab.database.doctor.examine import examine
from perflab.database.schema import VERSION_TABLE
from perflab.errors import InvalidInput

CORRUPT = b"\xff" * 3000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with perflab's tables."""
    with Database.open(f"sqlite:///{tmp_path}/lab.db") as database:
        database.create_schema()
    return tmp_path / "lab.db"


@pytest.fixture
def other(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def check(path: Path, name: str) -> Check:
    [found] = [check for check in examine(f"sqlite:///{path}").checks if check.name == name]
    return found


def test_a_healthy_file_stays_as_it_is(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    diagnosis = examine(f"sqlite:///{path}")
    assert [found.name for found in diagnosis.checks if found.verdict is Verdict.OK] >= ["reachable", "engine"]
    assert diagnosis.verdict in (Verdict.OK, Verdict.WARNING)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_journal_that_perflab_would_change_is_left(tmp_path: Path) -> None:
    file = tmp_path / "theirs.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE theirs (id INTEGER)")
    found = check(file, "durability")
    assert (found.verdict, found.values) == (Verdict.NOTE, {"journal_mode": "delete"})
    assert "changes it to wal when it opens the file" in found.finding
    assert check(file, "durability") == found
    assert check(file, "schema").finding == "perflab's tables are not there yet"


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path}/none.db", f"sqlite:///file:{tmp_path}/none.db?uri=true"):
        diagnosis = examine(url)
        assert diagnosis.verdict is Verdict.FAILURE
        assert "make it with perflab db upgrade" in diagnosis.describe()
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "lab.db").write_bytes(b"something else" * 100)
    diagnosis = examine(f"sqlite:///{tmp_path}/lab.db")
    assert diagnosis.describe().startswith("fail  reachable ")
    assert "file is not a database; keep the file" in diagnosis.describe()


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is a directory"):
        examine(f"sqlite:///{tmp_path}")


def test_a_database_in_memory_is_refused() -> None:
    with pytest.raises(InvalidInput, match="is in memory and empty: give the URL of a file"):
        examine("sqlite://")


@pytest.mark.case("F21")
def test_a_damaged_page_is_found(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[8192 : 8192 + len(CORRUPT)] = CORRUPT
    path.write_bytes(data)
    found = check(path, "integrity")
    assert found.verdict is Verdict.FAILURE
    assert "the file is damaged" in found.finding


def test_a_large_file_is_not_read_as_a_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "LARGEST_QUICK_CHECK_BYTES", 10)
    assert check(path, "integrity").verdict is Verdict.NOTE


def test_another_writer_is_no_illness(path: Path, other: sqlite3.Connection) -> None:
    other.execute("BEGIN IMMEDIATE")
    found = check(path, "writable")
    assert (found.verdict, found.finding) == (Verdict.OK, "another writer is at work right now")


@pytest.mark.parametrize(
    ("revision", "advice"), [("0000", "upgrade perflab, or use another database"), ("9999", "upgrade perflab")]
)
def test_a_schema_of_another_version_is_a_failure(
    path: Path, other: sqlite3.Connection, revision: str, advice: str
) -> None:
    other.execute(f"UPDATE {VERSION_TABLE} SET version_num = ?", [revision])
    found = check(path, "schema")
    assert (found.verdict, found.values["revision"]) == (Verdict.FAILURE, revision)
    assert advice in found.advice


def test_an_older_schema_is_to_be_upgraded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SCHEMA_REVISION", "0002")
    found = machine.check_revision("0001")
    assert (found.verdict, found.finding) == (
        Verdict.FAILURE,
        "perflab's tables are in revision 0001, and this version needs 0002",
    )
    assert found.advice == "run perflab db upgrade, or call create_schema()"


def test_a_log_that_a_reader_holds_is_found(
    path: Path, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "LARGE_LOG_BYTES", 100_000)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM perflab_jobs").fetchone()
    with closing(sqlite3.connect(path)) as writer, writer:
        writer.execute("CREATE TABLE filler AS SELECT zeroblob(500000) AS data")
    found = check(path, "tables")
    assert found.verdict is Verdict.WARNING
    assert found.values["log_bytes"] > 500_000
    assert "end the reader that stays open" in found.advice


def test_unused_pages_are_found(path: Path, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "FREE_BYTES", 100_000)
    other.execute("CREATE TABLE filler AS SELECT zeroblob(500000) AS data")
    assert check(path, "tables").verdict is Verdict.OK
    other.execute("DROP TABLE filler")
    found = check(path, "tables")
    assert (found.verdict, found.advice) == (Verdict.WARNING, "VACUUM gives it back to the disk")
    assert found.values["free_bytes"] >= 500_000


def test_statistics_are_told_of(path: Path, other: sqlite3.Connection) -> None:
    assert check(path, "statistics").verdict is Verdict.OK
    other.execute(
        "INSERT INTO perflab_watches (name, queue, priority, interval, timezone, next_due_at, enabled, payload)"
        " VALUES ('w', 'q', 0, 1, 'UTC', 0, 1, '{}')"
    )
    other.execute("ANALYZE")
    found = check(path, "statistics")
    assert (found.verdict, found.values["perflab_watches"]) == (Verdict.NOTE, 1)


@pytest.mark.case("F20")
@pytest.mark.parametrize(
    ("free", "verdict"), [(1 << 20, Verdict.FAILURE), (1 << 29, Verdict.WARNING), (1 << 40, Verdict.OK)]
)
def test_a_full_disk_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, verdict: Verdict) -> None:
    usage = type("Usage", (), {"free": free, "total": 1 << 41})
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: usage)
    assert machine.check_disk(tmp_path, 5).verdict is verdict


def test_the_round_trip_is_of_the_clock_that_is_passed_in() -> None:
    ticks = iter(range(1_000))
    found = machine.check_round_trip(lambda: None, lambda: next(ticks) / 1_000)
    assert found.values["median_seconds"] == pytest.approx(0.001)
    assert found.finding == "a round trip takes 1 ms (median of 30, 1 ms to 1 ms)"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.0, "0 µs"), (7e-7, "0.7 µs"), (0.00124, "1.24 ms"), (0.9999, "1.0 s"), (61.0, "61.0 s")]
)
def test_durations_are_for_people(seconds: float, shown: str) -> None:
    assert machine.duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 bytes"), (1_023, "1023 bytes"), (1_536, "1.5 KiB"), (5 << 40, "5.0 TiB")]
)
def test_sizes_are_for_people(count: int, shown: str) -> None:
    assert machine.size(count) == shown
