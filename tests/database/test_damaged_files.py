"""Files that are no database, or no whole one any more: a typed error, and the file stays as it is for salvage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import Table, insert

from perflab.database.core_write import CoreWrite
from perflab.database.database import Database
from perflab.errors import DatabaseUnusable

PAGE_BYTES = 4096
ROWS = 500


@pytest.fixture
def engine() -> str:
    return "sqlite"


@pytest.fixture
def closed_file(plain: Database, table: Table, tmp_path: Path) -> Path:
    """A database of many pages, closed, so that all of it stands in one file."""
    plain.apply(CoreWrite(insert(table), plain.dialect), [{"name": f"{number} {'x' * 200}"} for number in range(ROWS)])
    plain.close()
    return tmp_path / "test.db"


@pytest.mark.case("F21")
@pytest.mark.parametrize(
    "content", [b"no database, but a text of some length\n" * 100, b"\x00" * 8192, b"SQLite format 4"]
)
def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(DatabaseUnusable, match=r"opening .*notes.txt' failed: file is not a database; check"):
        Database.open(f"sqlite:///{path}")
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.case("F21")
def test_a_broken_header_is_refused_and_left_alone(closed_file: Path, tmp_path: Path) -> None:
    damaged = b"\xff" * 100 + closed_file.read_bytes()[100:]
    closed_file.write_bytes(damaged)
    with pytest.raises(DatabaseUnusable, match="file is not a database"):
        Database.open(f"sqlite:///{closed_file}")
    assert closed_file.read_bytes() == damaged
    assert list(tmp_path.iterdir()) == [closed_file]


@pytest.mark.case("F21")
def test_a_broken_first_page_is_refused_at_opening(closed_file: Path) -> None:
    content = closed_file.read_bytes()
    closed_file.write_bytes(content[:100] + b"\xff" * (PAGE_BYTES - 100) + content[PAGE_BYTES:])
    with pytest.raises(DatabaseUnusable, match="database disk image is malformed"):
        Database.open(f"sqlite:///{closed_file}")


@pytest.mark.case("F21")
def test_a_broken_page_is_a_typed_error_of_reads_and_writes(closed_file: Path, table: Table) -> None:
    content = closed_file.read_bytes()
    pages = len(content) // PAGE_BYTES
    damaged = content[:PAGE_BYTES] + b"\xff" * PAGE_BYTES * (pages - 1)
    closed_file.write_bytes(damaged)
    with Database.open(f"sqlite:///{closed_file}") as database:
        with pytest.raises(DatabaseUnusable, match="a read failed: database disk image is malformed; check that it"):
            database.fetch("SELECT sum(length(name)) FROM item")
        with pytest.raises(DatabaseUnusable, match="insert item of 1 items failed: database disk image is malformed"):
            database.apply(CoreWrite(insert(table), database.dialect), [{"name": "a"}])
    assert closed_file.read_bytes() == damaged


@pytest.mark.case("F21")
@pytest.mark.parametrize("sixteenths", range(1, 16))
def test_a_truncated_file_never_gives_half_an_answer(closed_file: Path, sixteenths: int) -> None:
    content = closed_file.read_bytes()
    damaged = content[: len(content) * sixteenths // 16]
    closed_file.write_bytes(damaged)
    with (
        pytest.raises(DatabaseUnusable, match=r"malformed|not a database"),
        Database.open(f"sqlite:///{closed_file}") as database,
    ):
        database.fetch("SELECT sum(length(name)) FROM item")
    assert closed_file.read_bytes() == damaged


@pytest.mark.case("F21")
@pytest.mark.parametrize("sixteenths", range(17))
def test_a_truncated_log_gives_the_commits_before_the_cut(
    plain: Database, table: Table, tmp_path: Path, sixteenths: int
) -> None:
    operation = CoreWrite(insert(table), plain.dialect)
    for batch in range(16):
        plain.apply(operation, [{"name": f"{batch} {number}"} for number in range(10)])
    crashed = tmp_path / "crashed.db"
    shutil.copy(tmp_path / "test.db", crashed)
    log = (tmp_path / "test.db-wal").read_bytes()
    Path(f"{crashed}-wal").write_bytes(log[: len(log) * sixteenths // 16])
    with Database.open(f"sqlite:///{crashed}") as recovered:
        tables = recovered.fetch("SELECT count(*) FROM sqlite_master WHERE name = 'item'")
        if tables == [(0,)]:
            assert sixteenths <= 2, "only a cut before the first commits leaves no table"
            return
        ((rows, last),) = recovered.fetch("SELECT count(*), coalesce(max(id), 0) FROM item")
        assert rows % 10 == 0, "a commit is in or not"
        assert rows == last, "and so are all before it"
        assert (rows == 160) == (sixteenths == 16)
        assert recovered.fetch("PRAGMA integrity_check") == [("ok",)]
