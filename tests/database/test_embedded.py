"""The life of an embedded server: started, shared, stopped, killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, make_url, text

from perflab.database.embedded import EmbeddedServer
from perflab.database.embedded_directory import MARKER
from perflab.database.embedded_programs import Account
from perflab.database.file_lock import FileLock
from perflab.errors import DatabaseUnusable, InvalidInput, LifecycleError
from tests.database.server_places import leaving_no_process, place_for_a_server, processes_of

RunPython = Callable[..., "subprocess.CompletedProcess[str]"]
StartPython = Callable[..., "subprocess.Popen[str]"]

PREAMBLE = """
import os, signal, sys
from perflab.database.embedded import EmbeddedServer

def started(**options):
    server = EmbeddedServer.start(sys.argv[1], **options)
    print(server.process_id, flush=True)
    return server
"""


@pytest.fixture
def new_directory() -> Iterator[Path]:
    with place_for_a_server() as directory:
        yield directory


@pytest.fixture(scope="module")
def used_directory() -> Iterator[Path]:
    with place_for_a_server() as directory:
        EmbeddedServer.start(directory).close()
        yield directory


@pytest.fixture
def directory(used_directory: Path) -> Iterator[Path]:
    """Where a server has been: it starts at once."""
    with leaving_no_process(used_directory):
        yield used_directory


def query(url: str, statement: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return [value for (value,) in cursor] if cursor.description else []


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# -- start and stop ----------------------------------------------------------------------------------------------------


def test_it_starts_serves_and_leaves_nothing_running(new_directory: Path) -> None:
    with EmbeddedServer.start(new_directory) as server:
        assert server.running
        assert server.process_id in processes_of(new_directory)
        assert repr(server) == f"EmbeddedServer({str(new_directory)!r}, running=True)"
        assert query(server.url, "SELECT 1") == [1]
        assert query(server.url, "SHOW data_directory") == [str(new_directory / "data")]
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            assert query(server.url, f"SHOW {name}") == ["on"]
        assert query(server.url, "SELECT string_agg(c, '' ORDER BY c) FROM unnest('{b,B,ä,a}'::text[]) AS c") == [
            "Babä"
        ]
    assert not server.running
    assert server.process_id is None
    assert processes_of(new_directory) == set()


def test_its_url_is_one_for_sqlalchemy_too(postgres_server: EmbeddedServer) -> None:
    url = make_url(postgres_server.url).set(drivername="postgresql+psycopg")
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT current_database()")).scalar() == "postgres"
    engine.dispose()


@pytest.mark.case("F10")
def test_what_was_committed_survives_restarts_and_crashes(directory: Path) -> None:
    with EmbeddedServer.start(directory) as server:
        url = server.url
        query(url, "DROP TABLE IF EXISTS kept")
        query(url, "CREATE TABLE kept AS SELECT 1 AS id")
        server.restart()
        assert server.url == url
        query(url, "INSERT INTO kept VALUES (2)")
        uncommitted = psycopg.connect(url)
        uncommitted.execute("INSERT INTO kept VALUES (3)")
        server.stop("immediate")
        uncommitted.close()
        assert not server.running
        assert processes_of(directory) == set()
        server.restart()
        assert "recovery" in server._server.directory.log.read_text()
        assert query(url, "SELECT id FROM kept ORDER BY id") == [1, 2]
    with EmbeddedServer.start(directory) as server:
        assert query(server.url, "SELECT id FROM kept ORDER BY id") == [1, 2]


def test_stopping_twice_and_closing_twice_is_harmless(directory: Path) -> None:
    server = EmbeddedServer.start(directory)
    server.stop()
    server.stop("immediate")
    server.close()
    server.close()
    for use in (server.stop, server.restart):
        with pytest.raises(LifecycleError, match=r"is closed: get another with EmbeddedServer.start"):
            use()


def test_an_unknown_mode_is_refused(postgres_server: EmbeddedServer) -> None:
    mode: Any = "smart"
    with pytest.raises(InvalidInput, match="mode is 'smart': use 'fast' or 'immediate'"):
        postgres_server.stop(mode)
    assert postgres_server.running


# -- sharing -----------------------------------------------------------------------------------------------------------


def test_the_last_user_stops_it(directory: Path, run_python: RunPython) -> None:
    first = EmbeddedServer.start(directory)
    second = EmbeddedServer.start(directory)
    assert first.process_id == second.process_id
    first.close()
    other = run_python(PREAMBLE + "started()", directory)
    assert int(other.stdout) == second.process_id
    assert query(second.url, "SELECT 1") == [1]
    second.close()
    assert processes_of(directory) == set()


def test_it_outlives_who_started_it_while_others_use_it(directory: Path, start_python: StartPython) -> None:
    first = start_python(PREAMBLE + "with started(): sys.stdin.readline()", directory)
    assert first.stdout
    process_id = int(first.stdout.readline())
    with EmbeddedServer.start(directory) as server:
        first.communicate("\n")
        assert server.process_id == process_id
        assert query(server.url, "SELECT 1") == [1]


def test_two_that_start_at_once_get_one_server(new_directory: Path, start_python: StartPython) -> None:
    program = PREAMBLE + "sys.stdin.readline()\nwith started(): sys.stdin.readline()"
    starters = [start_python(program, new_directory) for _ in range(2)]
    for process in starters:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    numbers = {int(process.stdout.readline()) for process in starters if process.stdout}
    assert len(numbers) == 1
    assert numbers <= processes_of(new_directory)
    for process in starters:
        _output, errors = process.communicate("\n")
        assert process.returncode == 0, errors
    assert processes_of(new_directory) == set()


def test_it_is_found_but_not_started_by_attaching(directory: Path, new_directory: Path) -> None:
    assert EmbeddedServer.attach(new_directory) is None
    assert not new_directory.exists()
    with EmbeddedServer.start(directory) as server:
        attached = EmbeddedServer.attach(directory)
        assert attached is not None
        assert attached.process_id == server.process_id
        attached.close()
        assert server.running
    assert EmbeddedServer.attach(directory) is None


def test_it_goes_on_without_users_if_told_to(directory: Path, run_python: RunPython) -> None:
    process_id = int(run_python(PREAMBLE + "started(keep_running=True)", directory).stdout)
    with EmbeddedServer.start(directory) as server:
        assert server.process_id == process_id
    attached = EmbeddedServer.attach(directory)
    assert attached is not None
    attached.stop()
    attached.close()
    with EmbeddedServer.start(directory):
        pass
    assert processes_of(directory) == set()


# -- settings ----------------------------------------------------------------------------------------------------------


def test_settings_last_until_it_stops_and_are_not_changed_behind_its_users(directory: Path) -> None:
    odd = r"""it's a "back\slash" """
    settings = {"synchronous_commit": "off", "perflab.odd": odd}
    with EmbeddedServer.start(directory, settings=settings) as server:
        server.restart()
        assert query(server.url, "SHOW synchronous_commit") == ["off"]
        assert query(server.url, "SHOW perflab.odd") == [odd]
        with EmbeddedServer.start(directory, settings=settings):
            pass
        with pytest.raises(InvalidInput, match="already runs, without work_mem = '9MB', tcp=True: leave that out"):
            EmbeddedServer.start(directory, settings={**settings, "work_mem": "9MB"}, tcp=True)
        assert server.running
        server.restart(settings={"work_mem": "9MB"})
        assert query(server.url, "SHOW synchronous_commit") == ["on"]
        assert query(server.url, "SHOW work_mem") == ["9MB"]
    with EmbeddedServer.start(directory) as server:
        assert query(server.url, "SHOW work_mem") == ["4MB"]


