from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import IO, Any

from perflab.database.database import Database
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import Watch

NEW_YEAR = datetime(2013, 1, 1, tzinfo=UTC)

TICKS = int(os.environ.get("PERFLAB_SCHEDULER_TICKS", "150"))
"""Of each process; `make schedulers` takes 1,000."""

TICKER = """
import sys
from datetime import datetime
from perflab.database.database import Database
from perflab.scheduler.scheduler import Scheduler

with Database.open(sys.argv[1], busy_timeout=60.0) as database:
    scheduler = Scheduler(database)
    print("ready", flush=True)
    for now in sys.stdin:
        print(scheduler.tick(datetime.fromisoformat(now.strip())).enqueued, flush=True)
"""

RUNNER = """
import sys
from datetime import datetime, timedelta
from random import Random
from perflab.database.database import Database
from perflab.scheduler.scheduler import Scheduler

url, start, ticks, seed = sys.argv[1], datetime.fromisoformat(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
rng = Random(seed)
with Database.open(url, busy_timeout=60.0) as database:
    scheduler = Scheduler(database)
    print("ready", flush=True)
    sys.stdin.readline()
    for tick in range(ticks):
        report = scheduler.tick(max(start, start + timedelta(seconds=tick + rng.uniform(-5.0, 5.0))))
        assert database.engine_name == "sqlite" or report.round_trips == 1
    print(scheduler.metrics().enqueued, flush=True)
"""

Start = Callable[..., "subprocess.Popen[str]"]


def slot_of(tick: int) -> str:
    return (NEW_YEAR + tick * timedelta(seconds=1)).isoformat(timespec="microseconds")


def pipes_of(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    """Once it is ready."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process.stdin, process.stdout


def test_two_processes_enqueue_each_slot_once(
    perflab_url: str, scheduler: Scheduler, finish_jobs: Callable[[], list[dict[str, Any]]], start_python: Start
) -> None:
    """Both tick at the same time of the same clock; their jobs are finished in between."""
    every = {"every second": 1, "every third": 3, "every seventh": 7}
    scheduler.add_watches_bulk([Watch(name, float(step), start_at=NEW_YEAR) for name, step in every.items()])
    scheduler.add_watch("coalescing", 2.0, start_at=NEW_YEAR, overlap="coalesce")
    scheduler.add_watch("cron", cron="* * * * *", start_at=NEW_YEAR)

    pipes = [pipes_of(start_python(TICKER, perflab_url)) for _ in range(2)]
    enqueued = 0
    fired: Counter[tuple[str, str]] = Counter()
    for tick in range(TICKS):
        for questions, _ in pipes:
            questions.write(f"{slot_of(tick)}\n")
            questions.flush()
        enqueued += sum(int(answers.readline()) for _, answers in pipes)
        fired.update((job["watch"], job["slot"]) for job in finish_jobs())

    expected = Counter(
        (name, slot_of(tick))
        for name, step in {**every, "coalescing": 2, "cron": 60}.items()
        for tick in range(0, TICKS, step)
    )
    assert fired == expected
    assert enqueued == expected.total()


def test_two_processes_with_clocks_that_jump_enqueue_each_slot_once(
    perflab_url: str, scheduler: Scheduler, finish_jobs: Callable[[], list[dict[str, Any]]], start_python: Start
) -> None:
    """Each at its own pace, with clocks that are up to five seconds wrong either way, at each tick in another one."""
    every = {"every second": 1, "every third": 3}
    scheduler.add_watches_bulk(
        [Watch(name, float(step), start_at=NEW_YEAR, overlap="queue", catch_up=100) for name, step in every.items()]
    )
    scheduler.add_watch("cron", cron="* * * * *", start_at=NEW_YEAR, overlap="queue", catch_up=100)

    pipes = [pipes_of(start_python(RUNNER, perflab_url, NEW_YEAR.isoformat(), TICKS, seed)) for seed in (1, 2)]
    for questions, _ in pipes:
        questions.write("go\n")
        questions.flush()
    enqueued = sum(int(answers.readline()) for _, answers in pipes)
    end = TICKS + 5
    while (report := scheduler.tick(NEW_YEAR + end * timedelta(seconds=1))).due or report.more:
        enqueued += report.enqueued

    expected = Counter(
        (name, slot_of(tick)) for name, step in {**every, "cron": 60}.items() for tick in range(0, end + 1, step)
    )
    assert Counter((job["watch"], job["slot"]) for job in finish_jobs()) == expected
    assert enqueued == expected.total()


def test_many_threads_enqueue_each_slot_once(database: Database, scheduler: Scheduler) -> None:
    scheduler.add_watches_bulk([Watch(f"{n}", 3600.0, start_at=NEW_YEAR) for n in range(500)])

    with ThreadPoolExecutor(8) as pool:
        reports = list(pool.map(lambda _: scheduler.tick(NEW_YEAR, limit=20), range(40)))

    assert sum(report.enqueued for report in reports) == 500
    assert sum(report.skipped for report in reports) == 0
    watches = [
        json.loads(text)["watch"] for (text,) in database.fetch("SELECT CAST(payload AS TEXT) FROM perflab_jobs")
    ]
    assert sorted(watches) == sorted(f"{n}" for n in range(500))
    # Other threads ticked at the same time, and yet each report has its own round trips only.
    if database.engine_name == "sqlite":
        assert all(report.round_trips == (5 if report.due else 3) for report in reports)
    else:
        assert all(report.round_trips == 1 for report in reports)
    assert scheduler.metrics().ticks == 40
