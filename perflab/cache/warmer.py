"""The warmer: has what will be asked for read before it is asked for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from random import Random
from typing import Any, TypeVar

from perflab.cache.predictors import Predictor
from perflab.cache.row_cache import RowCache
from perflab.cache.warm_report import WarmReport
from perflab.database.values import check_integer, check_number
from perflab.errors import InvalidInput
from perflab.queue.backoff import Backoff

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

LARGEST_BUDGET = 10_000_000
RETRY_BACKOFF = Backoff(base_seconds=0.1, cap_seconds=30.0)


class CacheWarmer:
    """Fills a cache with what predictors tell, in bulk reads of bounded size.

    Before workers start, and from then on ahead of each tick:

        warmer = CacheWarmer(cache, [DueSoon(scheduler, keys_of), AskedOften(cache)], ahead=5.0)
        warmer.warm()
        with warmer.running():
            Worker(queue, handler).run()

    Where the scheduler ticks in the same process, `tick = warmer.before(scheduler.tick)` does it in one line. A warmer
    that fails says so in the log and in nothing else: what it did not read is read when it is asked for.

    Args:
        cache: to fill.
        predictors: what will be asked for; the first ones matter most.
        ahead: seconds to look ahead. More than the time between two rounds, or what is due in between is missed; and
            less than the lives of rows, or they end before they are asked for.
        most_keys: that one round reads.
        rng: for the jitter between rounds that fail.

    Raises:
        InvalidInput: an argument is refused.
    """

    def __init__(
        self,
        cache: RowCache,
        predictors: Sequence[Predictor],
        *,
        ahead: float = 5.0,
        most_keys: int = 50_000,
        rng: Random | None = None,
    ) -> None:
        if not predictors:
            raise InvalidInput("a warmer without predictors warms nothing: give DueSoon(…), or AskedOften(cache)")
        self.cache = cache
        self._predictors = tuple(predictors)
        self._ahead = check_number(ahead, "ahead", above_low=True, high=cache.lifetimes.ttl)
        self._most_keys = check_integer(most_keys, "most_keys", low=1, high=LARGEST_BUDGET)
        self._rng = rng or Random()

    def warm(self) -> WarmReport:
        """One round: what is predicted and would not live to be asked for is read, in this thread.

        Raises:
            DatabaseError: the database failed; what was read before is kept.
        """
        predicted = chain.from_iterable(predictor.predict(self._ahead) for predictor in self._predictors)
        return self.cache.warm(islice(predicted, self._most_keys), fresh_for=self._ahead)

    def before(self, tick: Callable[..., Result]) -> Callable[..., Result]:
        """A call that warms, and then ticks whatever came of that: the same arguments, the same result."""

        def warm_and_tick(*arguments: Any, **options: Any) -> Result:
            self._try_to_warm(0)
            return tick(*arguments, **options)

        return warm_and_tick

    @contextmanager
    def running(self, interval: float | None = None) -> Iterator[None]:
        """Warm every so many seconds in a thread of its own, for the length of the block.

        Args:
            interval: seconds from the end of a round to the start of the next; None: half of `ahead`.

        Raises:
            InvalidInput: it is longer than `ahead`: what is due in between would be missed.
        """
        pause = self._ahead / 2 if interval is None else interval
        check_number(pause, "interval", above_low=True, high=self._ahead)
        stop = threading.Event()
        thread = threading.Thread(target=self._run, args=(pause, stop), name="perflab-warmer", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _run(self, pause: float, stop: threading.Event) -> None:
        failures = 0
        while not stop.is_set():
            failures = self._try_to_warm(failures)
            stop.wait(max(pause, RETRY_BACKOFF.delay_seconds(failures, self._rng)) if failures else pause)

    def _try_to_warm(self, failures: int) -> int:
        """Warm once; returns the failures in a row, this one included."""
        try:
            self.warm()
        except Exception as error:  # noqa: BLE001  # a predictor of the user's may raise anything
            logger.warning(
                "the cache %r was not warmed (failure %d in a row): %s", self.cache.name, failures + 1, error
            )
            return failures + 1
        return 0
