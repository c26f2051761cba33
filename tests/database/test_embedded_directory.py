"""Where an embedded server may live, whom it runs as, who may see what, and what is refused."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from perflab.database.embedded import EmbeddedServer
from perflab.database.embedded_directory import MARKER, SOCKET_PATH_BYTES
from perflab.database.embedded_programs import PACKAGE, find_binaries
from perflab.errors import DatabaseUnusable, InvalidInput, MissingExtra

StartPython = Callable[..., "subprocess.Popen[str]"]
Move = Callable[[Path], Path]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="for root only")


@contextmanager
def open_place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="perflab-test-") as directory:
        Path(directory).chmod(0o711)
        yield Path(directory)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that whoever runs the server can enter."""
    with open_place() as directory:
        yield directory


@pytest.fixture(scope="module")
def used_directory() -> Iterator[Path]:
    with open_place() as directory:
        EmbeddedServer.start(directory / "server").close()
        yield directory / "server"


@pytest.fixture
def move_server(used_directory: Path) -> Iterator[Move]:
    """Moves the directory of a server that was started before: that saves the time of a first start."""
    now = used_directory

    def move(target: Path) -> Path:
        nonlocal now
        now = used_directory.rename(target)
        return now

    yield move
    now.rename(used_directory)


def query(url: str, statement: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        return [value for (value,) in connection.execute(statement.encode())]


def everything_in(place: Path) -> set[tuple[Path, int]]:
    return {(path, path.stat().st_mtime_ns) for path in place.rglob("*")}


# -- what is refused ---------------------------------------------------------------------------------------------------


def a_file(place: Path) -> Any:
    (place / "taken").touch()
    return place / "taken"


def in_a_file(place: Path) -> Any:
    return a_file(place) / "server"


def something_else(place: Path) -> Any:
    (place / "notes.txt").touch()
    return place


def data_of_postgresql(place: Path) -> Any:
    (place / "PG_VERSION").touch()
    return str(place)


@pytest.mark.parametrize(
    ("give", "message"),
    [
        (a_file, "taken' is a file: give a directory"),
        (in_a_file, r"the parent of the directory .*/taken/server' does not exist: create .*/taken'"),
        (something_else, "holds something else: choose an empty or a new one"),
        (data_of_postgresql, "holds a PostgreSQL data directory that was not made here: choose an empty or a new one"),
        (lambda place: place / "missing" / "server", r"does not exist: create '.*/missing'"),
        (lambda place: place / "two\nlines", r"'/.*two\\nlines' has a control character in its name"),
        (lambda place: f"{place}/\x00", r"'/.*\\x00' has a control character in its name"),
        (lambda place: f"{place}/\ud800", "is not valid Unicode text"),
        (lambda _place: "", "the directory of the embedded server is '': give a path"),
        (lambda _place: None, "the directory of the embedded server is a NoneType: give a path"),
        (lambda _place: b"server", "the directory of the embedded server is a bytes: give a path"),
    ],
)
def test_a_place_that_cannot_be_one_is_refused_untouched(
    give: Callable[[Path], Any], message: str, place: Path
) -> None:
    given = give(place)
    before = everything_in(place)
    with pytest.raises(InvalidInput, match=message):
        EmbeddedServer.start(given)
    assert everything_in(place) == before


def test_a_name_that_is_too_long_is_reported(place: Path) -> None:
    with pytest.raises(DatabaseUnusable, match="cannot be used: File name too long"):
        EmbeddedServer.start(place / ("n" * 300))


def test_a_directory_of_somebody_else_is_refused(place: Path) -> None:
    theirs = place / "theirs"
    if os.geteuid() == 0:
        theirs.mkdir()
        os.chown(theirs, 1234, 1234)
    else:
        theirs = Path("/usr")
    with pytest.raises(
        InvalidInput, match=r"belongs to user \d+, and this is user \d+: choose a directory of your own"
    ):
        EmbeddedServer.start(theirs)


@needs_root
def test_a_place_that_the_server_cannot_get_to_is_refused_untouched(place: Path) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(InvalidInput, match=r"the user 'nobody', .* may not enter '/.*/closed': choose a directory"):
        EmbeddedServer.start(closed / "server")
    assert not list(closed.iterdir())


@pytest.mark.parametrize("timeout", [-1.0, float("nan"), "soon"])
def test_a_timeout_that_is_none_is_refused(timeout: Any, place: Path) -> None:
    for call in (EmbeddedServer.start, EmbeddedServer.attach):
        with pytest.raises(InvalidInput, match="timeout is"):
            call(place / "server", timeout=timeout)
    assert not list(place.iterdir())


# -- the wheel and its programs ----------------------------------------------------------------------------------------


def test_a_missing_wheel_is_named_with_what_installs_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(MissingExtra, match=r"run `pip install 'perflab\[postgres\]'`, or give the URL of a server"):
        EmbeddedServer.start(place / "server")
    assert not list(place.iterdir())


def test_a_wheel_without_programs_is_a_missing_one(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / PACKAGE).mkdir()
    (place / PACKAGE / "__init__.py").touch()
    monkeypatch.syspath_prepend(place)
    with pytest.raises(MissingExtra, match=r"perflab\[postgres\]"):
        EmbeddedServer.start(place / "server")


def fake_wheel(place: Path, initdb: str, mode: int) -> Path:
    """A folder to find packages in, with programs of which only `initdb` is ever run."""
    binaries = place / PACKAGE / "pginstall" / "bin"
    binaries.mkdir(parents=True)
    (place / PACKAGE / "__init__.py").touch()
    for name in ("postgres", "initdb"):
        (binaries / name).write_text(initdb)
        (binaries / name).chmod(mode)
    for directory in (place, *(path for path in place.rglob("*") if path.is_dir())):
        directory.chmod(0o755)
    return place


def test_a_program_that_fails_is_reported_and_the_next_start_is_fine(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, (initdb, mode, message) in enumerate(
        [
            ("#!/bin/sh\necho no disk, password=hunter2 >&2\nexit 1", 0o755, r"cannot be made(.|\n)*disk, password=\*"),
            ("#!/bin/sh\n", 0o644, r"cannot run '/.*/initdb'.*Permission denied"),
        ]
    ):
        with monkeypatch.context() as patch:
            patch.syspath_prepend(fake_wheel(place / f"wheel {number}", initdb, mode))
            with pytest.raises(DatabaseUnusable, match=message) as caught:
                EmbeddedServer.start(place / "server")
            assert "hunter2" not in str(caught.value)
    with EmbeddedServer.start(place / "server") as server:
        assert query(server.url, "SELECT 1") == [1]


def copy_of_the_wheel(place: Path) -> Path:
    package = find_binaries().parents[1]
    for part in package.parent.glob(f"{PACKAGE}*"):
        if part.suffix != ".dist-info":
            shutil.copytree(part, place / part.name, ignore=shutil.ignore_patterns("include"))
    return place


@pytest.mark.parametrize("name", ["server", 'my "$server"'])
def test_a_wheel_that_the_server_cannot_use_is_copied(
    name: str, place: Path, move_server: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = copy_of_the_wheel(place / "my $wheel")  # initdb and pg_ctl would let a shell expand that
    closed.chmod(0o700)  # and where this is root, the server's user may not enter it
    monkeypatch.syspath_prepend(closed)
    with EmbeddedServer.start(move_server(place / name)) as server:
        executable = Path(f"/proc/{server.process_id}/exe").readlink()
        assert executable.name == "postgres"
        assert not executable.is_relative_to(closed)
        assert executable.is_relative_to(place / name) == (name == "server")
        if name == "server":
            made = executable.parent.stat().st_ino
            server.restart()
            assert executable.parent.stat().st_ino == made
            (closed / PACKAGE / "pginstall" / "bin" / "postgres").touch()  # as a newer wheel would
            server.restart()
            assert executable.parent.stat().st_ino != made
        server.restart()
        assert query(server.url, "SELECT 1") == [1]
    assert closed.stat().st_mode & 0o777 == 0o700
    assert executable.exists() == (name == "server")


# -- the user ----------------------------------------------------------------------------------------------------------


def test_it_never_runs_as_root(postgres_server: EmbeddedServer) -> None:
    expected = os.geteuid() or pwd.getpwnam("nobody").pw_uid
    assert Path(f"/proc/{postgres_server.process_id}").stat().st_uid == expected


AS_NOBODY = """
import os, pwd, sys
from perflab.database.embedded import EmbeddedServer

directory, wheel = sys.argv[1:]
sys.path.insert(0, wheel)  # where that of this interpreter lies, nobody else may get to
nobody = pwd.getpwnam("nobody")
os.setgroups([])
os.setgid(nobody.pw_gid)
os.setuid(nobody.pw_uid)
for _ in range(2):
    with EmbeddedServer.start(directory) as server:
        assert os.stat(f"/proc/{server.process_id}").st_uid == os.geteuid() == nobody.pw_uid
        print(server.url, flush=True)
        sys.stdin.readline()
"""


@needs_root
def test_an_ordinary_user_runs_it_too(place: Path, start_python: StartPython) -> None:
    home = place / "home"
    home.mkdir(mode=0o700)
    nobody = pwd.getpwnam("nobody")
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    process = start_python(AS_NOBODY, home / "server", copy_of_the_wheel(place / "wheel"), cwd="/")
    assert process.stdin
    assert process.stdout
    url = process.stdout.readline().strip()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS id")
    process.stdin.write("\n")
    process.stdin.flush()
    assert query(process.stdout.readline().strip(), "SELECT id FROM kept") == [1]
    _output, errors = process.communicate("\n")
    assert process.returncode == 0, errors


@needs_root
def test_a_system_without_the_user_is_reported(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody_there(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr(pwd, "getpwnam", nobody_there)
    with pytest.raises(DatabaseUnusable, match="does not run as root, and this system has no user 'nobody'"):
        EmbeddedServer.start(place / "server")


# -- paths -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["""it's $HOME "and" `id`; #1, ü""", "a+b=c@d:e", "d" * SOCKET_PATH_BYTES])
def test_the_socket_goes_elsewhere_where_the_path_cannot_hold_it(name: str, place: Path, move_server: Move) -> None:
    directory = move_server(place / name)
    with EmbeddedServer.start(directory) as server:
        socket_directory = Path(str(make_url(server.url).query["host"]))
        assert socket_directory.parent == Path(tempfile.gettempdir())
        assert socket_directory.stat().st_mode & 0o777 == 0o700
        assert query(server.url, "SHOW data_directory") == [str(directory / "data")]
        with EmbeddedServer.start(directory) as shared:
            assert shared.url == server.url
        server.restart("immediate")
        assert query(server.url, "SELECT 1") == [1]
    assert not socket_directory.exists()


def test_what_somebody_put_in_the_sockets_place_is_left_alone(place: Path, move_server: Move) -> None:
    directory = move_server(place / ("d" * SOCKET_PATH_BYTES))
    with EmbeddedServer.start(directory) as server:
        socket_directory = Path(str(make_url(server.url).query["host"]))
    socket_directory.symlink_to(place)
    try:
        with pytest.raises(DatabaseUnusable, match=r"cannot be set up: .*File exists"):
            EmbeddedServer.start(directory)
    finally:
        socket_directory.unlink()
    assert (directory / "data" / "PG_VERSION").exists()


def test_a_relative_path_and_a_link_name_the_same_server(
    place: Path, move_server: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    move_server(place / "server")
    monkeypatch.chdir(place)
    (place / "link").symlink_to("server")
    with EmbeddedServer.start("server") as server, EmbeddedServer.start(place / "link") as linked:
        assert server.directory == linked.directory == place / "server"
        assert server.process_id == linked.process_id


# -- secrets -----------------------------------------------------------------------------------------------------------


def test_others_see_nothing_of_it(postgres_server: EmbeddedServer) -> None:
    directory = postgres_server.directory
    assert directory.stat().st_mode & 0o077 in (0, 0o001)  # for root, the server's user passes through
    socket_directory = Path(str(make_url(postgres_server.url).query["host"]))
    files = [directory / name for name in ("data", "password", "server.conf", "server.log", MARKER)]
    for path in (*files, socket_directory, socket_directory / ".s.PGSQL.5432"):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.case("F43")
def test_the_password_is_in_no_argument_and_no_error(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = []
    run = subprocess.run

    def recording(command: list[Any], **options: Any) -> subprocess.CompletedProcess[bytes]:
        commands.append((*map(str, command), *map(str, options.items())))
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", recording)
    with EmbeddedServer.start(place / "server", tcp=True) as server:
        password = make_url(server.database_url("postgres", tcp=True)).password
        assert password
        assert password not in repr(server)
        assert password not in server.url
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                assert password.encode() not in (process / "cmdline").read_bytes()
        for wrong in (password, f"password={password}", "host=example password=hunter2 user=me"):
            with pytest.raises(DatabaseUnusable, match=r'invalid value for parameter "archive_mode".*\*\*\*') as caught:
                server.restart(settings={"archive_mode": wrong})
            assert password not in str(caught.value)
            assert "hunter2" not in str(caught.value)
    assert any("--pwfile=password" in command for command in commands)
    assert not any(password in part for command in commands for part in command)


def test_it_gets_nothing_of_our_environment(used_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_PASSWORD", "hunter2")
    monkeypatch.setenv("PGDATA", "/nowhere")
    monkeypatch.setenv("PGDATESTYLE", "German")
    with EmbeddedServer.start(used_directory) as server, psycopg.connect(server.url) as connection:
        connection.execute("CREATE TEMPORARY TABLE seen (line text)")
        connection.execute("COPY seen FROM PROGRAM 'env'")
        seen = {line.partition("=")[0] for (line,) in connection.execute("SELECT line FROM seen")}
        assert "PATH" in seen
        assert not seen & {"SOME_PASSWORD", "PGDATESTYLE"}


def test_the_first_start_makes_what_later_ones_use(place: Path) -> None:
    with EmbeddedServer.start(place) as server:  # an empty directory will do as well as a new one
        password = (place / "password").read_text()
        identifier = query(server.url, "SELECT system_identifier FROM pg_control_system()")
    with EmbeddedServer.start(place) as server:
        assert (place / "password").read_text() == password
        assert query(server.url, "SELECT system_identifier FROM pg_control_system()") == identifier
    assert {path.name for path in place.iterdir()} >= {"data", "password", "server.log", "server.log.old"}
