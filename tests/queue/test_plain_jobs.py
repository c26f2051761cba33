"""Many jobs are prepared as each is, and plain ones without looking at each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.database.database import Database
from perflab.database.operation import PLAIN_FROM, prepare_all
from perflab.queue.enqueue import Enqueue
from perflab.queue.job import Job, NewJob
from perflab.queue.queue import PriorityQueue
from tests.plain import outcome

any_job: Any = NewJob
"""Takes what a type checker would refuse."""
PLAIN = [
    NewJob({"n": 1}),
    NewJob({"n": 2}, priority=-32_768, max_attempts=1),
    NewJob({}, priority=32_767, max_attempts=32_767),
]
ODD: list[Any] = [
    *(
        any_job({"n": 1}, key="a"),
        any_job({"n": 1}, run_at=datetime(2013, 1, 1, tzinfo=UTC)),
        any_job([1]),
        any_job(None),
    ),
    *(
        any_job({"n": 2**70}),
        any_job({"n": 1}, priority=32_768),
        any_job({"n": 1}, priority=True),
        any_job({}, priority=1.0),
    ),
    *(
        any_job({}, max_attempts=0),
        any_job({}, max_attempts=None),
        any_job({}, run_at=datetime(2013, 1, 1)),  # noqa: DTZ001
        "job",
        None,
    ),
]
DATABASE = Database.open("sqlite://")
QUEUE = PriorityQueue[Any, Any](DATABASE, "jobs")
KEEPING = PriorityQueue[Any, Any](DATABASE, "jobs", keep_done=True)


@given(st.lists(st.sampled_from([*PLAIN * 4, *ODD]), max_size=4))
def test_many_are_prepared_as_each_is(some: list[Any]) -> None:
    items = PLAIN * PLAIN_FROM + some
    enqueue = QUEUE.operations.enqueue
    assert outcome(lambda: prepare_all(enqueue, items)) == outcome(lambda: list(map(enqueue.prepare, items)))


def test_plain_ones_are_not_looked_at_one_by_one() -> None:
    with patch.object(Enqueue, "prepare", side_effect=AssertionError):
        assert len(prepare_all(QUEUE.operations.enqueue, PLAIN * PLAIN_FROM)) == len(PLAIN) * PLAIN_FROM


def leased(job_id: int, attempt: int) -> Job:
    moment = datetime(2013, 1, 1, tzinfo=UTC)
    return Job(job_id, "jobs", None, 0, moment, attempt, 5, moment, None)


JOBS = [leased(number, number % 3) for number in range(PLAIN_FROM)]


@pytest.mark.parametrize("queue", [QUEUE, KEEPING])
@pytest.mark.parametrize("odd", [[], [(leased(1, 1), None)], [(leased(1, 1), {"n": 1})], [7], [None], [NewJob(None)]])
def test_jobs_that_are_done_are_prepared_as_each_is(queue: PriorityQueue[Any, Any], odd: list[Any]) -> None:
    done, items = queue.operations.mark_done, [*JOBS, *odd]
    assert outcome(lambda: prepare_all(done, items)) == outcome(lambda: list(map(done.prepare, items)))
