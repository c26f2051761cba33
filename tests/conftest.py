"""Fixtures that every part uses."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from textwrap import dedent
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import settings

from perflab.database.database import Database
from perflab.database.embedded import EmbeddedServer
from perflab.errors import PerflabError
from perflab.lab.network.postgres_meter import PostgresMeter
from perflab.lab.network.postgres_url import server_address, url_through
from perflab.lab.network.proxy import Proxy

# A busy machine is no reason to fail: what is slow is found by the bench, and never by a test.
settings.register_profile("perflab", deadline=None)
settings.load_profile("perflab")

NOT_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")
RunPython = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An opened database with perflab's schema, closed at the end."""
    with Database.open(database_url) as opened:
        opened.create_schema()
        yield opened


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


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedServer]:
    """One PostgreSQL server for all tests. Where it cannot start they are skipped; in CI they fail."""
    # Not in tmp_path: where this is root, the user that runs the server may not enter it.
    with tempfile.TemporaryDirectory(prefix="perflab-postgres-") as directory:
        try:
            # It does not wait for the disk: no test cuts the power.
            server = EmbeddedServer.start(directory, settings=dict.fromkeys(NOT_DURABLE, "off"))
        except PerflabError as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"no PostgreSQL to test with: {error}")
        with server:
            yield server


@pytest.fixture
def postgres_url(postgres_server: EmbeddedServer) -> Iterator[str]:
    """The URL of an empty database, dropped at the end with whatever is still connected to it."""
    if not postgres_server.running:  # the test before this one stopped it
        postgres_server.restart()
    name = f"test_{uuid4().hex}"
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    yield postgres_server.database_url(name)
    if not postgres_server.running:
        postgres_server.restart()
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgresql_server(postgres_server: EmbeddedServer) -> Callable[[str], str]:
    """The URL of each database of the server. `perflab` is empty and has the schema: it is there to be copied."""
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE perflab")
    with Database.open(postgres_server.database_url("perflab")) as database:
        database.create_schema()
    return postgres_server.database_url


@pytest.fixture(scope="session")
def empty_postgresql(postgresql_server: Callable[[str], str]) -> Callable[[], str]:
    """Makes the URL of an empty database with perflab's schema: the same one each time, for a new one takes 0.1 s."""
    with psycopg.connect(postgresql_server("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE perflab_used TEMPLATE perflab")
    url = postgresql_server("perflab_used")

    def empty() -> str:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 10_000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
            connection.execute(
                "TRUNCATE perflab_jobs, perflab_queues, perflab_watches, perflab_ingest_states, perflab_batches, "
                "perflab_dead_letters "
                "RESTART IDENTITY"
            )
        return url

    return empty


@pytest.fixture
def perflab_url(empty_postgresql: Callable[[], str]) -> str:
    return empty_postgresql()


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


@pytest.fixture(scope="session")
def bare_postgresql(postgres_server: EmbeddedServer) -> Callable[[], str]:
    """Makes the URL of an empty database without a schema: the same one each time, for a new one takes 0.1 s."""
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE bare TEMPLATE template0")
    url = postgres_server.database_url("bare")

    def empty() -> str:
        if not postgres_server.running:
            postgres_server.restart()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 10_000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return url

    return empty


@pytest.fixture(params=["sqlite", "postgresql"])
def each_engine_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, on each engine in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    url: str = request.getfixturevalue("bare_postgresql")()
    return url
