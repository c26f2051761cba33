"""Fixtures that every part uses."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy.engine import make_url

from perflab.database.database import Database
from perflab.database.embedded import EmbeddedServer
from perflab.errors import PerflabError
from perflab.lab.network.postgres_meter import PostgresMeter
from perflab.lab.network.postgres_url import server_address, url_through
from perflab.lab.network.proxy import Proxy
from tests.machines import EmptyDatabase
from tests.postgres_databases import PostgresDatabases

# A busy machine is no reason to fail: what is slow is found by the bench, and never by a test. Examples start with what
# the ones before have left in a fixture, and the tests know it.
settings.register_profile(
    "explore",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
# The same examples each time and everywhere: a test fails when the code has changed. `make explore` looks for others.
settings.register_profile("perflab", settings.get_profile("explore"), derandomize=True, database=None)
# Each state machine thousands of times.
settings.register_profile("soak", settings.get_profile("explore"), max_examples=4000)
settings.load_profile("perflab")

# What a shell without job control starts in the background ignores Ctrl-C, and so do all processes that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

NOT_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")
RunPython = Callable[..., "subprocess.CompletedProcess[str]"]


# -- databases ---------------------------------------------------------------------------------------------------------
#
# A test that is about databases asks for `database`, `perflab_url` or `database_url`, and runs on each engine in turn.
# A module about one engine's own nature says so:
#
#     @pytest.fixture
#     def engine() -> str:
#         return "postgresql"


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine in turn."""
    name: str = request.param
    return name


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture
def postgres_url(postgres_databases: PostgresDatabases) -> str:
    return postgres_databases.bare()


@pytest.fixture
def database_url(engine: str, request: pytest.FixtureRequest) -> str:
    """The URL of a database without tables."""
    url: str = request.getfixturevalue("sqlite_url" if engine == "sqlite" else "postgres_url")
    return url


@pytest.fixture
def perflab_url(engine: str, request: pytest.FixtureRequest, sqlite_url: str) -> str:
    """The URL of a database with perflab's tables and nothing in them."""
    if engine == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), str(make_url(sqlite_url).database))
        return sqlite_url
    databases: PostgresDatabases = request.getfixturevalue("postgres_databases")
    return databases.perflab()


@pytest.fixture
def database(perflab_url: str) -> Iterator[Database]:
    """An opened database with perflab's tables, closed at the end."""
    with Database.open(perflab_url) as opened:
        yield opened


@pytest.fixture
def empty_database(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> EmptyDatabase:
    """Makes databases as `perflab_url` is one, for state machines; on PostgreSQL a new one ends the one before."""
    if engine == "postgresql":
        databases: PostgresDatabases = request.getfixturevalue("postgres_databases")
        return databases.perflab
    template, numbers = request.getfixturevalue("sqlite_template"), count()

    def copied() -> str:
        path = shutil.copy(template, tmp_path / f"{next(numbers)}.db")
        return f"sqlite:///{path}"

    return copied


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def module_database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """The same for a whole module, on each engine in turn: for many small tests that leave it as it was."""
    with ExitStack() as cleanup:
        url = "sqlite://"
        if request.param == "postgresql":
            url = cleanup.enter_context(request.getfixturevalue("postgres_databases").new())
        opened = cleanup.enter_context(Database.open(url))
        opened.create_schema()
        yield opened


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with perflab's tables, to be copied: the migrations take 30 ms."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    with Database.open(f"sqlite:///{path}") as opened:
        opened.create_schema()
    return path


@pytest.fixture(scope="session")
def postgres_databases(postgres_server: EmbeddedServer) -> PostgresDatabases:
    return PostgresDatabases(postgres_server)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedServer]:
    """One PostgreSQL server for all tests. Where it cannot start they are skipped; in CI they fail."""
    # Not in tmp_path: where this is root, the user that runs the server may not enter it.
    with tempfile.TemporaryDirectory(prefix="perflab-postgres-") as directory:
        try:
            # It does not wait for the disk: no test cuts the power. Nor does it vacuum by itself during a test:
            # that takes locks for moments, and who waits for none would fail.
            settings = {**dict.fromkeys(NOT_DURABLE, "off"), "autovacuum_naptime": "2147483s"}
            server = EmbeddedServer.start(directory, settings=settings)
        except PerflabError as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"no PostgreSQL to test with: {error}")
        with server:
            yield server


# -- programs ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def start_python(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a program with its `sys.argv[1:]` in a fresh interpreter; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "error", "-c", dedent(program), *map(str, arguments)]
        process = subprocess.Popen(
            command,
            cwd=options.pop("cwd", tmp_path),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def run_python(start_python: Callable[..., subprocess.Popen[str]]) -> RunPython:
    """The same, to its end; fails with what the program said if it fails."""

    def run(program: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        process = start_python(program, *arguments, **options)
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    return run


# -- the network -------------------------------------------------------------------------------------------------------


@pytest.fixture
def proxy_to() -> Iterator[Callable[[str], Proxy]]:
    """Put a proxy in front of the server of a URL, to lose things on purpose."""
    with ExitStack() as proxies:
        yield lambda url: proxies.enter_context(Proxy(server_address(url), meter=PostgresMeter()))


@pytest.fixture
def proxy(perflab_url: str, proxy_to: Callable[[str], Proxy]) -> Proxy:
    return proxy_to(perflab_url)


@pytest.fixture
def far_url(perflab_url: str, proxy: Proxy) -> str:
    """The database of `perflab_url` behind the proxy."""
    return url_through(perflab_url, proxy.address)


@pytest.fixture
def far_database(far_url: str) -> Iterator[Database]:
    with Database.open(far_url) as opened:
        yield opened
