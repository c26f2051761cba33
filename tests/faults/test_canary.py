"""A password that nobody else has, in the URL of everything that runs, and looked for in everything that it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import duckdb
import psycopg
import pytest
from sqlalchemy.engine import make_url

from perflab.cli.database_url import VARIABLE
from perflab.database.database import Database
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue
from perflab.scheduler.scheduler import Scheduler
from tests.processes import wait_for

CANARY = "c4n4ry0f7h3m1n3"
LAB_VARIABLE = "PERFLAB_LAB_URL"
NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "02_batch_size_and_flush_interval.ipynb"
HANDLER = "import time\ndef handle(job):\n    time.sleep(0.05)\n    if job.payload == 7:\n        1 / 0\n"


@pytest.fixture
def engine() -> str:
    """The one that has passwords."""
    return "postgresql"


@pytest.fixture
def secret_url(perflab_url: str) -> Iterator[str]:
    """The same database, for a user whose password is the canary."""
    with psycopg.connect(perflab_url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE miner SUPERUSER LOGIN PASSWORD '{CANARY}'".encode())
        admin.execute("SELECT 1")  # a session shows its last statement
        yield make_url(perflab_url).set(username="miner", password=CANARY).render_as_string(hide_password=False)
        admin.execute("SELECT pg_terminate_backend(pid, 10_000) FROM pg_stat_activity WHERE usename = 'miner'")
        admin.execute("REASSIGN OWNED BY miner TO postgres")
        admin.execute("DROP ROLE miner")


# -- looking for it ----------------------------------------------------------------------------------------------------


def places_in_files(folder: Path) -> list[str]:
    """The files whose bytes have it, and the stores of DuckDB, which packs its texts, whose values have it."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and CANARY.encode() in path.read_bytes():
            found.append(str(path))
        if path.suffix == ".duckdb":
            with duckdb.connect(str(path), read_only=True) as store:
                for (table,) in store.execute("SELECT table_name FROM duckdb_tables()").fetchall():
                    rows = store.execute(f"SELECT t::text FROM {table} t").fetchall()
                    found += [f"{path}: {table}"] if CANARY in str(rows) else []
    return found


def places_in_database(url: str) -> list[str]:
    """The tables that hold it, and the sessions that show it."""
    with psycopg.connect(url) as connection:
        names = connection.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        asked = [f"SELECT '{name}', t::text FROM {name} t" for (name,) in names]
        asked.append("SELECT 'sessions', concat(application_name, query) FROM pg_stat_activity")
        rows = [row for statement in asked for row in connection.execute(statement.encode()).fetchall()]
    assert any(place == "perflab_jobs" for place, _ in rows), "something ran"
    return sorted({str(place) for place, text in rows if CANARY in text})


