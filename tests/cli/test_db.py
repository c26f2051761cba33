"""`perflab db`: what a user types, and what it says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from perflab.cli import main
from perflab.cli.database_url import VARIABLE
from perflab.database.database import Database
from perflab.database.embedded import EmbeddedServer
from perflab.database.schema import SCHEMA_REVISION, VERSION_TABLE
from tests.database.server_places import leaving_no_process, place_for_a_server, processes_of
from tests.engines import on_sqlite

RunPython = Callable[..., "subprocess.CompletedProcess[str]"]
Said = tuple[int, str, str]
Command = Callable[..., Said]

PASSWORD = "Xq7Canary"


@pytest.fixture
def perflab(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command; the result is its exit code and what it said on both channels."""
    monkeypatch.delenv(VARIABLE, raising=False)

    def run(*arguments: object) -> Said:
        code = main(list(map(str, arguments)))
        output, errors = capsys.readouterr()
        assert PASSWORD not in output + errors
        return code, output, errors

    return run


@pytest.fixture(scope="module")
def used_directory() -> Iterator[Path]:
    with place_for_a_server() as place:
        yield place


@pytest.fixture
def directory(used_directory: Path) -> Iterator[Path]:
    with leaving_no_process(used_directory):
        yield used_directory


def started_at(url: str) -> object:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT pg_postmaster_start_time()").fetchone()


# -- embedded servers --------------------------------------------------------------------------------------------------


def test_a_server_outlives_the_command_until_it_is_stopped(
    perflab: Command, directory: Path, run_python: RunPython
) -> None:
    start = "import sys\nfrom perflab.cli import main\nsys.exit(main(['db', 'start', *sys.argv[1:]]))"
    started = run_python(start, directory, "--setting", "work_mem=9MB")
    assert started.stderr == f"it runs until: perflab db stop {directory}\n"
    url = started.stdout.strip()
    with psycopg.connect(url) as connection:
        assert connection.execute("SHOW work_mem").fetchone() == ("9MB",)
    running_since = started_at(url)

    assert perflab("db", "start", directory)[:2] == (0, f"{url}\n")
    assert perflab("db", "url", directory) == (0, f"{url}\n", "")
    with Database.open(f"postgresql+embedded:///{directory}") as database:
        assert database.fetch("SELECT 1") == [(1,)]
    assert perflab("db", "upgrade", url)[0] == 0
    assert perflab("db", "doctor", url)[0] == 0
    code, _output, errors = perflab("db", "start", directory, "--setting", "work_mem=8MB")
    assert (code, "already runs, without work_mem = '8MB'" in errors) == (2, True)
    assert started_at(url) == running_since

    assert perflab("db", "stop", directory) == (0, f"stopped the server in {directory}\n", "")
    assert processes_of(directory) == set()
    assert perflab("db", "stop", directory) == (0, f"no server runs in {directory}\n", "")
    code, output, errors = perflab("db", "url", directory)
    assert (code, output) == (2, "")
    assert errors == f"perflab: no server runs in {directory}: start it with perflab db start {directory}\n"


@pytest.mark.parametrize("command", ["stop", "url"])
def test_a_directory_without_a_server_is_refused_and_not_made(perflab: Command, command: str, tmp_path: Path) -> None:
    code, output, errors = perflab("db", command, tmp_path / "none")
    assert (code, output) == (2, "")
    assert errors == (f"perflab: no embedded server was ever started in '{tmp_path}/none': name another directory\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (["work_mem"], "NAME=VALUE"),
        (["port=1"], "decided by the embedded"),
        (["work_mem=8MB", "work_mem=9MB"], "the setting 'work_mem' is given twice: give it once"),
    ],
)
def test_a_bad_setting_is_refused(perflab: Command, directory: Path, settings: list[str], reason: str) -> None:
    code, output, errors = perflab("db", "start", directory, *(f"--setting={setting}" for setting in settings))
    assert (code, output) == (2, "")
    assert reason in errors
    assert processes_of(directory) == set()


def created(url: str) -> str:
    return f"{url}: created perflab's tables in revision {SCHEMA_REVISION}\n"


# -- the URL -----------------------------------------------------------------------------------------------------------


def test_the_url_may_stand_in_the_environment(
    perflab: Command, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, database_url)
    assert perflab("db", "upgrade") == (
        0,
        f"{database_url}: created perflab's tables in revision {SCHEMA_REVISION}\n",
        "",
    )
    monkeypatch.setenv(VARIABLE, "sqlite:////nowhere/lab.db")
    assert perflab("db", "upgrade", database_url)[0] == 0, "an argument is nearer than the environment"


