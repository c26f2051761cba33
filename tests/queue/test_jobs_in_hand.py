from datetime import UTC, datetime

import pytest

from perflab.queue.job import Job
from perflab.queue.jobs_in_hand import JobsInHand

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def job(job_id: int, attempt: int = 1) -> Job:
    return Job(job_id, "q", None, 0, NOW, attempt, 5, NOW, None)


@pytest.fixture
def in_hand() -> JobsInHand:
    hand = JobsInHand(lambda: None)
    hand.add([job(1), job(2), job(3)])
    return hand


def counts(hand: JobsInHand) -> tuple[int, int, int]:
    return hand.waiting, hand.running, hand.finished


def test_a_job_goes_through_its_phases_once(in_hand: JobsInHand) -> None:
    assert not in_hand.finish(job(1))
    assert in_hand.start(job(1))
    assert not in_hand.start(job(1))
    assert counts(in_hand) == (2, 1, 0)
    assert in_hand.finish(job(1))
    assert not in_hand.finish(job(1))
    assert counts(in_hand) == (2, 0, 1)
    assert len(in_hand.jobs()) == 3
    in_hand.forget(job(1))
    assert counts(in_hand) == (2, 0, 0)
    assert not in_hand.start(job(1))
    assert in_hand.jobs() == [job(2), job(3)]


def test_what_is_taken_back_neither_starts_nor_finishes(in_hand: JobsInHand) -> None:
    in_hand.start(job(1))
    assert in_hand.take_waiting() == [job(2), job(3)]
    assert not in_hand.start(job(2))
    assert in_hand.take_running() == [job(1)]
    assert not in_hand.finish(job(1))
    assert in_hand.jobs() == []
    assert counts(in_hand) == (0, 0, 0)


def test_of_some_jobs_only_those_that_wait_are_taken(in_hand: JobsInHand) -> None:
    in_hand.start(job(1))
    assert in_hand.take_waiting(among=[job(1), job(3), job(9), job(2, attempt=2)]) == [job(3)]
    assert counts(in_hand) == (1, 1, 0)


def test_a_new_lease_of_a_job_is_not_mistaken_for_the_old_one(in_hand: JobsInHand) -> None:
    """A failed job may be claimed again before the note that its failure is written has come back."""
    in_hand.start(job(1))
    in_hand.finish(job(1))
    in_hand.add([job(1, attempt=2)])
    in_hand.forget(job(1))
    assert in_hand.start(job(1, attempt=2))


def test_starts_and_ends_are_reported() -> None:
    changes: list[tuple[int, int, int]] = []
    hand = JobsInHand(lambda: changes.append(counts(hand)))
    hand.add([job(1)])
    hand.start(job(1))
    hand.start(job(1))
    hand.finish(job(1))
    assert changes == [(0, 1, 0), (0, 0, 1)]
