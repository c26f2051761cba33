"""A world with one random seed: its time, its faults, and the processes that live in it one step after the other.

All code of perflab in it is the real one, on a real SQLite file. What is made up is time, which passes only between
steps, and what goes wrong. Method: W. Wilson, "Testing Distributed Systems w/ Deterministic Simulation", Strange Loop,
2014.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Protocol

import pytest

from perflab.database.database import Database
from perflab.database.sqlite import SQLiteConnection, SQLiteCursor
from perflab.errors import PerflabError

MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)
RESULT_CODES = {"SQLITE_BUSY": 5, "SQLITE_IOERR": 10, "SQLITE_FULL": 13}
FAILURE, DEATH, JUMP = 0.004, 0.002, 0.004
"""How often: of operations, of operations, of steps."""
JUMPS = (-1800.0, -60.0, -1.0, 1.0, 60.0, 1800.0)


class Killed(BaseException):
    """SIGKILL: the process comes no further."""


class Process(Protocol):
    def step(self) -> float:
        """Do something, and say in how many seconds to be asked again."""


class World:
    """Attributes:
    seconds: since the start; never goes back.
    faults: whether anything goes wrong from here on.
    happened: faults by name.
    """

    def __init__(self, seed: int, url: str) -> None:
        self.rng = Random(seed)
        self.url = url
        self.seconds = 0.0
        self.faults = True
        self.happened: Counter[str] = Counter()
        self._agenda: list[tuple[float, int, _Life]] = []
        self._is_dying = False
        self._births = 0

    # -- time ----------------------------------------------------------------------------------------------------------

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def add(self, start: Callable[[Database, Callable[[], datetime]], Process]) -> None:
        """A process that is started again whenever it has died; `start` gets its database and its clock."""
        self._births += 1
        heapq.heappush(self._agenda, (self.seconds, self._births, _Life(self, start)))

    def run(self, until: float) -> None:
        while self._agenda[0][0] < until:
            due, number, life = heapq.heappop(self._agenda)
            self.seconds = max(self.seconds, due)
            heapq.heappush(self._agenda, (self.seconds + life.step(), number, life))

    def close(self) -> None:
        for _, _, life in self._agenda:
            life.end()

    # -- faults --------------------------------------------------------------------------------------------------------

    def before(self, what: str) -> None:
        """Something is asked of the database: it may be refused, or be the last that its process does."""
        if not self.faults or self._is_dying:
            return
        if self.rng.random() < FAILURE:
            name = self.rng.choice([*RESULT_CODES])
            self.happened[name] += 1
            error = sqlite3.OperationalError(f"injected {name} at {what}")
            error.sqlite_errorcode, error.sqlite_errorname = RESULT_CODES[name], name
            raise error
        self.may_kill(f"killed before {what}")

    def may_kill(self, when: str) -> None:
        if self.faults and not self._is_dying and self.rng.random() < DEATH:
            self.happened[when] += 1
            self._is_dying = True
            raise Killed

    def buried(self) -> None:
        self._is_dying = False

    @contextmanager
    def breaking_databases(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("execute", "executemany"):
                patch.setattr(SQLiteCursor, name, self._broken(getattr(SQLiteCursor, name), name))
            patch.setattr(SQLiteConnection, "commit", self._broken(SQLiteConnection.commit, "commit"))
            yield

    def _broken(self, original: Callable[..., Any], name: str) -> Callable[..., Any]:
        def wrapped(target: Any, *arguments: Any, **options: Any) -> Any:
            if name != "commit":
                self.before(name)
                return original(target, *arguments, **options)
            was_needed = target.in_transaction
            if was_needed:
                self.before(name)
            answer = original(target, *arguments, **options)
            if was_needed:
                self.may_kill("killed after commit")
            return answer

        return wrapped


class _Life:
    """A process, and those that come after it."""

    def __init__(self, world: World, start: Callable[[Database, Callable[[], datetime]], Process]) -> None:
        self._world = world
        self._start = start
        self._ahead = 0.0
        self._process: Process | None = None
        self._database: Database | None = None

    def now(self) -> datetime:
        """The clock of its machine, which somebody may set."""
        ahead = self._ahead if self._world.faults else 0.0
        return MIDNIGHT + timedelta(seconds=self._world.seconds + ahead)

    def step(self) -> float:
        world = self._world
        if world.faults and world.rng.random() < JUMP:
            world.happened["clock set"] += 1
            self._ahead = world.rng.choice(JUMPS)
        try:
            if self._process is None:
                self._database = Database.open(world.url, busy_timeout=0.0)
                self._process = self._start(self._database, self.now)
            return self._process.step()
        except Killed:
            self.end()
            world.buried()
            return world.rng.uniform(0.0, 60.0)
        except PerflabError:  # what it sits out
            return world.rng.uniform(0.1, 2.0)

    def end(self) -> None:
        self._process = None
        if self._database is not None:
            self._database.close()
            self._database = None
