"""Every adapter does what it is given, on the queue that it is for: what is measured is real."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest

from perflab.errors import InvalidInput, WrongAnswer
from perflab.lab.peers.catalogue import QUEUES, find_queue, installed_version
from perflab.lab.peers.ours import OurQueue
from perflab.lab.peers.peer import QueuePeer
from perflab.lab.peers.visit import Seen, Timed, batches_of, make_payloads

JOBS = 200


@contextmanager
def fresh_schema(server: str) -> Iterator[str]:
    schema = f"peers_{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        yield f"{server}{'&' if '?' in server else '?'}options={quote(f'-csearch_path={schema}')}"
        connection.execute("SET client_min_messages = warning")
        connection.execute(f"DROP SCHEMA {schema} CASCADE")


def run_visit(**request: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "perflab.lab.peers.visit"],
        input=json.dumps(request) + "\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(params=QUEUES, ids=lambda queue: queue.card.name)
def queue(request: pytest.FixtureRequest) -> QueuePeer:
    found: QueuePeer = request.param
    if installed_version(found) is None:
        pytest.skip(f"{found.card.package} is not installed: pip install 'perflab[peers]'")
    return found


@pytest.fixture
def url(queue: QueuePeer, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if queue.card.engine == "sqlite":
        yield f"sqlite:///{tmp_path / 'peers.db'}"
        return
    with fresh_schema(request.getfixturevalue("postgres_url")) as found:
        yield found


def test_all_jobs_run_and_are_acknowledged(queue: QueuePeer, url: str) -> None:
    done = run_visit(what="drain", queue=queue.card.name, url=url, jobs=JOBS, singles=20)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["jobs"], found["runs"]) == (JOBS, JOBS)
    assert found["drain"] > 0
    assert found["enqueue_each"] > 0
    assert (found["enqueue_bulk"] is not None) is queue.card.bulk
    if queue.card.engine == "sqlite":
        assert found["durability"] == queue.card.durability
    else:
        assert found["durability"].startswith("fsync=off"), "the server of the tests is not durable, and that is seen"


@pytest.mark.parametrize("name", [queue.card.name for queue in QUEUES if queue.card.wakes])
def test_idle_workers_are_woken(name: str, postgres_url: str) -> None:
    if installed_version(find_queue(name)) is None:
        pytest.skip(f"{name} is not installed: pip install 'perflab[peers]'")
    with fresh_schema(postgres_url) as url:
        done = run_visit(what="latency", queue=name, url=url, jobs=10, interval=0.005)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["latencies"]) == 10
    assert min(found["latencies"]) > 0


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'peers.db'}"


def test_a_job_that_did_not_run_leaves_no_figure(tmp_path: Path) -> None:
    queue, url = OurQueue("sqlite"), sqlite_url(tmp_path)
    queue.create(url)
    seen = Seen(2)
    assert not seen.handle({"number": 0})
    with pytest.raises(WrongAnswer, match="saw 1 of 2 jobs"):
        seen.check(queue, url)


def test_a_job_that_ran_and_is_not_known_to_be_done_leaves_no_figure(tmp_path: Path) -> None:
    queue, url = OurQueue("sqlite"), sqlite_url(tmp_path)
    queue.create(url)
    queue.enqueue_each(url, make_payloads(1))
    seen = Seen(1)
    assert seen.handle({"number": 0})
    with pytest.raises(WrongAnswer, match="all jobs of perflab, full ran, and it holds 1 for unfinished"):
        seen.check(queue, url)


def test_a_second_run_of_a_job_is_counted() -> None:
    seen = Seen(2)
    assert [seen.handle({"number": number}) for number in (0, 0, 1)] == [False, False, True]
    assert seen.runs == 3


def test_each_job_has_a_number_of_its_own() -> None:
    batches = batches_of(make_payloads(2_500))
    assert [len(batch) for batch in batches] == [1_000, 1_000, 500]
    assert sorted(payload["number"] for batch in batches for payload in batch) == list(range(2_500))


def test_timed_items_time_the_calls_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10.0, 13.0])
    monkeypatch.setattr("perflab.lab.peers.visit.time.perf_counter", lambda: next(times))
    items = Timed([1, 2, 3])
    assert list(items) == [1, 2, 3]
    assert items.seconds == 3.0


def test_names_of_queues_are_unique() -> None:
    names = [queue.card.name for queue in QUEUES]
    assert len(set(names)) == len(names)
    with pytest.raises(InvalidInput, match="no queue 'celery': use one of perflab, "):
        find_queue("celery")
