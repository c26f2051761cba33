"""Opening and closing: settings in force, and one clear error for each thing that cannot be opened."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from perflab.database import sqlite
from perflab.database.database import Database
from perflab.database.pools import Durability
from perflab.errors import DatabaseUnusable, InvalidInput, LifecycleError, PerflabError
from tests.engines import on_sqlite

RunPython = Callable[..., "subprocess.CompletedProcess[str]"]


def pragma_of_writer(database: Database, name: str) -> Any:
    with database.writing_connection() as connection:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]


def pragma_of_reader(database: Database, name: str) -> Any:
    return database.fetch(f"PRAGMA {name}")[0][0]


@on_sqlite
@pytest.mark.parametrize(("durability", "synchronous"), [("normal", 1), ("full", 2)])
def test_a_writer_is_set_up_for_durability_and_speed(
    database_url: str, durability: Durability, synchronous: int
) -> None:
    with Database.open(database_url, durability=durability, busy_timeout=1.5) as database:
        assert pragma_of_writer(database, "journal_mode") == "wal"
        assert pragma_of_writer(database, "synchronous") == synchronous
        assert pragma_of_writer(database, "foreign_keys") == 1
        assert pragma_of_writer(database, "busy_timeout") == 1500
        assert pragma_of_writer(database, "query_only") == 0
        assert pragma_of_writer(database, "cache_size") == -sqlite.PAGE_CACHE_KIB


@on_sqlite
def test_a_reader_cannot_write(plain: Database) -> None:
    assert pragma_of_reader(plain, "query_only") == 1
    assert pragma_of_reader(plain, "foreign_keys") == 1
    assert pragma_of_reader(plain, "busy_timeout") == 5000
    with pytest.raises(DatabaseUnusable, match="readonly"):
        plain.fetch("INSERT INTO item (name) VALUES ('a')")
    with plain.reading() as connection, pytest.raises(Exception, match="readonly"):
        connection.exec_driver_sql("INSERT INTO item (name) VALUES ('a')")
    assert plain.fetch("SELECT count(*) FROM item") == [(0,)]


def test_a_database_is_a_context_manager_and_closes_twice(tmp_path: Path, database_url: str) -> None:
    with Database.open(database_url) as database:
        database.fetch("SELECT 1")
        assert repr(database) == f"Database({database_url!r}, durability='normal')"
    database.close()
    if database.engine_name == "sqlite":
        assert [path.name for path in tmp_path.iterdir()] == ["test.db"], "the log was written back and removed"


def test_nothing_works_after_close(plain: Database) -> None:
    plain.close()
    with pytest.raises(LifecycleError, match=r"is closed: open it again"):
        plain.fetch("SELECT 1")
    with pytest.raises(LifecycleError, match="is closed"), plain.transaction():
        pass
    with pytest.raises(LifecycleError, match="is closed"), plain.driver_transaction():
        pass
    with pytest.raises(LifecycleError, match="is closed"), plain.reading():
        pass
    with pytest.raises(LifecycleError, match="is closed"):
        plain.create_schema()


def test_the_url_may_be_a_sqlite_uri(tmp_path: Path) -> None:
    with Database.open(f"sqlite:///file:{tmp_path}/uri.db?cache=private&uri=true") as database:
        assert database.fetch("SELECT 1") == [(1,)]
    assert (tmp_path / "uri.db").exists()


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file::memory:?uri=true", "sqlite:///file:?uri=true"],
)
def test_a_database_in_memory_is_one_database_for_readers_too(url: str) -> None:
    with Database.open(url) as database:
        with database.transaction() as connection:
            connection.exec_driver_sql("CREATE TABLE item (id INTEGER PRIMARY KEY)")
        assert database.fetch("SELECT count(*) FROM item") == [(0,)]


# -- what cannot be opened ---------------------------------------------------------------------------------------------


def refuses(folder: Path, url: str, kind: type[PerflabError], message: str, **settings: Any) -> None:
    """One error of this kind, whose text is for people; nothing appears in the folder, and nothing there changes."""

    def contents() -> dict[str, bytes | None]:
        return {path.name: path.read_bytes() if path.is_file() else None for path in folder.iterdir()}

    before = contents()
    with pytest.raises(kind, match=message) as caught:
        Database.open(url, **settings)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    assert contents() == before


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "mysql://localhost/lab",
            r"unknown URL scheme 'mysql' .* 'sqlite:///lab.db', 'postgresql://user@host/name' or ",
        ),
        ("sqlite+aiosqlite:///lab.db", r"unknown URL scheme 'sqlite\+aiosqlite'"),
        ("lab.db", r"'lab.db' is not a database URL: write it like"),
        ("sqlite:/lab.db", "is not a database URL"),
        ("", "'' is not a database URL"),
        ("sqlite://lab.db", r"names a host, and SQLite is a file: write three slashes"),
        ("sqlite://user:word@host/lab.db", "names a host"),
        ("postgresql+embedded://dir", r"names a host, and an embedded server is a directory: write three slashes"),
        ("postgresql+embedded://me:word@host/dir", "names a host"),
        ("postgresql+embedded://", "names no directory: write it like 'postgresql.embedded:///dir'"),
        ("postgresql+embedded:///dir?fsync=off", r"unknown parameter 'fsync' .* takes 'database' only"),
        ("postgresql+embedded:///dir?database=a&database=b", "names several databases: name one"),
        (f"postgresql+embedded:///dir?database={'ä' * 32}", "has 64 bytes: PostgreSQL would cut it at 63; shorten it"),
        ("postgresql+embedded:///dir?database=%00", "holds a NUL character at position 0"),
        ("postgresql+embedded:///dir?database=a%40b", "has one of @ : . # in its name: choose another"),
        ("postgresql+embedded:///no/parent/dir", "the parent of the directory .* does not exist: create"),
        ("sqlite:///lab.db?timeout=5", r"unknown parameter 'timeout' .* arguments of Database.open"),
        ("sqlite:///lab.db?mode=ro", "half a SQLite URI"),
        ("sqlite:///lab.db?uri=true", "half a SQLite URI"),
        ("sqlite:///file:lab.db", "half a SQLite URI"),
        ("sqlite:///file:lab.db?uri=maybe", "half a SQLite URI"),
        ("sqlite:///lab\0.db", "holds a NUL character"),
        ("sqlite:///lab\ud800.db", "not valid Unicode"),
        (f"sqlite:///{'n' * 300}.db", None),
    ],
)
def test_a_bad_url_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, message: str | None) -> None:
    monkeypatch.chdir(tmp_path)
    if message is None:
        refuses(tmp_path, url, DatabaseUnusable, "cannot be reached: File name too long")
    else:
        refuses(tmp_path, url, InvalidInput, message)


@pytest.mark.parametrize("url", [None, 5, b"sqlite:///lab.db", Path("lab.db")])
def test_a_url_is_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: Any) -> None:
    monkeypatch.chdir(tmp_path)
    refuses(tmp_path, url, InvalidInput, rf"the database URL is a {type(url).__name__}: give text")


@pytest.mark.parametrize("busy_timeout", [-1, float("nan"), float("inf"), "5", True, None])
def test_a_bad_busy_timeout_is_refused(tmp_path: Path, database_url: str, busy_timeout: Any) -> None:
    refuses(tmp_path, database_url, InvalidInput, "busy_timeout is ", busy_timeout=busy_timeout)


@pytest.mark.parametrize("durability", ["FULL", "", None, "off"])
def test_a_bad_durability_is_refused(tmp_path: Path, database_url: str, durability: Any) -> None:
    refuses(tmp_path, database_url, InvalidInput, "durability is .*: use 'normal' or 'full'", durability=durability)


@pytest.mark.case("F22")
def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    refuses(
        tmp_path, f"sqlite:///{tmp_path}/none/lab.db", InvalidInput, r"none/lab.db' does not exist: create '.*none'"
    )


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refuses(tmp_path, f"sqlite:///{tmp_path}/file/lab.db", InvalidInput, "does not exist: create")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    refuses(tmp_path, f"sqlite:///{tmp_path}/lab", InvalidInput, r"lab' is a directory: name a file in it")


@pytest.mark.case("F22")
@on_sqlite
@pytest.mark.parametrize("option", ["mode=ro", "immutable=1"])
def test_a_file_opened_for_reading_only_is_refused(tmp_path: Path, plain: Database, option: str) -> None:
    plain.close()
    url = f"sqlite:///file:{tmp_path}/test.db?{option}&uri=true"
    refuses(tmp_path, url, DatabaseUnusable, "would be opened read-only: leave out mode=ro and immutable")


def test_a_missing_file_that_must_exist_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///file:{tmp_path}/none.db?mode=rw&uri=true"
    refuses(tmp_path, url, DatabaseUnusable, "unable to open database file; check")


@on_sqlite
def test_an_old_library_is_refused(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    refuses(tmp_path, database_url, DatabaseUnusable, "is too old: perflab needs 3.35.0 or newer")


# -- permissions, as somebody who is not root --------------------------------------------------------------------------

NOBODY = 65_534
OPEN_AS_NOBODY = """
    import os, sys
    from perflab.database.database import Database
    from perflab.errors import PerflabError
    Database.open("sqlite://").close()  # imports what it needs, which the other user might not be allowed to read
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(int(sys.argv[2]))
        os.setuid(int(sys.argv[2]))
    try:
        Database.open(sys.argv[1])
    except PerflabError as error:
        print(type(error).__name__, error)
