"""What is predicted is there before it is asked for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from perflab.cache.lifetimes import CacheLifetimes
from perflab.cache.predictors import AskedOften, DueSoon
from perflab.cache.row_cache import RowCache
from perflab.cache.warmer import CacheWarmer
from perflab.database.database import Database
from perflab.errors import InvalidInput, TransientError
from perflab.queue.queue import PriorityQueue
from perflab.queue.worker import Worker
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import Watch, WatchStatus
from tests.cache.conftest import PATIENCE, Gate

MakeCache = Callable[..., RowCache]
GateOf = Callable[[RowCache], Gate]
NEW_YEAR = datetime(2013, 1, 1, tzinfo=UTC)


class Known:
    """A predictor that knows, and counts how often it was asked."""

    def __init__(self, keys: Iterable[Any]) -> None:
        self.keys = list(keys)
        self.error: Exception | None = None
        self.asked: list[float] = []
        self.came = threading.Condition()

    def predict(self, within: float) -> Iterator[Any]:
        with self.came:
            self.asked.append(within)
            self.came.notify_all()
        if self.error is not None:
            raise self.error
        yield from self.keys

    def wait_for_rounds(self, count: int) -> None:
        with self.came:
            assert self.came.wait_for(lambda: len(self.asked) >= count, PATIENCE)


def fares_of(status: WatchStatus) -> list[int]:
    first: int = status.watch.payload["first"]
    return [first, first + 1]


@pytest.fixture
def scheduler(fares: Database, clock: SimpleNamespace) -> Scheduler:
    scheduler = Scheduler(fares, "ingest", now=lambda: NEW_YEAR + timedelta(seconds=clock.now - 1_000.0))
    scheduler.add_watches_bulk(
        Watch(f"watch {n}", 60.0, payload={"first": 2 * n}, start_at=NEW_YEAR + timedelta(seconds=10 * n))
        for n in range(6)
    )
    return scheduler


def test_what_the_next_jobs_ask_for_is_there_before_their_tick(
    fares: Database, make_cache: MakeCache, scheduler: Scheduler, clock: SimpleNamespace
) -> None:
    cache = make_cache(CacheLifetimes(ttl=300.0, jitter=0.0))
    warmer = CacheWarmer(cache, [DueSoon(scheduler, fares_of)], ahead=10.0)
    queue = PriorityQueue(fares, "ingest")
    seen: list[Any] = []

    def handle(job: Any) -> None:
        first = job.payload["payload"]["first"]
        seen.extend(cache.get_many([first, first + 1]))

    assert warmer.warm().loaded == 4  # of the watches that are due now and in ten seconds
    for _ in range(6):
        assert scheduler.tick().enqueued == 1
        Worker(queue, handle, concurrency=1).run(until_empty=True)
        clock.now += 10.0
        warmer.warm()

    assert seen == [(10 * n,) for n in range(12)]
    metrics = cache.metrics()
    assert (metrics.misses, metrics.hits, metrics.hit_rate) == (0, 12, 1.0)
    assert metrics.precision == 1.0
    assert metrics.round_trips < 12


def test_watches_at_the_most_and_the_next_ones_first(make_cache: MakeCache, scheduler: Scheduler) -> None:
    cache = make_cache()
    assert [*DueSoon(scheduler, fares_of, limit=2).predict(60.0)] == [0, 1, 2, 3]
    CacheWarmer(cache, [DueSoon(scheduler, fares_of)], ahead=60.0, most_keys=3).warm()
    cache.get_many(range(4))
    assert cache.metrics().misses == 1


def test_what_was_asked_often_comes_back_after_a_scan(make_cache: MakeCache) -> None:
    cache = make_cache(max_bytes=20_000)
    for _ in range(5):
        cache.get_many([1, 2, 3])
    cache.get_many(range(20, 100))  # pushes all out
    before = cache.metrics().misses
    cache.get(50)
    assert cache.metrics().evicted > 50

    report = CacheWarmer(cache, [AskedOften(cache, at_least=2.0)]).warm()

    assert (report.keys, report.loaded, report.fresh) == (4, 3, 1)  # with the one that was asked for twice
    cache.get_many([1, 2, 3])
    assert cache.metrics().misses == before + 1


def test_the_first_predictors_matter_most(make_cache: MakeCache) -> None:
    cache = make_cache()
    one, two = Known([1, 2, 3]), Known([3, 4, 5])
    CacheWarmer(cache, [one, two], ahead=7.0, most_keys=5).warm()
    assert one.asked == two.asked == [7.0]
    cache.get_many([1, 2, 3, 4])
    assert cache.metrics().misses == 0
    cache.get(5)
    assert cache.metrics().misses == 1


def test_a_warmer_runs_beside_until_its_block_ends(make_cache: MakeCache) -> None:
    cache = make_cache()
    known = Known([1, 2])
    before = threading.active_count()
    with CacheWarmer(cache, [known], ahead=1.0).running(0.001):
        known.wait_for_rounds(3)
    rounds = len(known.asked)
    assert threading.active_count() == before
    assert cache.get_many([1, 2]) == [(10,), (20,)]
    assert cache.metrics().misses == 0
    assert len(known.asked) == rounds


def test_a_warmer_that_fails_says_so_and_goes_on(make_cache: MakeCache, caplog: pytest.LogCaptureFixture) -> None:
    cache = make_cache()
    known = Known([1])
    known.error = TransientError("busy")
    with caplog.at_level(logging.WARNING), CacheWarmer(cache, [known], ahead=1.0).running(0.001):
        known.wait_for_rounds(2)
        known.error = None
        known.wait_for_rounds(4)
    assert "the cache 'fares' was not warmed (failure 2 in a row): busy" in caplog.text
    assert cache.metrics().warmed == 1


def test_a_tick_is_warmed_before_and_happens_whatever_comes_of_that(
    make_cache: MakeCache, scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    cache = make_cache()
    known = Known([1])
    tick = CacheWarmer(cache, [known]).before(scheduler.tick)
    assert tick(limit=5).enqueued == 1
    assert cache.metrics().warmed == 1
    known.error = ZeroDivisionError("of the user's")
    with caplog.at_level(logging.WARNING):
        assert tick().due == 0
    assert "of the user's" in caplog.text


def test_a_bad_argument_is_refused(make_cache: MakeCache) -> None:
    cache = make_cache(CacheLifetimes(ttl=10.0))
    known = Known([1])
    with pytest.raises(InvalidInput, match="without predictors"):
        CacheWarmer(cache, [])
    for arguments in ({"ahead": 0.0}, {"ahead": 10.1}, {"most_keys": 0}):
        with pytest.raises(InvalidInput):
            CacheWarmer(cache, [known], **arguments)
    with pytest.raises(InvalidInput, match="interval"), CacheWarmer(cache, [known], ahead=2.0).running(2.1):
        pass