@pytest.mark.parametrize("command", ["upgrade", "doctor"])
def test_without_a_url_it_says_where_to_give_one(
    perflab: Command, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = f"perflab: no database is named: give its URL, such as sqlite:///lab.db, or set {VARIABLE}\n"
    assert perflab("db", command) == (2, "", expected)
    monkeypatch.setenv(VARIABLE, "")
    assert perflab("db", command) == (2, "", expected)


@pytest.mark.parametrize("command", ["upgrade", "doctor"])
def test_help_has_examples_and_shows_no_password(
    perflab: Command, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, f"postgresql://me:{PASSWORD}@db/lab")
    code, output, _errors = perflab("db", command, "--help")
    assert code == 0
    assert f"[env var: {VARIABLE}]" in output
    assert f"Examples:\n    perflab db {command} " in output


# -- migrations --------------------------------------------------------------------------------------------------------


def test_an_upgrade_says_from_where_to_where(perflab: Command, database_url: str) -> None:
    assert perflab("db", "upgrade", database_url)[1].endswith(
        f": created perflab's tables in revision {SCHEMA_REVISION}\n"
    )
    assert perflab("db", "upgrade", database_url) == (
        0,
        f"{database_url} is in revision {SCHEMA_REVISION} already, the newest\n",
        "",
    )


def test_an_upgrade_from_an_older_revision(
    perflab: Command, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perflab.database.schema.upgrade", lambda _database: "0000")
    expected = f"{database_url}: from revision 0000 to {SCHEMA_REVISION}\n"
    assert perflab("db", "upgrade", database_url) == (0, expected, "")


def test_a_newer_schema_is_refused(perflab: Command, postgres_url: str) -> None:
    assert perflab("db", "upgrade", postgres_url)[0] == 0
    with psycopg.connect(postgres_url) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    code, output, errors = perflab("db", "upgrade", postgres_url)
    assert (code, output) == (2, "")
    assert "revision '9999', which this version does not know: upgrade perflab, or open another database" in errors


# -- the doctor --------------------------------------------------------------------------------------------------------


@on_sqlite
def test_a_healthy_database_is_told_so_line_by_line(perflab: Command, database_url: str) -> None:
    perflab("db", "upgrade", database_url)
    code, output, errors = perflab("db", "doctor", database_url)
    assert (code, errors) == (0, "")
    assert {line[:4].strip() for line in output.splitlines()} <= {"ok", "warn"}, "the disk may be short of space"


def test_json_is_for_machines(perflab: Command, database_url: str) -> None:
    perflab("db", "upgrade", database_url)
    code, output, _errors = perflab("db", "doctor", database_url, "--json")
    report = json.loads(output)
    assert code == (0 if database_url.startswith("sqlite") else 1), "the tests' server does not wait for the disk"
    assert report["url"] == database_url
    assert [check["name"] for check in report["checks"]][:4] == ["reachable", "engine", "writable", "schema"]
    [trip] = [check for check in report["checks"] if check["name"] == "round trip"]
    assert 0 < trip["values"]["least_seconds"] <= trip["values"]["median_seconds"]


@pytest.mark.case("F43")
def test_a_failure_is_an_exit_code_and_shows_no_password(perflab: Command, directory: Path) -> None:
    with EmbeddedServer.start(directory, tcp=True) as server:
        url = make_url(server.database_url("postgres", tcp=True)).set(password=PASSWORD)
        for option in ([], ["--json"]):
            code, output, errors = perflab("db", "doctor", url.render_as_string(hide_password=False), *option)
            assert (code, errors) == (1, "")
            assert "password authentication failed" in output


def test_a_warning_fails_only_where_it_is_asked_to(perflab: Command, directory: Path) -> None:
    with EmbeddedServer.start(directory, settings={"synchronous_commit": "off"}) as server:
        code, output, _errors = perflab("db", "doctor", server.url)
        assert (code, "warn  durability " in output) == (0, True)
        assert perflab("db", "doctor", server.url, "--strict")[0] == 1


def test_a_url_that_cannot_be_is_refused(perflab: Command) -> None:
    code, output, errors = perflab("db", "doctor", f"mysql://me:{PASSWORD}@db/lab")
    assert (code, output) == (2, "")
    assert "unknown URL scheme 'mysql'" in errors
