from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from perflab.database.database import Database
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import Watch

NEW_YEAR = datetime(2013, 1, 1, tzinfo=UTC)

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


@pytest.mark.case("F38")
def test_two_processes_enqueue_each_slot_once(
    database: Database, perflab_url: str, scheduler: Scheduler, finish_jobs: Callable[[], list[dict[str, Any]]]
) -> None:
    """Both tick at the same time of the same clock, 500 times; their jobs are finished in between."""
    ticks, step = 500, timedelta(seconds=1)
    schedules = {"every second": 1, "every third": 3, "every seventh": 7}
    scheduler.add_watches_bulk([Watch(name, float(every), start_at=NEW_YEAR) for name, every in schedules.items()])
    scheduler.add_watch("cron", cron="* * * * *", start_at=NEW_YEAR)

    tickers = [
        subprocess.Popen(
            [sys.executable, "-c", TICKER, perflab_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    pipes = [(ticker.stdin, ticker.stdout) for ticker in tickers if ticker.stdin and ticker.stdout]
    assert [answers.readline() for _, answers in pipes] == ["ready\n"] * 2
    enqueued = 0
    fired: Counter[tuple[str, str]] = Counter()
    for tick in range(ticks):
        for questions, _ in pipes:
            questions.write(f"{(NEW_YEAR + tick * step).isoformat()}\n")
            questions.flush()
        enqueued += sum(int(answers.readline()) for _, answers in pipes)
        fired.update((job["watch"], job["slot"]) for job in finish_jobs())
    for ticker in tickers:
        ticker.communicate()

    expected = Counter(
        (name, (NEW_YEAR + tick * step).isoformat(timespec="microseconds"))
        for name, every in {**schedules, "cron": 60}.items()
        for tick in range(0, ticks, every)
    )
    assert fired == expected
    assert enqueued == expected.total()


@pytest.mark.case("F38")
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
