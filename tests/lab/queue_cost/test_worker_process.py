from __future__ import annotations

import io
import json

import pytest

from perflab.database.database import Database
from perflab.errors import LabError, WrongAnswer
from perflab.lab.queue_cost.drain import check_reports
from perflab.lab.queue_cost.plan import QUEUE
from perflab.lab.queue_cost.rows import fill
from perflab.lab.queue_cost.worker_process import WorkerProcess, serve


def test_it_says_what_its_handler_saw(database: Database, perflab_url: str) -> None:
    fill(database, ready=10)
    order = {"url": perflab_url, "queue": QUEUE, "handler_seconds": 0.0, "durability": "normal"}
    answers = io.StringIO()
    serve(io.StringIO(f"{json.dumps(order)}\n{json.dumps('begin')}\n"), answers)
    ready, report = (json.loads(line) for line in answers.getvalue().splitlines())
    assert ready == {"ready": True}
    assert (report["claimed"], report["done"], report["seen"], report["checksum"]) == (10, 10, 10, 45)


def test_it_works_for_nobody_who_does_not_say_begin(database: Database, perflab_url: str) -> None:
    fill(database, ready=10)
    order = {"url": perflab_url, "queue": QUEUE, "handler_seconds": 0.0, "durability": "normal"}
    answers = io.StringIO()
    serve(io.StringIO(f"{json.dumps(order)}\n"), answers)
    assert answers.getvalue().splitlines() == ['{"ready": true}']
    assert database.fetch("SELECT count(*) FROM perflab_jobs WHERE state = 'ready'") == [(10,)]


def test_what_it_cannot_open_is_told_by_the_one_who_measures() -> None:
    with (
        WorkerProcess("mysql://root:secret@host/name", QUEUE, 0.0, "normal") as process,
        pytest.raises(LabError, match="a worker process could not go on") as raised,
    ):
        process.wait_until_ready()
    assert "secret" not in str(raised.value)


def test_a_process_that_dies_is_told(sqlite_url: str) -> None:
    with WorkerProcess(sqlite_url, QUEUE, 0.0, "normal") as process:
        process.wait_until_ready()
        process._process.kill()
        with pytest.raises(LabError, match="has ended"):
            process.wait_until_empty()


RIGHT = [{"claimed": 2, "done": 2, "seen": 2, "checksum": 3}, {"claimed": 1, "done": 1, "seen": 1, "checksum": 0}]


@pytest.mark.parametrize("field", list(RIGHT[0]))
def test_reports_of_other_jobs_are_refused(field: str) -> None:
    check_reports(3, RIGHT, "2 workers")
    with pytest.raises(WrongAnswer, match="2 workers"):
        check_reports(3, [{**RIGHT[0], field: 1}, RIGHT[1]], "2 workers")
