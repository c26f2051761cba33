"""`perflab scheduler`: what a user types, what it says, and what signals do to it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from perflab.cli import main
from perflab.cli.database_url import VARIABLE
from perflab.database.database import Database
from perflab.monitoring.instruments import ticks
from perflab.monitoring.publishing import published_snapshots
from perflab.queue.queue import PriorityQueue
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import IngestState, Watch
from tests.processes import A_MINUTE, wait_for

LONG_AGO = datetime(2013, 1, 1, tzinfo=UTC)
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path, perflab_url: str) -> Iterator[Start]:
    """Start the command; its database stands in the environment."""
    started = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "perflab", "scheduler", *arguments],
            cwd=tmp_path,
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


def lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.case("F05")
def test_it_ticks_until_sigterm(database: Database, start: Start) -> None:
    Scheduler(database, "ingest").add_watches_bulk(
        [Watch("often", 0.01), Watch("once", cron="0 0 1 1 *", start_at=LONG_AGO)]
    )
    process = start("--interval", "0.02", "--json")
    queue = PriorityQueue(database, "ingest")
    done: set[tuple[str, str]] = set()

    def three_of_often() -> bool:
        jobs = queue.claim()
        queue.mark_done_bulk(jobs)
        done.update((job.payload["watch"], job.payload["slot"]) for job in jobs)
        return len(done) >= 4

    wait_for(three_of_often)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=A_MINUTE)

    assert process.returncode == 0, errors
    *ticks, last = lines(output)
    assert len(ticks) >= 3
    assert all(tick["tick"]["due"] >= 1 for tick in ticks)
    assert [watch for watch, _ in done].count("once") == 1
    assert last["total"]["enqueued"] == sum(tick["tick"]["enqueued"] for tick in ticks) >= len(done)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_signal_ends_the_pause_between_two_ticks(database: Database, start: Start) -> None:
    Scheduler(database, "ingest").add_watch("a", 3600.0)
    process = start("--interval", "100000")
    wait_for(lambda: PriorityQueue(database, "ingest").counts().ready == 1)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=A_MINUTE)
    assert process.returncode == 0, errors
    assert output.endswith("1 ticks: 1 due, 1 jobs\n")


def test_once_takes_all_that_is_due(database: Database, perflab_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    watches = [Watch(f"{n}", 3600.0, start_at=LONG_AGO) for n in range(7)]
    Scheduler(database, "ingest").add_watches_bulk([*watches, Watch("cron", cron="0 0 1 1 *", start_at=LONG_AGO)])
    assert main(["scheduler", perflab_url, "--once", "--limit", "3", "--json"]) == 0
    *ticks, last = lines(capsys.readouterr().out)
    assert len(ticks) >= 3
    assert (last["total"]["due"], last["total"]["enqueued"], last["total"]["late"]) == (8, 8, 8)
    assert PriorityQueue(database, "ingest").counts().ready == 8


@pytest.mark.parametrize("engine", ["sqlite"])
@pytest.mark.parametrize(("option", "ticked"), [((), [1.0]), (("--no-metrics",), [])])
def test_it_publishes_what_it_counts(
    database: Database, perflab_url: str, option: tuple[str, ...], ticked: list[float]
) -> None:
    assert main(["scheduler", perflab_url, "--once", *option]) == 0
    assert [one.snapshot.counted(ticks.TICKS) for one in published_snapshots(database)] == ticked


@pytest.mark.parametrize("engine", ["sqlite"])
def test_it_tells_people_what_it_did(database: Database, perflab_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    soon = datetime.now(UTC) - timedelta(hours=2, minutes=1)
    scheduler = Scheduler(database, "ingest")
    scheduler.add_watches_bulk(
        [
            Watch("failing", 3600.0),
            Watch("late", 3600.0, start_at=soon, overlap="queue", catch_up=10),
            Watch("twice", 3600.0),
        ]
    )
    scheduler.update_ingest_states_bulk([IngestState("failing", error="gone")] * 9)
    PriorityQueue(database, "ingest").enqueue("mine", key="watch:twice")
    assert main(["scheduler", perflab_url, "--once"]) == 0
    first, last = capsys.readouterr().out.splitlines()
    said = r"3 due, 3 jobs, 1 skipped, 1 backed off, 1 late, 2 jobs of missed slots; 7\d{3}\.\d s behind, in \d+\.\d ms"
    assert re.fullmatch(said, first)
    assert last == "1 ticks: 3 due, 3 jobs"


@pytest.mark.parametrize("engine", ["sqlite"])
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--interval", "0"], "interval"),
        (["--limit", "0"], "limit"),
        (["--interval", "soon"], "'--interval'"),
    ],
)
def test_bad_input_is_refused(
    perflab_url: str, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scheduler", perflab_url, *arguments]) == 2
    assert complaint in capsys.readouterr().err


def test_a_database_without_the_tables_is_refused(database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    Database.open(database_url).close()
    assert main(["scheduler", database_url, "--once"]) == 2
    assert "create_schema" in capsys.readouterr().err


def test_no_database(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert main(["scheduler"]) == 2
    assert "no database is named" in capsys.readouterr().err
