"""What happens between processes: some die, some share a queue, some are told to stop."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from perflab.database.database import Database
from perflab.queue.job import NewJob, QueueCounts
from perflab.queue.queue import PriorityQueue
from perflab.queue.worker import Worker

Queue = PriorityQueue[int, bool]

PREAMBLE = """
import json, os, signal, sys, threading, time
from dataclasses import asdict
from perflab.database.database import Database
from perflab.events import JobsFinished
from perflab.queue.operations import MarkDone
from perflab.queue.queue import PriorityQueue
from perflab.queue.worker import Worker

def say(value):
    print(json.dumps(value), flush=True)

def die():
    os.kill(os.getpid(), signal.SIGKILL)

database = Database.open(sys.argv[1])
queue = PriorityQueue(database)
"""

DIE = """
step = sys.argv[2]
if step == "claimed":
    claim = queue.claim
    queue.claim = lambda *args, **options: [claim(*args, **options), die()]
if step == "before the acknowledgement is committed":
    apply = MarkDone.apply
    MarkDone.apply = lambda *args: [apply(*args), die()]
if step == "after the acknowledgement is committed":
    database.events.add(lambda event: isinstance(event, JobsFinished) and die())
handlers = threading.Lock()

def handler(job):
    with handlers:
        if step == "in the handler" and job.payload == 3:
            die()

Worker(queue, handler, concurrency=2, prefetch=10, batch_size=4, flush_interval=0.001).run(until_empty=True)
"""

CLAIM_MOST = """
sys.stdin.readline()
mine = []
while len(mine) < 1_200 and (jobs := queue.claim(9)):
    mine += [job.id for job in jobs]
say(mine)
"""

WORK = """
def handler(job):
    if job.payload == "first":
        say("started")
    time.sleep(0.05)

say(asdict(Worker(queue, handler, concurrency=2, prefetch=6).run()))
"""

WORK_FOR_EVER = """
def handler(job):
    say("started")
    threading.Event().wait()

say(asdict(Worker(queue, handler, concurrency=1, prefetch=2, drain_timeout=600).run()))
"""


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def end(process: subprocess.Popen[str]) -> int:
    """Wait for a process and close its pipes."""
    process.communicate(timeout=60)
    return process.returncode


@pytest.mark.case("F01")
@pytest.mark.parametrize(
    "step",
    [
        "claimed",
        "in the handler",
        "before the acknowledgement is committed",
        "after the acknowledgement is committed",
    ],
)
def test_no_job_is_lost_when_a_worker_is_killed(database: Database, perflab_url: str, step: str) -> None:
    """Elsewhere jobs of a killed worker are lost, or stay locked (graphile/worker#474)."""
    queue: Queue = PriorityQueue(database)
    queue.bulk_enqueue(NewJob(number) for number in range(30))
    assert end(start(DIE, perflab_url, step)) == -signal.SIGKILL

    if database.engine_name == "sqlite":
        assert database.fetch("PRAGMA integrity_check") == [("ok",)]
    left = queue.counts()
    assert left.running > 0, "the killed worker held jobs"
    acknowledged = 30 - left.unfinished
    if step.startswith("after"):
        assert acknowledged > 0
    elif step != "in the handler":
        assert acknowledged == 0

    an_hour_later: Queue = PriorityQueue(database, now=lambda: datetime.now(UTC) + timedelta(hours=1))
    attempts: dict[int, int] = {}
    report = Worker(
        an_hour_later, lambda job: attempts.update({job.payload: job.attempt}), concurrency=1, name="heir"
    ).run(until_empty=True)
    assert report.done == left.unfinished == len(attempts)
    assert list(attempts.values()).count(2) == left.running
    assert queue.counts() == QueueCounts(scheduled=0, ready=0, running=0, dead=0)


def test_processes_never_get_the_same_job(database: Database, perflab_url: str) -> None:
    queue: Queue = PriorityQueue(database)
    ids = queue.bulk_enqueue(NewJob(number) for number in range(2_000))
    processes = [start(CLAIM_MOST, perflab_url) for _ in range(2)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    claimed = [said(process) for process in processes]
    assert [end(process) for process in processes] == [0, 0]
    assert sorted(claimed[0] + claimed[1]) == ids
    assert min(map(len, claimed)) > 0


@pytest.mark.case("F05")
def test_sigterm_ends_a_worker_in_order(database: Database, perflab_url: str) -> None:
    queue: Queue = PriorityQueue(database)
    queue.bulk_enqueue([NewJob("first"), *(NewJob("x") for _ in range(99))])
    process = start(WORK, perflab_url)
    assert said(process) == "started"
    process.send_signal(signal.SIGTERM)
    report = said(process)
    assert end(process) == 0
    assert report["done"] + report["released"] == report["claimed"] <= 8 + report["done"]
    assert report["done"] > 0
    assert queue.counts() == QueueCounts(scheduled=0, ready=100 - report["done"], running=0, dead=0)
    assert all(job.max_attempts - job.attempt == 4 for job in queue.claim()), "the release costs no attempt"


@pytest.mark.case("F05")
def test_a_second_signal_gives_running_jobs_back_at_once(database: Database, perflab_url: str) -> None:
    queue: Queue = PriorityQueue(database)
    queue.bulk_enqueue(NewJob(number) for number in range(10))
    process = start(WORK_FOR_EVER, perflab_url)
    assert said(process) == "started"
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    report = said(process)
    assert end(process) == 0
    assert report["released"] == report["claimed"] >= 1
    assert queue.counts() == QueueCounts(scheduled=0, ready=10, running=0, dead=0)
