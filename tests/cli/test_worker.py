"""`perflab worker`: what a user types, what it does, and what signals do to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from perflab.cli import main
from perflab.cli.database_url import VARIABLE
from perflab.cli.worker import load_handler
from perflab.database.database import Database
from perflab.database.schema import SCHEMA_REVISION, VERSION_TABLE
from perflab.errors import InvalidInput
from perflab.monitoring.instruments import queues
from perflab.monitoring.publishing import published_snapshots
from perflab.queue.job import NewJob, QueueCounts
from perflab.queue.queue import PriorityQueue
from perflab.queue.supervisor import Supervisor
from tests.processes import A_MINUTE, runs, wait_for

EMPTY = QueueCounts(scheduled=0, ready=0, running=0, dead=0)
JOBS = """
import os, signal, threading, time
import perflab

def note(job):
    with open("seen", "a") as file:
        file.write(f"{job.payload} {os.getpid()}\\n")

async def note_async(job):
    note(job)

def slow(job):
    note(job)
    time.sleep(0.05)

def for_ever(job):
    note(job)
    threading.Event().wait()

def die_once(job):
    note(job)
    if job.attempt == 1 and job.payload == "poison":
        os.kill(os.getpid(), signal.SIGKILL)

class Handlers:
    note = staticmethod(note)

