"""Where rows come from: one SELECT for many keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from perflab.batching.isolation import isolate
from perflab.batching.retry import RetryPolicy
from perflab.cache.slots import Slot, key_of
from perflab.database.core_write import CoreWrites
from perflab.database.database import Database
from perflab.database.failures import typed
from perflab.database.load import Load
from perflab.errors import InvalidInput, LifecycleError, TransientError


@dataclass(frozen=True, slots=True)
class Page:
    """What reading many keys came to. Each key is in one of `found` and `failed`, unless `error` says why it is not."""

    found: Sequence[tuple[Slot, Any]]
    failed: Sequence[tuple[Slot, Exception]]
    """Keys that the table cannot have, or that the database refuses, each with its own error."""
    error: Exception | None
    """The failure of the database that left keys unread."""
    round_trips: int


class RowSource:
    """Reads what a `Load` says.

    Args:
        clock, sleep, random: monotonic seconds, and what is needed for the pauses between tries.
    """

    def __init__(
        self,
        db: Database,
        stated: Load,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        random: Random,
    ) -> None:
        self._db = db
        self._operation = CoreWrites(db.dialect).operation(stated)
        self._retry = RetryPolicy(cap_seconds=0.25)
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._is_closed = False
        self.name = self._operation.name

    def read(self, slots: Sequence[Slot], until: float) -> Page:
        """Read keys in this thread, one page of them; what fails in a way that passes is tried again until then.

        Raises:
            LifecycleError: the source is closed.
        """
        if self._is_closed:
            raise LifecycleError("the cache is closed, and this key is not in memory: make another cache")
        page = self._try(slots)
        tries = 1
        while isinstance(page.error, TransientError):
            pause = self._retry.delay(tries, self._random)
            if self._clock() + pause >= until:
                break
            self._sleep(pause)
            tries += 1
            decided = {slot for slot, _ in (*page.found, *page.failed)}
            rest = self._try([slot for slot in slots if slot not in decided])
            page = Page(
                [*page.found, *rest.found],
                [*page.failed, *rest.failed],
                rest.error,
                page.round_trips + rest.round_trips,
            )
        return page

    def _try(self, slots: Sequence[Slot]) -> Page:
        """One SELECT, or several where a key is refused: what a bad key fails with, it fails with alone."""
        prepared: list[tuple[Slot, Any]] = []
        failed: list[tuple[Slot, Exception]] = []
        for slot in slots:
            try:
                prepared.append((slot, self._operation.prepare(key_of(slot))))
            except InvalidInput as refused:
                failed.append((slot, refused))
        round_trips = 0

        def look_up(part: Sequence[tuple[Slot, Any]]) -> Sequence[Any]:
            nonlocal round_trips
            with self._db.reading_connection() as connection:
                before = connection.round_trips
                try:
                    return self._operation.apply(connection, [row for _, row in part])
                finally:
                    round_trips += connection.round_trips - before

        isolated = isolate(prepared, look_up)
        failed += [(slot, typed(error, self.name)) for (slot, _), error in isolated.failed]
        found = [(slot, value) for (slot, _), value in isolated.delivered]
        return Page(found, failed, isolated.error and typed(isolated.error, self.name), round_trips)

    def close(self) -> None:
        """Read nothing more."""
        self._is_closed = True
