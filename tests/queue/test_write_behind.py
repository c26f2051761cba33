from concurrent.futures import Future
from typing import assert_type

import pytest

from perflab.batching.batcher import RequestBatcher
from perflab.database.database import Database
from perflab.errors import InvalidInput
from perflab.events import Event, FlushCompleted, JobsEnqueued, JobsFinished
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue


def test_single_calls_go_into_batches_and_answer_by_future(database: Database) -> None:
    with RequestBatcher(database, batch_size=100, flush_interval=3600) as batcher:
        queue = PriorityQueue(database, "q", batching=batcher)
        assert_type(queue, PriorityQueue[Future[int], Future[bool]])
        with database.counting() as count:
            futures = [queue.enqueue(number, key=f"k{number % 60}") for number in range(100)]
            ids = [future.result() for future in futures]
        assert (
            count.round_trips
            == {
                "sqlite": 5,  # BEGIN, the look-up of the keys, two INSERTs, COMMIT
                "postgresql": 1,
            }[database.engine_name]
        )
        assert ids[60:] == ids[:40]
        first, second, *rest = queue.claim()
        assert queue.mark_done_bulk(rest) == [True] * 58, "bulk calls write at once"
        answers = [queue.mark_done(first), queue.mark_error(second, "x"), queue.mark_done(first)]
        batcher.flush()
        assert [answer.result() for answer in answers] == [True, True, False]
        metrics = queue.get_batching_metrics()
        assert metrics is not None
        assert (metrics.items, metrics.batches) == (103, 2)


def test_without_a_batcher_single_calls_answer_themselves(database: Database) -> None:
    queue = PriorityQueue(database)
    assert_type(queue, PriorityQueue[int, bool])
    assert isinstance(queue.enqueue(1), int)
    assert queue.get_batching_metrics() is None


def test_a_refused_item_fails_alone_in_its_future(database: Database) -> None:
    with RequestBatcher(database, batch_size=3, flush_interval=3600) as batcher:
        queue = PriorityQueue(database, "q", batcher)
        good, bad, also_good = (queue.enqueue(payload) for payload in (1, float("nan"), 2))
        assert good.result() < also_good.result()
        with pytest.raises(InvalidInput, match="nan"):
            bad.result()
    assert queue.counts().ready == 2


def test_operations_are_open_to_any_batcher(database: Database) -> None:
    queue = PriorityQueue(database)
    with RequestBatcher(database, batch_size=4, flush_interval=3600) as batcher:
        ids = [batcher.submit(queue.operations.enqueue, NewJob(number)) for number in range(4)]
        assert queue.cancel([future.result() for future in ids[2:]]) == [True, True]
        one, two = queue.claim()
        answers = [
            batcher.submit(queue.operations.extend_lease, (one, 5.0)),
            batcher.submit(queue.operations.release, one),
            batcher.submit(queue.operations.mark_error, (two, "x")),
            batcher.submit(queue.operations.cancel, one.id),
        ]
        assert [answer.result() for answer in answers] == [True, True, True, True]


def test_listeners_hear_of_single_calls_together_once_they_are_written(database: Database) -> None:
    heard: list[Event] = []
    with RequestBatcher(database, batch_size=2, flush_interval=3600) as batcher:
        queue = PriorityQueue(database, "q", batcher)
        with database.events.listening(heard.append):
            queue.enqueue(1)
            assert heard == []
            queue.enqueue(2)
            batcher.flush()
            one, _ = queue.claim()
            queue.mark_done(one)
            batcher.submit(queue.operations.mark_done, one)  # the same as calling the queue
            batcher.flush()
    named = [event for event in heard if not isinstance(event, FlushCompleted)]
    assert named[:1] == [JobsEnqueued("q", 2)]
    assert named[2:] == [JobsFinished("q", done=1, stale=1)]
