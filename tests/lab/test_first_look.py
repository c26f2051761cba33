from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from perflab.batching.batcher import RequestBatcher
from perflab.database.database import Database
from perflab.errors import InvalidInput, WrongAnswer
from perflab.lab import first_look
from perflab.lab.first_look import WAYS, board_of, compare_ways, explain_metrics, flight_jobs
from perflab.queue.queue import PriorityQueue


def test_jobs_are_real_flights_in_the_order_of_the_week() -> None:
    jobs = flight_jobs(300)
    assert len({job.payload["key"] for job in jobs}) == 300
    assert all(job.payload["watch"].startswith(job.payload["carrier"]) for job in jobs)
    assert [job.payload["scheduled_at"] for job in jobs] == sorted(job.payload["scheduled_at"] for job in jobs)


@pytest.mark.parametrize("count", [0, -1, 1_000_000])
def test_a_number_of_jobs_that_the_week_does_not_have_is_refused(count: int) -> None:
    with pytest.raises(InvalidInput, match=f"{count} jobs were asked for: the week has flights for 1 to 6,631"):
        flight_jobs(count)


def test_every_round_visits_every_way_once() -> None:
    jobs = flight_jobs(60)
    visits = compare_ways(jobs, rounds=3, seed=1)
    assert len(visits) == 9
    for _, rows in visits.groupby("round"):
        assert sorted(rows["way"]) == sorted(WAYS)
        assert rows["position"].to_list() == [0, 1, 2]
    assert (visits["jobs"] == 60).all()
    assert (visits["seconds"] > 0).all()
    trips = visits.groupby("way")["round_trips"].max()
    assert trips["one by one"] == 3 * 60
    assert trips["through a batcher"] < 60
    assert trips["in bulk"] < 10


def test_the_seed_gives_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = flight_jobs(2)
    monkeypatch.setattr(first_look, "_visit", lambda _way, _jobs: {})
    orders = [compare_ways(jobs, rounds=4, seed=seed)["way"].to_list() for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_a_way_that_loses_a_job_has_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = flight_jobs(10)
    monkeypatch.setattr(
        first_look,
        "WAYS",
        {"careless": lambda database, some, queue="tour": WAYS["in bulk"](database, some[1:], queue)},
    )
    with pytest.raises(WrongAnswer, match="careless: 9 jobs are there, and not the 10"):
        compare_ways(jobs, rounds=1, seed=1)


def test_a_board_is_the_same_in_any_order_and_from_any_number_of_threads() -> None:
    jobs = flight_jobs(500)
    expected = board_of(jobs)
    board = first_look.DepartureBoard()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(board.add, [job.payload for job in reversed(jobs)]))
    assert board.checksum == expected.checksum
    assert board.departures == expected.departures
    assert sum(board.departures.values()) == 500


def test_a_board_tells_a_flight_that_came_twice() -> None:
    jobs = flight_jobs(10)
    assert board_of([*jobs, jobs[0]]).checksum != board_of(jobs).checksum != board_of(jobs[1:]).checksum


def test_the_table_of_a_board_has_every_hour() -> None:
    jobs = flight_jobs(200)
    table = board_of(jobs).table()
    assert table.index.to_list() == list(range(24))
    assert set(table.columns) == {job.payload["origin"] for job in jobs}
    assert int(table.to_numpy().sum()) == 200


def test_metrics_are_explained(database: Database, tmp_path: Path) -> None:
    with RequestBatcher(database, 10, 1.0) as batcher:
        queue = PriorityQueue(database, "jobs", batcher)
        for number in range(20):
            queue.enqueue({"number": number})
        batcher.flush()
        table = explain_metrics(batcher.metrics())
    lines = table.splitlines()
    assert lines[0] == "| metric | value | meaning |"
    assert "| `items` | 20 | items that are in the database |" in lines
    assert "| `mean_batch` | 10 | items per flush |" in lines
    assert "| `causes` | count 2 |" in table
