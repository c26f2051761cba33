"""What the first reads after a start wait for, and what warming the engine does to that."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
from sqlalchemy import Column, Integer, MetaData, Table, Text, insert

from perflab.cache.engine_warming import warm_engine
from perflab.cache.row_cache import RowCache
from perflab.database.database import Database
from perflab.database.embedded import EmbeddedServer
from perflab.database.load import load
from perflab.errors import LabError, WrongAnswer
from perflab.lab.statistics.ratio import Ratio, paired_ratio
from perflab.lab.sweep.plan import Engine
from perflab.lab.sweep.profiles import Profile

STATES = ("on disk", "in memory")
"""Where the pages are at the start: nowhere but on the disk, as after a start of the machine, or still in the memory of
the operating system, as after a start of the server alone."""
WARMED = ("as it is", "warmed")
EXTENT = {"smoke": (20_000, 300, 2), "quick": (200_000, 2_000, 5), "full": (800_000, 5_000, 15)}
"""Rows, reads and blocks of each profile."""

READ = Table(
    "first_reads",
    MetaData(),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("key", Text, unique=True),
    Column("detail", Text),
)


@dataclass(frozen=True, slots=True)
class FirstReads:
    """What was measured.

    Attributes:
        engine: "sqlite" or "postgresql".
        rows: In the table.
        reads: Rows that a visit reads.
        visits: One row for each: block, state, warmed, read_seconds (the mean read), warm_seconds. Empty where the
            system cannot drop files from its memory, so that nothing waits for the disk.
    """

    engine: Engine
    rows: int
    reads: int
    visits: pd.DataFrame

    def ratio(self, state: str) -> Ratio:
        """The mean read when warmed against the one when not, paired by block."""
        visits = self.visits[self.visits["state"] == state]
        table = visits.pivot_table(index="block", columns="warmed", values="read_seconds")
        first, second = (table[warmed].to_numpy(float) for warmed in WARMED[::-1])
        return paired_ratio(first, second, rng=np.random.default_rng(len(table)))


def measure_first_reads(profile: Profile, *, engine: Engine, seed: int) -> FirstReads:
    """Start an engine again and again, and read rows by keys at random places, each for the first time.

    It needs an engine of its own, whose files it can drop from memory: a SQLite file, or an embedded server.

    Raises:
        LabError: the engine was not warmed.
        WrongAnswer: a read found another row.
        MissingExtra, DatabaseUnusable: the embedded server is not there, or does not start.
    """
    rows, reads, blocks = EXTENT[profile]
    arms = [(state, warmed) for state in STATES for warmed in WARMED]
    found: list[dict[str, object]] = []
    if not hasattr(os, "posix_fadvise"):
        return FirstReads(engine, rows, reads, pd.DataFrame(found))
    with tempfile.TemporaryDirectory(prefix="perflab-lab-first-reads-") as folder:
        open_engine = _sqlite if engine == "sqlite" else _postgresql
        with open_engine(folder) as database:
            _write(database, rows)
        for block in range(blocks):
            random = Random(f"{seed}/{block}")
            for state, warmed in random.sample(arms, len(arms)):
                _put(Path(folder), state)
                with open_engine(folder) as database:
                    seconds = _visit(database, random.sample(range(rows), reads), warm=warmed == "warmed")
                found.append({"block": block, "state": state, "warmed": warmed, **seconds})
    return FirstReads(engine, rows, reads, pd.DataFrame(found))


@contextmanager
def _sqlite(folder: str) -> Iterator[Database]:
    with Database.open(f"sqlite:///{Path(folder) / 'first_reads.db'}") as database:
        yield database


@contextmanager
def _postgresql(folder: str) -> Iterator[Database]:
    """A server that starts with this block and stops with it."""
    with EmbeddedServer.start(folder) as server, Database.open(server.url) as database:
        yield database


def _write(database: Database, rows: int) -> None:
    with database.transaction() as connection:
        READ.create(connection)
        for start in range(0, rows, 10_000):
            numbers = range(start, min(start + 10_000, rows))
            connection.execute(insert(READ), [{"id": n, "key": _key(n), "detail": "x" * 250} for n in numbers])
        if database.engine_name == "postgresql":
            connection.exec_driver_sql("CREATE EXTENSION pg_prewarm")


def _key(number: int) -> str:
    """Its place in the index has nothing to do with the row's place in the table."""
    return f"{number * 7_919 % 1_000_003:07d}"


def _put(folder: Path, state: str) -> None:
    """Bring all files of the engine to where they are to be."""
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        if state == "in memory":
            path.read_bytes()
            continue
        descriptor = os.open(path, os.O_RDWR)
        try:
            os.fsync(descriptor)  # what is not written yet cannot be dropped
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def _visit(
    database: Database, numbers: list[int], *, warm: bool, stopwatch: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    started = stopwatch()
    if warm and (report := warm_engine(database, [READ])).left_out:
        raise LabError(f"the engine was not warmed: {report.reason}")
    warm_seconds = stopwatch() - started if warm else 0.0
    with RowCache(database, load(READ, "key", columns=["id"])) as cache:
        started = stopwatch()
        found = [cache.get(_key(number)).id for number in numbers]
        read_seconds = (stopwatch() - started) / len(numbers)
    if found != numbers:
        raise WrongAnswer("a first read found another row than that of its key")
    return {"read_seconds": read_seconds, "warm_seconds": warm_seconds}