def test_a_setting_that_postgresql_refuses_is_reported_and_does_no_harm(directory: Path) -> None:
    with pytest.raises(DatabaseUnusable, match=r'does not start(.|\n)*unrecognized configuration parameter "wrok_mem"'):
        EmbeddedServer.start(directory, settings={"wrok_mem": "8MB"})
    with EmbeddedServer.start(directory) as server:
        assert query(server.url, "SELECT 1") == [1]
        with pytest.raises(InvalidInput, match="'port' is decided"):
            server.restart(settings={"port": "1"})
        assert server.running


def test_it_listens_on_tcp_only_if_asked_to_and_then_wants_the_password(directory: Path) -> None:
    with EmbeddedServer.start(directory) as server:
        with pytest.raises(LifecycleError, match=r"does not listen on 127\.0\.0\.1: start it with tcp=True"):
            server.database_url("postgres", tcp=True)
        server.restart(tcp=True)
        url = server.database_url("postgres", tcp=True)
        assert query(url, "SELECT host(inet_server_addr())") == ["127.0.0.1"]
        assert query(server.url, "SELECT inet_server_addr()") == [None]
        password = make_url(url).password
        assert password
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            query(url.replace(password, "guessed"), "SELECT 1")
        server.restart()
        assert server.database_url("postgres", tcp=True) == url
        assert query(url, "SELECT 1") == [1]


