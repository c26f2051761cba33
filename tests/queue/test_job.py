import pickle
import re
from dataclasses import FrozenInstanceError, astuple, replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import inspect

from perflab.database.database import Database
from perflab.queue.job import TRANSITIONS, Job, JobState, QueueCounts, claimed_job


def test_the_states_are_those_that_the_table_allows(database: Database) -> None:
    with database.reading() as connection:
        (check,) = inspect(connection).get_check_constraints("perflab_jobs")
    assert set(re.findall(r"'(\w+)'", check["sqltext"])) == set(JobState)


def test_no_transition_is_listed_twice() -> None:
    steps = [(step.source, step.operation, step.target) for step in TRANSITIONS]
    assert len(steps) == len(set(steps))


def test_every_state_can_be_reached_and_left() -> None:
    for state in JobState:
        assert any(step.target is state and step.source is not state for step in TRANSITIONS)
        assert any(step.source is state and step.target is not state for step in TRANSITIONS)


def test_every_state_leads_to_an_end() -> None:
    ending: set[JobState | None] = {None}
    while more := {step.source for step in TRANSITIONS if step.target in ending and step.source} - ending:
        ending |= more
    assert ending >= set(JobState)


def test_unfinished_jobs_are_all_but_the_dead() -> None:
    assert QueueCounts(scheduled=1, ready=10, running=100, dead=1000).unfinished == 111


def test_a_claimed_job_is_a_job_like_any_other() -> None:
    fields = (1, "q", {"n": 1}, 0, datetime(2026, 1, 1, tzinfo=UTC), 1, 5, datetime(2026, 1, 2, tzinfo=UTC), "key")
    job = claimed_job(*fields)
    assert type(job) is Job
    assert astuple(job) == fields
    assert job == Job(*fields)
    assert pickle.loads(pickle.dumps(job)) == replace(job) == job  # it is our own
    with pytest.raises(FrozenInstanceError):
        job.id = 2  # type: ignore[misc]
