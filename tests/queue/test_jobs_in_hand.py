from __future__ import annotations

import threading
from datetime import UTC, datetime
from random import Random
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.queue.job import Job
from perflab.queue.jobs_in_hand import JobsInHand

NOW = datetime(2026, 1, 1, tzinfo=UTC)
A_MINUTE = 60.0


def job(job_id: int, attempt: int = 1, priority: int = 0) -> Job:
    return Job(job_id, "q", None, priority, NOW, attempt, 5, NOW, None)


@pytest.fixture
def clock() -> SimpleNamespace:
    return SimpleNamespace(seconds=100.0, changes=0)


@pytest.fixture
def in_hand(clock: SimpleNamespace) -> JobsInHand:
    def changed() -> None:
        clock.changes += 1

    hand = JobsInHand(changed, timeout=10.0, monotonic=lambda: clock.seconds)
    hand.add([job(1), job(2), job(3)])
    return hand


def take(hand: JobsInHand) -> Job:
    taken = hand.take_at_once()
    assert taken is not None
    return taken


def counts(hand: JobsInHand) -> tuple[int, int, int]:
    return hand.waiting, hand.running, hand.ended


def test_a_job_goes_through_its_phases_once(in_hand: JobsInHand) -> None:
    assert not in_hand.finish(job(1), job(1))
    first, second = take(in_hand), take(in_hand)
    assert (first, second) == (job(1), job(2))
    assert counts(in_hand) == (1, 2, 0)
    error = ValueError()
    assert in_hand.finish(first, first)
    assert in_hand.finish(second, error)
    assert not in_hand.finish(first, first)
    assert counts(in_hand) == (1, 0, 2)
    ended = in_hand.take_ended()
    assert (ended.done, ended.failed) == ([first], [(second, error)])
    assert counts(in_hand) == (1, 0, 0)
    assert in_hand.jobs() == [job(3), first, second], "the lease must hold them until they are acknowledged"
    in_hand.acknowledged()
    assert in_hand.jobs() == [job(3)]


def test_more_urgent_ones_go_before_what_waits_and_others_behind(in_hand: JobsInHand) -> None:
    take(in_hand)
    in_hand.add([job(7, priority=-1), job(4), job(8, priority=3)])
    in_hand.add([job(9, priority=4)])
    assert [take(in_hand).id for _ in range(6)] == [7, 2, 3, 4, 8, 9]
    assert in_hand.take_at_once() is None


@given(st.lists(st.lists(st.integers(-2, 2), max_size=5), max_size=6), st.randoms(use_true_random=False))
def test_whatever_comes_when_the_most_urgent_one_of_those_that_wait_is_next(
    claims: list[list[int]], rng: Random
) -> None:
    hand = JobsInHand(lambda: None, monotonic=lambda: 0.0)
    waiting: list[tuple[int, int]] = []
    job_id = 0
    for priorities in claims:
        claimed = []
        for priority in sorted(priorities):
            job_id += 1
            claimed.append(job(job_id, priority=priority))
        hand.add(claimed)
        waiting = sorted([*waiting, *((new.priority, new.id) for new in claimed)])
        for _ in range(rng.randint(0, len(waiting))):
            taken = take(hand)
            assert (taken.priority, taken.id) == waiting.pop(0)


def test_what_could_not_be_acknowledged_comes_before_what_has_ended_since(in_hand: JobsInHand) -> None:
    first, second = take(in_hand), take(in_hand)
    in_hand.finish(first, first)
    in_hand.take_ended()
    assert in_hand.ended_since is None
    in_hand.finish(second, second)
    in_hand.put_back()
    assert in_hand.ended_since is not None
    assert in_hand.take_ended().done == [first, second]


def test_what_is_taken_back_neither_starts_nor_ends(in_hand: JobsInHand) -> None:
    running = take(in_hand)
    assert in_hand.take_waiting() == [job(2), job(3)]
    assert in_hand.take_at_once() is None
    assert in_hand.take_running() == [running]
    assert not in_hand.finish(running, running)
    assert in_hand.jobs() == []
    assert counts(in_hand) == (0, 0, 0)