# -- deaths ------------------------------------------------------------------------------------------------------------


@pytest.mark.case("F10")
def test_after_a_killed_server_the_next_start_recovers(directory: Path) -> None:
    with EmbeddedServer.start(directory) as server:
        query(server.url, "DROP TABLE IF EXISTS kept")
        query(server.url, "CREATE TABLE kept AS SELECT 1 AS id")
        killed = server.process_id
        assert killed
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: not server.running)
        with EmbeddedServer.start(directory) as again:
            assert again.process_id not in (None, killed)
            assert query(again.url, "SELECT id FROM kept") == [1]


def test_a_process_number_in_use_again_does_not_stop_a_start(directory: Path) -> None:
    with EmbeddedServer.start(directory) as server:
        left_over = (directory / "data" / "postmaster.pid").read_text().splitlines()
    account = Account.for_server()
    user: dict[str, Any] = {} if account.user_id is None else {"user": account.user_id, "extra_groups": []}
    stranger = subprocess.Popen(["cat"], stdin=subprocess.PIPE, **user)
    file = directory / "data" / "postmaster.pid"
    file.write_text("\n".join([str(stranger.pid), *left_over[1:]]) + "\n")
    account.give(file)
    assert EmbeddedServer.attach(directory) is None
    with EmbeddedServer.start(directory) as server:
        assert query(server.url, "SELECT 1") == [1]
        assert server.process_id != stranger.pid
    assert stranger.poll() is None
    stranger.communicate()


def test_it_survives_a_killed_user_and_is_used_again(directory: Path, start_python: StartPython) -> None:
    user = start_python(PREAMBLE + "with started(): sys.stdin.readline()", directory)
    assert user.stdout
    process_id = int(user.stdout.readline())
    user.kill()
    user.wait()
    with EmbeddedServer.start(directory) as server:
        assert server.process_id == process_id
    assert processes_of(directory) == set()


@pytest.mark.parametrize(
    "how", ["pass", "sys.exit(0)", "if os.fork() == 0: sys.exit(0)\nos.wait()\nassert server.running"]
)
def test_it_ends_with_the_interpreter(how: str, directory: Path, run_python: RunPython) -> None:
    run_python(PREAMBLE + f"server = started()\n{how}", directory)
    assert (directory / "data" / "PG_VERSION").exists()
    assert processes_of(directory) == set()


def test_a_first_start_that_was_cut_off_is_made_again(new_directory: Path) -> None:
    half_made = new_directory / "data.new" / "base"
    half_made.mkdir(parents=True)
    (new_directory / MARKER).touch()
    with EmbeddedServer.start(new_directory) as server:
        assert query(server.url, "SELECT 1") == [1]


def test_a_server_without_the_lock_is_not_started_beside(directory: Path) -> None:
    with EmbeddedServer.start(directory) as server:
        (directory / MARKER).rename(directory / "lock of the server")
        (directory / MARKER).touch()
        with pytest.raises(DatabaseUnusable, match=f"process {server.process_id}, was started by other means"):
            EmbeddedServer.start(directory)
        (directory / "lock of the server").replace(directory / MARKER)
        assert server.running


def test_a_directory_that_is_gone_is_reported(directory: Path) -> None:
    server = EmbeddedServer.start(directory)
    moved = directory.with_name("moved")
    directory.rename(moved)
    with pytest.raises(DatabaseUnusable, match="is gone; if a server ran in it, that ends within a minute"):
        server.stop()
    moved.rename(directory)
    server.close()


def test_waiting_ends(directory: Path) -> None:
    with EmbeddedServer.start(directory):
        pass
    lock = FileLock(directory / MARKER)
    assert lock.try_exclusive()
    now = 0.0
    waits = []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        waits.append(seconds)

    with pytest.raises(DatabaseUnusable, match=r"was not ready within 0\.1 s"):
        EmbeddedServer.start(directory, timeout=0.1, clock=lambda: now, sleep=sleep)
    assert waits
    lock.release()
    users = FileLock(directory / "perflab-users.lock")
    assert users.try_exclusive()
    with pytest.raises(DatabaseUnusable, match="another process has been stopping the server"):
        EmbeddedServer.start(directory, timeout=0.1, clock=lambda: now, sleep=sleep)
    users.release()
