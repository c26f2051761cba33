"""What happens to a server while it works: each begins, lasts, and is over."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from perflab.database.database import Database
from perflab.database.embedded import EmbeddedServer
from perflab.lab.network.faults import Mode
from perflab.lab.network.link import Link
from perflab.lab.network.postgres_meter import PostgresMeter
from perflab.lab.network.postgres_url import server_address, url_through
from perflab.lab.network.proxy import Proxy
from tests.pgbouncer import find_program, pgbouncer

LENGTH_SECONDS = 2.0
DATABASE = "disturbed"
DISK_MEGABYTES = 16


@dataclass(frozen=True, slots=True)
class Scene:
    """A database, and what happens to it.

    Attributes:
        url: where the traffic goes.
        disturb: does it, and returns when it is over: from then on everything can work again.
        interrupts: whether it must be felt: batches are tried again.
    """

    url: str
    disturb: Callable[[], None]
    interrupts: bool = True


def _new_database(server: EmbeddedServer) -> str:
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)".encode())
        admin.execute(f"CREATE DATABASE {DATABASE}".encode())
    url = server.database_url(DATABASE)
    with Database.open(url) as database:
        database.create_schema()
    return url


def _end_sessions(admin: psycopg.Connection[tuple[object, ...]]) -> None:
    ended = admin.execute(
        "SELECT pg_terminate_backend(pid, 10_000) FROM pg_stat_activity "
        "WHERE datname = %s AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
        [DATABASE],
    ).fetchall()
    assert ended, "the fault fired"


@contextmanager
def fast_restart(server: EmbeddedServer) -> Iterator[Scene]:
    yield Scene(_new_database(server), lambda: server.restart("fast"))


@contextmanager
def immediate_restart(server: EmbeddedServer) -> Iterator[Scene]:
    yield Scene(_new_database(server), lambda: server.restart("immediate"))


@contextmanager
def terminated_sessions(server: EmbeddedServer) -> Iterator[Scene]:
    url = _new_database(server)
    with psycopg.connect(server.url, autocommit=True) as admin:
        yield Scene(url, lambda: _end_sessions(admin), interrupts=False)  # none may have been at work


@contextmanager
def too_many_connections(server: EmbeddedServer) -> Iterator[Scene]:
    """All sessions end, and for a while there is no place for new ones."""
    url = _new_database(server)
    limit = f"ALTER DATABASE {DATABASE} CONNECTION LIMIT"
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("CREATE ROLE crowd LOGIN")
        admin.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO crowd")
        admin.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO crowd")

        def disturb() -> None:
            admin.execute(f"{limit} 0".encode())
            _end_sessions(admin)
            time.sleep(LENGTH_SECONDS)
            admin.execute(f"{limit} -1".encode())

        yield Scene(url.replace("//postgres@", "//crowd@"), disturb)
        admin.execute("DROP OWNED BY crowd")
        admin.execute("DROP ROLE crowd")


@contextmanager
def old_snapshot(server: EmbeddedServer) -> Iterator[Scene]:
    """A transaction keeps an old view, so that nothing that is dead can be removed."""
    url = _new_database(server)

    def disturb() -> None:
        with psycopg.connect(url) as reader:
            reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            reader.execute("SELECT count(*) FROM perflab_jobs").fetchall()
            time.sleep(LENGTH_SECONDS)
            held = reader.execute("SELECT backend_xmin FROM pg_stat_activity WHERE pid = pg_backend_pid()").fetchone()
            assert held is not None
            assert held[0] is not None, "the fault fired"

    yield Scene(url, disturb, interrupts=False)


def _through_proxy(mode: Mode) -> Callable[[EmbeddedServer], AbstractContextManager[Scene]]:
    @contextmanager
    def scene(server: EmbeddedServer) -> Iterator[Scene]:
        url = _new_database(server)
        with Proxy(server_address(url), meter=PostgresMeter()) as proxy:

            def disturb() -> None:
                proxy.switch(mode)
                assert proxy.wait_fired(60), "the fault fired"
                time.sleep(LENGTH_SECONDS)
                proxy.switch(Mode.PASS)

            yield Scene(url_through(url, proxy.address), disturb, interrupts=mode is Mode.RESET)

    return scene


@contextmanager
def slow_network(server: EmbeddedServer) -> Iterator[Scene]:
    """Of 40 ms and half a megabyte a second, from the beginning to the end."""
    url = _new_database(server)
    link = Link(round_trip_seconds=0.04, jitter_seconds=0.02, bytes_per_second=500_000)
    with Proxy(server_address(url), link=link, meter=PostgresMeter()) as proxy:
        assert proxy.measured_round_trip_seconds >= 0.02, "the fault fired"
        yield Scene(url_through(url, proxy.address), lambda: time.sleep(LENGTH_SECONDS), interrupts=False)


@contextmanager
def killed_pooler(server: EmbeddedServer) -> Iterator[Scene]:
    program = find_program()
    assert program is not None, "install pgbouncer"
    url = _new_database(server)
    with pgbouncer(program, server.url, sessions=4) as pooler:

        def disturb() -> None:
            pooler.kill()
            time.sleep(LENGTH_SECONDS)
            pooler.start()

        yield Scene(pooler.url(url), disturb)


@contextmanager
def full_disk(_server: EmbeddedServer) -> Iterator[Scene]:
    """A file of SQLite on a disk of its own, which another program fills and empties again."""
    with ExitStack() as cleanup:
        place = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="perflab-disk-")))
        size = f"size={DISK_MEGABYTES}m"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(place)], check=True)  # needs root
        cleanup.callback(subprocess.run, ["umount", "--lazy", str(place)], check=True)
        url = f"sqlite:///{place / 'jobs.db'}"
        with Database.open(url) as database:
            database.create_schema()

        def disturb() -> None:
            rubbish = place / "rubbish"
            with rubbish.open("wb", buffering=0) as file, suppress(OSError):
                while file.write(bytes(4_096)):  # until there is no space
                    pass
            assert rubbish.stat().st_size > 0, "the fault fired"
            time.sleep(LENGTH_SECONDS)
            rubbish.unlink()

        # What is in the log may be overwritten without more space, so it need not be felt.
        yield Scene(url, disturb, interrupts=False)


DISTURBANCES: Mapping[str, Callable[[EmbeddedServer], AbstractContextManager[Scene]]] = {
    "the server restarts (fast)": fast_restart,
    "the server restarts (immediate, as in a crash)": immediate_restart,
    "every session is terminated": terminated_sessions,
    "no connection is free for 2 s": too_many_connections,
    "connections are reset, and refused for 2 s": _through_proxy(Mode.RESET),
    "the network is silent for 2 s": _through_proxy(Mode.STALL),
    "the network is slow": slow_network,
    "an old snapshot is held for 2 s": old_snapshot,
    "PgBouncer is killed, and missing for 2 s": killed_pooler,
    "the disk of SQLite is full for 2 s": full_disk,
}