def test_of_some_jobs_only_those_that_wait_are_taken(in_hand: JobsInHand) -> None:
    _, _, third = in_hand.jobs()
    running = take(in_hand)
    assert in_hand.take_waiting(among=[running, third, job(2)]) == [third]
    assert counts(in_hand) == (1, 1, 0)


def test_a_new_lease_of_a_job_is_not_mistaken_for_the_old_one(in_hand: JobsInHand) -> None:
    """Its lease was lost while it ran, it was rescued, and has been claimed here again."""
    old = take(in_hand)
    in_hand.add([job(1, attempt=2)])
    new = take(in_hand)
    assert (new.id, new.attempt) == (1, 2)
    assert in_hand.finish(old, old)
    assert in_hand.running == 1
    assert in_hand.finish(new, new)


def test_what_has_used_its_time_up_has_failed_and_its_end_does_not_count(
    in_hand: JobsInHand, clock: SimpleNamespace
) -> None:
    early = take(in_hand)
    clock.seconds += 4.0
    late, quick = take(in_hand), take(in_hand)
    in_hand.finish(quick, quick)
    assert in_hand.next_deadline() == 110.0
    assert in_hand.expire(109.9) == []
    assert in_hand.expire(110.0) == [early]
    assert not in_hand.finish(early, early)
    assert in_hand.next_deadline() == 114.0
    assert in_hand.expire(1e9) == [late]
    assert in_hand.next_deadline() is None
    ended = in_hand.take_ended()
    assert ended.done == [quick]
    assert [(failed, str(error)) for failed, error in ended.failed] == [
        (early, "it had not ended after 10 seconds"),
        (late, "it had not ended after 10 seconds"),
    ]


def test_it_says_when_something_is_to_be_done(in_hand: JobsInHand, clock: SimpleNamespace) -> None:
    in_hand.low_water = 1
    first = take(in_hand)
    assert clock.changes == 1, "there is a deadline"
    second = take(in_hand)
    assert clock.changes == 2, "there is room for more"
    third = take(in_hand)
    in_hand.finish(first, first)
    assert clock.changes == 3, "the first one has ended"
    in_hand.finish(second, second)
    assert clock.changes == 3
    in_hand.finish(third, third)
    assert clock.changes == 4, "nothing runs any more"


def test_who_looks_in_time_is_not_woken_for_what_has_ended(in_hand: JobsInHand, clock: SimpleNamespace) -> None:
    in_hand.low_water = -1
    for looks_at, changes in [(clock.seconds, 0), (clock.seconds + 0.1, 1)]:
        first = take(in_hand)
        in_hand.looks_at = looks_at
        clock.changes = 0
        second = in_hand.finish_and_take(first, first)
        assert second is not None
        assert clock.changes == changes
        in_hand.take_ended()
        in_hand.acknowledged()
        in_hand.finish(second, second)
        in_hand.take_ended()
        in_hand.add([job(4)])


def test_a_thread_hands_over_and_takes_at_once(in_hand: JobsInHand) -> None:
    first = take(in_hand)
    second = in_hand.finish_and_take(first, first)
    assert second == job(2)
    assert in_hand.finish_and_take(first, first) is None, "it has ended already"
    assert counts(in_hand) == (1, 1, 1)
    third = in_hand.finish_and_take(second, ValueError())
    assert third is not None
    in_hand.close()
    assert in_hand.finish_and_take(third, (third, 7)) is None
    ended = in_hand.take_ended()
    assert ended.done == [first, (third, 7)]
    assert [failed for failed, _ in ended.failed] == [second]
    assert in_hand.jobs() == [first, third, second]


def test_threads_wait_for_jobs_and_end_when_none_will_come() -> None:
    hand = JobsInHand(lambda: None, monotonic=lambda: 0.0)
    taken: list[Job] = []

    def work() -> None:
        while (next_job := hand.take()) is not None:
            taken.append(next_job)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(50):
        hand.add([job(number)])
    hand.close()
    for thread in threads:
        thread.join(A_MINUTE)
        assert not thread.is_alive()
    assert sorted(done.id for done in taken) == list(range(50))