"""


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that others can reach; pytest's own are private."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def open_without_rights(run_python: RunPython, path: Path) -> str:
    output: str = run_python(OPEN_AS_NOBODY, f"sqlite:///{path}", NOBODY).stdout
    return output


@pytest.mark.case("F22")
def test_a_file_without_the_right_to_write_is_refused(run_python: RunPython, shared_folder: Path) -> None:
    path = shared_folder / "lab.db"
    Database.open(f"sqlite:///{path}").close()
    path.chmod(0o444)
    before = path.read_bytes()
    said = open_without_rights(run_python, path)
    assert said == f"DatabaseUnusable the database file '{path}' is read-only: allow writing to it, or open a copy\n"
    assert path.read_bytes() == before
    assert list(shared_folder.iterdir()) == [path]


@pytest.mark.case("F22")
def test_a_folder_without_the_right_to_write_is_refused(run_python: RunPython, shared_folder: Path) -> None:
    shared_folder.chmod(0o555)
    said = open_without_rights(run_python, shared_folder / "lab.db")
    assert said.startswith("DatabaseUnusable opening ")
    assert "unable to open database file" in said
    assert list(shared_folder.iterdir()) == []


def test_a_folder_that_cannot_be_entered_is_refused(run_python: RunPython, shared_folder: Path) -> None:
    shared_folder.chmod(0o600)
    said = open_without_rights(run_python, shared_folder / "lab.db")
    shared_folder.chmod(0o755)
    assert said.startswith("DatabaseUnusable the database file ")
    assert "cannot be reached: Permission denied" in said
