"""What will be asked for next: from the schedule, and from what was asked for so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from perflab.cache.row_cache import RowCache
from perflab.scheduler.scheduler import Scheduler
from perflab.scheduler.watch import WatchStatus


class Predictor(Protocol):
    """Tells keys that will be asked for soon."""

    def predict(self, within: float) -> Iterable[Any]:
        """The keys that will be asked for within so many seconds, those that matter most first."""


@dataclass(frozen=True, slots=True)
class DueSoon:
    """The keys that the jobs of the next watches will ask for: one query tells which watches these are.

    It holds for every process, and from the first second of a worker's life on.

    Args:
        scheduler: of the watches.
        keys_of: the keys that the job of a watch asks for, such as `lambda status: [status.watch.payload["route"]]`.
        limit: watches at the most; the next ones first.
    """

    scheduler: Scheduler
    keys_of: Callable[[WatchStatus], Iterable[Any]]
    limit: int = 10_000

    def predict(self, within: float) -> Iterable[Any]:
        for status in self.scheduler.due_soon(within, limit=self.limit):
            yield from self.keys_of(status)


@dataclass(frozen=True, slots=True)
class AskedOften:
    """The keys that were asked for often and lately, and that are not in memory any more: evicted, or at their end.

    Args:
        cache: whose history it is.
        count: keys at the most, the hottest first.
        at_least: decayed asks (`AccessHistory`) below which a key is left alone.
    """

    cache: RowCache
    count: int = 1_000
    at_least: float = 2.0

    def predict(self, within: float) -> Iterable[Any]:  # noqa: ARG002  # what was hot is hot
        return [key for key, asks in self.cache.hottest(self.count) if asks >= self.at_least]