not_a_handler = 7
"""
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def engine() -> str:
    """What this is about is the same on both; each process takes a second to start."""
    return "sqlite"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "its_jobs.py").write_text(JOBS)
    (tmp_path / "broken_jobs.py").write_text("import surely_not_installed\n")
    (tmp_path / "failing_jobs.py").write_text("import os\n1 / 0\n")
    (tmp_path / "unreadable_jobs.py").write_text("def note(:\n")
    return tmp_path


@pytest.fixture
def start(place: Path, perflab_url: str) -> Iterator[Start]:
    """Start the command in a place with a module of handlers; its database stands in the environment."""
    started = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "perflab", *arguments],
            cwd=place,
            env={**os.environ, VARIABLE: perflab_url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def seen(place: Path) -> list[tuple[str, int]]:
    """The payload of each job that a handler got, and the process that ran it."""
    file = place / "seen"
    lines = [line.rsplit(" ", 1) for line in file.read_text().splitlines()] if file.exists() else []
    return [(payload, int(process_id)) for payload, process_id in lines]


@pytest.mark.parametrize("handler", ["note", "note_async", "Handlers.note"])
def test_it_handles_the_jobs_of_a_queue_until_it_is_empty(
    database: Database, start: Start, place: Path, handler: str
) -> None:
    queue = PriorityQueue(database, "ingest")
    queue.bulk_enqueue(NewJob(number) for number in range(20))
    process = start("worker", f"its_jobs:{handler}", "--queue", "ingest", "--until-empty", "--concurrency", "2")
    output, errors = process.communicate(timeout=A_MINUTE)
    assert process.returncode == 0, errors
    assert "20 jobs: 20 done" in output
    assert sorted(int(payload) for payload, _ in seen(place)) == list(range(20))
    assert queue.counts() == EMPTY


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_processes_share_the_work_and_end_with_it(database: Database, start: Start, place: Path) -> None:
    queue = PriorityQueue(database)
    queue.bulk_enqueue(NewJob(number) for number in range(40))
    process = start(
        "worker", "its_jobs:slow", "--processes", "2", "--until-empty", "--concurrency", "1", "--prefetch", "0"
    )
    output, errors = process.communicate(timeout=A_MINUTE)
    assert process.returncode == 0, errors
    assert output.count("jobs: ") <= 2
    assert sorted(int(payload) for payload, _ in seen(place)) == list(range(40))
    assert process.pid not in {pid for _, pid in seen(place)}, "the supervisor handles nothing itself"
    done = [one.snapshot.counted(queues.FINISHED, outcome="done") for one in published_snapshots(database)]
    assert sum(done) == 40, "each process publishes what it has counted"


def test_it_publishes_nothing_if_it_shall_not(database: Database, start: Start, place: Path) -> None:
    process = start("worker", "its_jobs:slow", "--until-empty", "--no-metrics")
    _, errors = process.communicate(timeout=A_MINUTE)
    assert process.returncode == 0, errors
    assert published_snapshots(database) == []


@pytest.mark.case("F01")
def test_a_process_that_its_handler_kills_is_replaced_and_no_job_is_lost(
    database: Database, start: Start, place: Path
) -> None:
    queue = PriorityQueue(database)
    queue.bulk_enqueue(NewJob(number) for number in range(10))
    queue.enqueue("poison", 1)
    process = start("worker", "its_jobs:die_once", "--processes", "1", "--lease", "2")
    wait_for(lambda: queue.counts() == EMPTY)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=A_MINUTE)
    assert process.returncode == 0, errors
    assert "ended with signal 9" in errors
    # A stall that is longer than the lease makes it come once more.
    assert [payload for payload, _ in seen(place)].count("poison") >= 2
    assert len({pid for _, pid in seen(place)}) == 2


@pytest.mark.case("F05")
@pytest.mark.parametrize("processes", [(), ("--processes", "2")], ids=["alone", "supervised"])
def test_one_signal_drains_and_a_second_one_gives_back_at_once(
    database: Database, start: Start, place: Path, processes: tuple[str, ...]
) -> None:
    queue = PriorityQueue(database)
    queue.bulk_enqueue(NewJob(number) for number in range(10))
    process = start("worker", "its_jobs:for_ever", "--concurrency", "1", "--drain-timeout", "600", *processes)
    workers = 2 if processes else 1
    wait_for(lambda: len(seen(place)) == workers)
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: queue.counts().running == workers)  # the prefetched ones are back
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=A_MINUTE)
    assert process.returncode == 0, errors
    assert output.count("given back") == workers
    assert queue.counts() == QueueCounts(scheduled=0, ready=10, running=0, dead=0)


def test_when_the_supervisor_is_killed_its_workers_drain(database: Database, start: Start, place: Path) -> None:
    queue = PriorityQueue(database)
    queue.bulk_enqueue(NewJob(number) for number in range(200))
    process = start("worker", "its_jobs:slow", "--processes", "2", "--concurrency", "1")
    wait_for(lambda: len({pid for _, pid in seen(place)}) == 2)
    process.kill()
    workers = {pid for _, pid in seen(place)}
    wait_for(lambda: not any(map(runs, workers)))
    assert queue.counts().running == 0
    assert queue.counts().ready == 200 - len(seen(place))


@pytest.mark.parametrize(
    ("handler", "complaint"),
    [
        ("its_jobs", "write module:function"),
        ("its_jobs:", "write module:function"),
        ("no_such_module:note", "there is no module 'no_such_module'"),
        ("its_jobs.deeper:note", "its_jobs.deeper"),
        ("broken_jobs:note", "needs 'surely_not_installed'"),
        ("its_jobs:missing", "has no 'missing'"),
        ("its_jobs:not_a_handler", "name a function"),
        ("failing_jobs:note", r"cannot be imported: ZeroDivisionError: division by zero \(at .*failing_jobs\.py:2\)"),
        ("unreadable_jobs:note", r"cannot be imported: SyntaxError: .*unreadable_jobs\.py, line 1"),
    ],
)
def test_a_handler_that_cannot_be_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch, handler: str, complaint: str
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(InvalidInput, match=complaint):
        load_handler(handler)


def test_without_tables_nothing_is_started(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Database.open("sqlite:///empty.db").close()
    assert main(["worker", "its_jobs:note", "sqlite:///empty.db", "--processes", "2"]) == 2
    assert "create_schema" in capsys.readouterr().err


ADVICE = {"0007": f"needs {SCHEMA_REVISION}: run perflab db upgrade", "9999": "upgrade perflab here"}


@pytest.mark.parametrize("command", [("worker", "its_jobs:note"), ("scheduler", "--once")], ids=" ".join)
@pytest.mark.parametrize("revision", ADVICE)
def test_tables_of_another_version_are_refused(
    database: Database, start: Start, command: tuple[str, ...], revision: str
) -> None:
    with database.driver_transaction() as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '{revision}'")
    process = start(*command)
    _, errors = process.communicate(timeout=A_MINUTE)
    assert process.returncode == 2
    assert f"tables in revision {revision}" in errors
    assert ADVICE[revision] in errors


@pytest.mark.case("F43")
def test_processes_are_asked_for_the_same_and_the_url_is_no_argument(
    place: Path, perflab_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def run(supervisor: Supervisor) -> int:
        asked.append((supervisor._command, supervisor._environment[VARIABLE], supervisor._restart_ended))
        return 7

    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(Supervisor, "run", run)
    options = ["--queue", "ingest", "--concurrency", "3", "--no-listen", "--until-empty", "--timeout", "2.5"]
    assert main(["worker", "its_jobs:note", perflab_url, *options, "--processes", "2"]) == 7
    ((command, url, restart_ended),) = asked
    assert url == perflab_url
    assert not restart_ended
    assert command[:5] == [sys.executable, "-m", "perflab", "worker", "its_jobs:note"]
    words = " ".join(command)
    assert all(part in words for part in ("--queue ingest", "--concurrency 3", "--no-listen", "--until-empty"))
    assert "--timeout 2.5" in words
    assert words.endswith("--supervised")
    assert perflab_url not in words
    assert "--processes" not in words


def test_without_a_url_it_says_where_to_put_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert main(["worker", "its_jobs:note"]) == 2
    assert VARIABLE in capsys.readouterr().err