class Arguments:
    """The command lines of this process's descendants, as any user of the machine sees them."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.02):
            self.seen |= {self._read(path) for path in Path("/proc").glob("[0-9]*/cmdline")}

    @staticmethod
    def _read(path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError:  # it has ended
            return b""


@contextmanager
def started(folder: Path, url: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command in its own folder, which is its home, too; what it says goes into a file there."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, VARIABLE: url, LAB_VARIABLE: url, "HOME": str(folder), "TMPDIR": str(folder)}
    with (folder / "said").open("ab") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "perflab", *arguments], cwd=folder, env=environment, stdout=said, stderr=said
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


# -- the tests ---------------------------------------------------------------------------------------------------------


def test_a_canary_that_is_there_is_found(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "lab.duckdb")) as store:
        store.execute("CREATE TABLE run AS SELECT repeat('x', 100) || ? AS url FROM range(10_000)", [CANARY])
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "page.html").write_text(f"<p>{CANARY}")
    assert {Path(place).name for place in places_in_files(tmp_path)} >= {"page.html", "lab.duckdb: run"}
    with Arguments() as arguments, subprocess.Popen(["/bin/sh", "-c", "read line", CANARY], stdin=subprocess.PIPE):
        wait_for(lambda: any(CANARY.encode() in line for line in arguments.seen))


@pytest.mark.case("F43")
def test_workers_at_work_show_it_nowhere(tmp_path: Path, perflab_url: str, secret_url: str) -> None:
    with Database.open(secret_url) as database:
        PriorityQueue(database).bulk_enqueue([NewJob(number, max_attempts=1) for number in range(20)])
        Scheduler(database, "default").add_watch("later", 3_600.0)
        assert CANARY not in repr(database)
    (tmp_path / "mine.py").write_text(HANDLER)
    with Arguments() as arguments:
        with started(tmp_path, secret_url, "worker", "mine:handle", "--processes", "2", "--until-empty") as worker:
            assert worker.wait(120) == 0
        with started(tmp_path, secret_url, "scheduler", "--once", "--json") as scheduler:
            assert scheduler.wait(120) == 0
    assert any(b"--supervised" in line for line in arguments.seen), "the children were seen"
    assert not [line for line in arguments.seen if CANARY.encode() in line]
    assert places_in_files(tmp_path) == []
    assert places_in_database(perflab_url) == []
    with psycopg.connect(perflab_url) as connection:
        assert connection.execute("SELECT last_error FROM perflab_jobs WHERE state = 'dead'").fetchall()


@pytest.mark.case("F43")
@pytest.mark.parametrize(
    "damage",
    [
        lambda url: url.replace("postgresql://", "mysql://"),
        lambda url: url.replace("postgresql://", "postgresql+asyncpg://"),
        lambda url: url.replace(CANARY, f"{CANARY}@{CANARY}/{CANARY}"),
        lambda url: url.replace(CANARY, f"{CANARY}#?{CANARY}"),
        lambda url: url.replace("port=", "port=1"),
        lambda url: f"{url}&sslpassword={CANARY}&port=none",
        lambda url: f"{url}&options=-c%20password%3D{CANARY}",
        lambda url: url.replace("miner", "nobody"),
        lambda url: f"  {url}",
    ],
)
def test_a_url_that_does_not_work_is_refused_without_it(
    damage: Callable[[str], str], secret_url: str, tmp_path: Path
) -> None:
    with started(tmp_path, damage(secret_url), "db", "doctor") as doctor:
        assert doctor.wait(120) != 0
    assert (tmp_path / "said").stat().st_size > 0
    assert places_in_files(tmp_path) == []


@pytest.mark.faults
@pytest.mark.case("F43")
@pytest.mark.parametrize(
    "arguments",
    [
        ("db", "doctor"),
        ("db", "advise", "--no-prove"),
        ("metrics", "--print"),
        ("fleet", "show", "none"),
        ("sweep", "--engine", "postgresql", "--profile", "smoke", "--store", "sweep.duckdb"),
        ("load", "--engine", "postgresql", "--duration", "1", "--warm-up", "0", "--rate", "200", "--workers", "1"),
        ("tune", "--budget", "45"),
        ("report", str(NOTEBOOK), "--engine", "postgresql", "--profile", "smoke"),
    ],
    ids=lambda arguments: "-".join(arguments[:2]),
)
def test_a_command_leaves_it_nowhere(arguments: tuple[str, ...], secret_url: str, tmp_path: Path) -> None:
    with Arguments() as seen, started(tmp_path, secret_url, *arguments) as command:
        assert command.wait(550) in {0, 1}, (tmp_path / "said").read_text()
    assert (tmp_path / "said").stat().st_size > 0
    assert not [line for line in seen.seen if CANARY.encode() in line]
    assert places_in_files(tmp_path) == []


@pytest.mark.faults
@pytest.mark.case("F43")
def test_the_dashboard_shows_it_nowhere(secret_url: str, tmp_path: Path) -> None:
    said = tmp_path / "said"
    with started(tmp_path, secret_url, "dashboard", "--listen", "127.0.0.1:0"):
        wait_for(lambda: said.exists() and "http://" in said.read_text())
        address = next(word for word in said.read_text().split() if word.startswith("http://")).rstrip(".,/")
        with urllib.request.urlopen(f"{address}/") as page:
            assert CANARY.encode() not in page.read()
    assert places_in_files(tmp_path) == []
