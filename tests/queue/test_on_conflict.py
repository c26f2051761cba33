"""What becomes of a job whose key an unfinished one has."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from perflab.batching.batcher import RequestBatcher
from perflab.errors import InvalidInput, RejectedRow
from perflab.queue.job import NewJob, QueueCounts
from perflab.queue.queue import PriorityQueue

Queue = PriorityQueue[int, bool]


def payloads(queue: Queue) -> list[Any]:
    return [job.payload for job in queue.claim()]


def test_skip_keeps_the_one_that_is_there(queue: Queue) -> None:
    first = queue.enqueue("old", key="k")
    ids = queue.bulk_enqueue([NewJob("a"), NewJob("new", key="k"), NewJob("b", key="l"), NewJob("c", key="l")])
    assert ids[1] == first
    assert ids[2] == ids[3] not in {first, ids[0]}
    assert payloads(queue) == ["old", "a", "b"]


def test_raise_writes_nothing_and_names_the_key(queue: Queue) -> None:
    queue.enqueue("old", key="taken")
    with pytest.raises(RejectedRow, match="taken"):
        queue.bulk_enqueue([NewJob("a"), NewJob("new", key="taken")], on_conflict="raise")
    with pytest.raises(RejectedRow, match="the key 'twice' belongs to another job of the same call"):
        queue.bulk_enqueue([NewJob("a", key="twice"), NewJob("b", key="twice")], on_conflict="raise")
    assert queue.counts().ready == 1
    new, other = queue.bulk_enqueue([NewJob("z", key="z"), NewJob("a", key="a")], on_conflict="raise")
    assert new < other
    assert payloads(queue) == ["old", "z", "a"]


def test_only_unfinished_jobs_of_the_queue_hold_their_keys(queue: Queue, clock: SimpleNamespace) -> None:
    other: Queue = PriorityQueue(queue.db, "other", now=lambda: clock.now)
    other.enqueue("x", key="k")
    queue.enqueue("dead", key="k", max_attempts=1)
    queue.mark_error(queue.claim()[0], "no")
    queue.enqueue("done", key="k", on_conflict="raise")
    queue.mark_done_bulk(queue.claim())
    queue.enqueue("again", key="k", on_conflict="raise")
    with pytest.raises(RejectedRow):
        queue.enqueue("once too often", key="k", on_conflict="raise")
    assert queue.counts() == QueueCounts(scheduled=0, ready=1, running=0, dead=1)


def test_replace_makes_a_waiting_job_the_new_one(queue: Queue, clock: SimpleNamespace) -> None:
    later = clock.now + timedelta(seconds=10)
    ready, scheduled = queue.bulk_enqueue([NewJob("old", key="r"), NewJob("old", 5, later, "s", max_attempts=1)])
    new = [NewJob("plain"), NewJob("now", 7, None, "s", 3), NewJob("not this", key="r"), NewJob("later", 1, later, "r")]
    ids = queue.bulk_enqueue(new, on_conflict="replace")
    assert ids[1:] == [scheduled, ready, ready]
    assert queue.counts() == QueueCounts(scheduled=1, ready=2, running=0, dead=0)
    plain, replaced = queue.claim()
    assert (plain.id, plain.payload) == (ids[0], "plain")
    assert (replaced.id, replaced.payload, replaced.priority, replaced.max_attempts) == (scheduled, "now", 7, 3)
    clock.now = later
    assert [(job.payload, job.priority, job.key) for job in queue.claim()] == [("later", 1, "r")]


def test_what_is_replaced_keeps_its_attempts_so_that_old_acknowledgements_stay_old(
    queue: Queue, clock: SimpleNamespace
) -> None:
    job_id = queue.enqueue("old", key="k", max_attempts=2)
    (old,) = queue.claim()
    queue.mark_error(old, "no")
    assert queue.enqueue("new", key="k", max_attempts=2, on_conflict="replace") == job_id
    (new,) = queue.claim()
    assert (new.payload, new.attempt, new.max_attempts) == ("new", 2, 3)
    assert not queue.mark_done(old)
    assert queue.db.fetch("SELECT last_error FROM perflab_jobs") == [(None,)]


def test_a_running_job_goes_on_and_the_new_one_waits_beside_it(queue: Queue, clock: SimpleNamespace) -> None:
    queue.enqueue("old", key="k")
    (running,) = queue.claim()
    new = queue.enqueue("new", key="k", on_conflict="replace")
    assert new != running.id
    assert queue.enqueue("newest", key="k", on_conflict="replace") == new
    (job,) = queue.claim()
    assert (job.id, job.payload) == (new, "newest")
    assert queue.mark_done(job)
    assert queue.mark_error(running, "no")
    assert queue.counts() == QueueCounts(scheduled=0, ready=0, running=0, dead=1), "it is not tried again"


def test_in_batches_a_taken_key_fails_alone(queue: Queue) -> None:
    queue.enqueue("old", key="taken")
    with RequestBatcher(queue.db, 4, 60.0) as batcher:
        behind: PriorityQueue[Any, Any] = PriorityQueue(queue.db, queue.name, batcher, now=queue._clock)
        futures = [behind.enqueue(key, key=key, on_conflict="raise") for key in ("a", "taken", "b", "c")]
        batcher.flush()
        assert [type(future.exception()) for future in futures] == [type(None), RejectedRow, type(None), type(None)]
    assert payloads(queue) == ["old", "a", "b", "c"]


def test_another_word_is_refused(queue: Queue) -> None:
    wrong: Any = "ignore"
    with pytest.raises(InvalidInput, match="on_conflict is 'ignore': use one of 'skip', 'raise', 'replace'"):
        queue.enqueue("x", on_conflict=wrong)
    assert queue.counts().unfinished == 0
