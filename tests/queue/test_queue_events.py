from datetime import timedelta
from types import SimpleNamespace

from perflab.events import Event, JobsClaimed, JobsEnqueued, JobsFinished, LeasesRescued
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue

Queue = PriorityQueue[int, bool]


def test_listeners_hear_what_happened(queue: Queue, clock: SimpleNamespace) -> None:
    heard: list[Event] = []
    ticks = iter(range(100))
    queue._stopwatch = lambda: float(next(ticks))
    with queue.db.events.listening(heard.append):
        queue.bulk_enqueue([NewJob(number, max_attempts=1 + number % 2) for number in range(6)])
        a, b, c, d, e, f = queue.claim()
        queue.mark_done_bulk([a, a])
        queue.mark_error_bulk([(b, "retried"), (c, "dead"), (a, "stale")])
        queue.release([d])
        queue.extend_lease([e])
        clock.now += timedelta(hours=1)
        queue.rescue_expired()
        queue.rescue_expired()
        queue.mark_done(f)
    assert heard == [
        JobsEnqueued("ingest", 6),
        JobsClaimed("ingest", 6, 1.0),
        JobsFinished("ingest", done=1, stale=1),
        JobsFinished("ingest", retried=1, dead=1, stale=1),
        LeasesRescued("ingest", ready=1, dead=1),
        JobsFinished("ingest", stale=1),
    ]


def test_calls_without_items_are_not_announced(queue: Queue) -> None:
    heard: list[Event] = []
    with queue.db.events.listening(heard.append):
        queue.bulk_enqueue([])
        queue.mark_done_bulk([])
        queue.rescue_expired()
    assert heard == []
