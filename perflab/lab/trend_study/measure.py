"""The runs: small benches of `bulk_enqueue` on SQLite beside the same rows by hand, written as `perflab bench` does."""

from __future__ import annotations

import math
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from perflab.database.database import Database
from perflab.database.pools import Durability
from perflab.errors import WrongAnswer
from perflab.lab.bench.arms import seconds_per_row
from perflab.lab.bench.bench_files import BenchRun, write_bench
from perflab.lab.bench.bulk_calls import QUEUE, Rows, enqueue_call
from perflab.lab.bench.comparison import Comparison
from perflab.lab.bench.run import run_bench
from perflab.lab.bench.sqlite_engine import SQLiteBench
from perflab.lab.bench.sqlite_writes import enqueue_executemany
from perflab.lab.statistics.looks import Looks
from perflab.lab.sweep.environment import Environment, read_environment
from perflab.lab.trend_study.plan import BATCH_SIZE, Phase, TrendPlan
from perflab.queue.job import NewJob
from perflab.queue.queue import PriorityQueue

BATCHES = 6
_SYNCHRONOUS = {"normal": "NORMAL", "full": "FULL"}


@dataclass(frozen=True, slots=True)
class Work:
    """What every visit writes, and the empty database that it begins with a copy of."""

    rows: Sequence[Rows]
    jobs: Sequence[Sequence[NewJob]]
    template: Path

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """The URL of an empty database, in which all jobs are expected in the end."""
        with tempfile.TemporaryDirectory(prefix="perflab-trend-") as folder:
            file = Path(folder) / "run.db"
            shutil.copyfile(self.template, file)
            yield f"sqlite:///{file}"
            with closing(sqlite3.connect(file)) as connection:
                (ready,) = connection.execute("SELECT count(*) FROM perflab_jobs WHERE state = 'ready'").fetchone()
            if ready != (expected := sum(map(len, self.rows))):
                raise WrongAnswer(f"{ready} jobs are ready, and {expected} were written")


@dataclass(frozen=True, slots=True)
class BulkEnqueue:
    """Our bulk call, each batch in as many calls as the phase says."""

    phase: Phase
    work: Work
    name: str = "bulk_enqueue"

    def visit(self, block: int) -> float:  # noqa: ARG002  # every block writes the same jobs
        size = -(-BATCH_SIZE // self.phase.calls_per_batch)
        with self.work.fresh() as url, Database.open(url, durability=self.phase.durability) as database:
            enqueue = PriorityQueue(database, QUEUE).bulk_enqueue

            def write(jobs: Rows) -> None:
                for start in range(0, len(jobs), size):
                    enqueue(jobs[start : start + size])

            return seconds_per_row(write, self.work.jobs)


@dataclass(frozen=True, slots=True)
class ByHand:
    """The same rows with `executemany`, one transaction for each batch."""

    durability: Durability
    work: Work
    name: str = "sqlite3 executemany"

    def visit(self, block: int) -> float:  # noqa: ARG002
        bench = SQLiteBench()
        with self.work.fresh() as url, bench.connect(url) as connection:
            connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[self.durability]}")

            def write(rows: Rows) -> None:
                with bench.transaction(connection):
                    enqueue_executemany(connection, rows)

            return seconds_per_row(write, self.work.rows)


def measure_trend(plan: TrendPlan, folder: Path, measured: Callable[[], object] = lambda: None) -> list[Path]:
    """Measure all runs of a plan.

    Args:
        plan: what to measure.
        folder: each run is a folder in it, in the place of one of the same number.
        measured: called after each run.

    Returns:
        The runs, in their order.

    Raises:
        WrongAnswer: an arm left other jobs than it was given.
    """
    environment, folders = read_environment(Path(tempfile.gettempdir())), []
    with prepared() as work:
        for run in range(plan.runs):
            found = _bench(plan, run, work, environment)
            folders.append(folder / f"run-{run:03}")
            write_bench(found, folders[-1])
            measured()
    return folders


def _bench(plan: TrendPlan, run: int, work: Work, environment: Environment) -> BenchRun:
    phase = plan.phase_of(run)
    split = phase.calls_per_batch > 1
    comparison = Comparison(
        name="bulk_enqueue",
        engine="sqlite",
        work=f"{BATCH_SIZE} jobs of real flights" + (f" in {phase.calls_per_batch} calls" if split else ""),
        ours=BulkEnqueue(phase, work),
        others=(ByHand(phase.durability, work),),
        limit=None,
    )
    commit = environment["commit"] or "unknown commit"
    return run_bench(
        [comparison],
        Looks((plan.blocks,)),
        engines=[f"SQLite {sqlite3.sqlite_version} (WAL, synchronous={_SYNCHRONOUS[phase.durability]})"],
        environment={**environment, "commit": f"{commit} and {phase.calls_per_batch} calls" if split else commit},
        measured_at=datetime.now(UTC),
        seed=plan.seed + run,
        budget_seconds=math.inf,
    )


@contextmanager
def prepared() -> Iterator[Work]:
    """The work of all visits, which are to begin with an empty database."""
    call = enqueue_call()
    with tempfile.TemporaryDirectory(prefix="perflab-trend-") as folder:
        template = Path(folder) / "template.db"
        with Database.open(f"sqlite:///{template}") as database:
            database.create_schema()
            rows = [call.make_rows(database, number)[:BATCH_SIZE] for number in range(BATCHES)]
        yield Work(rows, [call.make_items(batch) for batch in rows], template)
