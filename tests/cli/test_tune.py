"""`perflab tune` as its user meets it: one line for what is wrong, and nothing left behind however it ends."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from perflab.cli import main
from perflab.database.database import Database
from perflab.lab.scratch.schema import open_scratch_schema
from perflab.lab.tune.place import open_place
from tests.processes import wait_for

PROGRAM = """
    import sys
    from perflab.cli import main
    sys.exit(main(sys.argv[1:]))
"""
Start = Callable[..., subprocess.Popen[str]]


class Users:
    """A user's database with a table in it, and what else is there."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self._folder = folder
        with Database.open(url) as database, database.transaction() as connection:
            connection.exec_driver_sql("CREATE TABLE mine (id INT)")
            connection.exec_driver_sql("INSERT INTO mine VALUES (7)")

    def left(self) -> list[str]:
        """Scratch schemas or folders."""
        if self.url.startswith("sqlite"):
            return [path.name for path in self._folder.iterdir() if path.name.startswith("perflab-scratch-")]
        with psycopg.connect(self.url, autocommit=True) as connection:
            rows = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'perflab%%'").fetchall()
        return [name for (name,) in rows]

    def check(self) -> None:
        """Their table is as it was, and no other one is there."""
        with Database.open(self.url) as database:
            assert database.fetch("SELECT id FROM mine") == [(7,)]
            names = (
                "SELECT name FROM sqlite_master WHERE type = 'table'"
                if database.engine_name == "sqlite"
                else "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            )
            assert database.fetch(names) == [("mine",)]


@pytest.fixture(params=["sqlite", "postgresql"])
def users(request: pytest.FixtureRequest, tmp_path: Path) -> Users:
    folder = tmp_path / "users"
    folder.mkdir()
    if request.param == "sqlite":
        return Users(f"sqlite:///{folder / 'lab.db'}", folder)
    return Users(request.getfixturevalue("postgres_url"), folder)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files of the processes of this test."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield place
    tempfile.tempdir = None


def start(users: Users, start_python: Start) -> subprocess.Popen[str]:
    """Tune, and return when it is at it."""
    process = start_python(PROGRAM, "tune", users.url, "--budget", "3000", "--report", "")

    def is_measuring() -> bool:
        assert process.poll() is None, process.communicate()
        return bool(users.left())

    wait_for(is_measuring)
    return process


@pytest.mark.parametrize(
    ("users", "sent", "code"),
    [("sqlite", signal.SIGTERM, 143), ("postgresql", signal.SIGINT, 130)],
    indirect=["users"],
)
def test_a_signal_leaves_nothing(
    users: Users, temporary: Path, start_python: Start, sent: signal.Signals, code: int
) -> None:
    process = start(users, start_python)
    process.send_signal(sent)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (code, "", "")
    assert users.left() == []
    assert list(temporary.iterdir()) == []
    users.check()


def test_what_a_kill_leaves_is_removed_by_the_next_run(users: Users, temporary: Path, start_python: Start) -> None:
    process = start(users, start_python)
    process.kill()
    process.communicate()
    assert users.left()
    assert temporary.exists()

    def next_one_finds_nothing() -> bool:
        """The server notices only after a while that a session has lost its client, and ends it."""
        with open_place(users.url) as place:
            if place.engine == "postgresql":
                with Database.open(place.url) as database, open_scratch_schema(place.url, database):
                    return users.left() == []
            return len(users.left()) == 1  # its own
        raise AssertionError

    wait_for(next_one_finds_nothing)
    assert users.left() == []
    users.check()


def test_a_user_without_rights_gets_one_sentence(postgres_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    role = f"reader_{uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN")
    try:
        assert main(["tune", postgres_url.replace("postgres@", f"{role}@"), "--report", ""]) == 2
    finally:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f"DROP ROLE {role}")
    error = capsys.readouterr().err
    assert error.startswith("perflab: measuring needs a scratch schema, and this user may not create one")
    assert "GRANT CREATE ON DATABASE" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no database is named"),
        (["sqlite:///lbo.db"], "there is no database file 'lbo.db'"),
        (["sqlite:///lab.db", "--slo", "20"], "--slo is '20': give a time with its unit, such as 20ms"),
        (["sqlite:///lab.db", "--slo", "-5ms"], "--slo is '-5ms'"),
        (["sqlite:///lab.db", "--slo", "0ms"], "--slo is '0ms'"),
        (["sqlite:///lab.db", "--slo", "2h"], "--slo is '2h'"),
        (["sqlite:///lab.db", "--budget", "1"], "budget is 1.0"),
        (["sqlite:///lab.db", "--arrivals", "0"], "arrivals is 0.0"),
        (["sqlite:///lab.db", "--report", "missing/tune.html"], "--report is 'missing/tune.html': name a file"),
        (["sqlite:///lab.db", "--report", "."], "--report is '.': name a file"),
    ],
)
def test_bad_input_is_one_line_and_makes_nothing(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("PERFLAB_DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    if "sqlite:///lab.db" in arguments:
        Database.open("sqlite:///lab.db").close()
    before = sorted(tmp_path.iterdir())
    report = [] if "--report" in arguments else ["--report", "tune.html"]
    assert main(["tune", *arguments, *report]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before
