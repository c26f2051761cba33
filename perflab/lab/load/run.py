"""Running a load: the generators check themselves, send together, and the database is compared with what they saw."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from perflab.errors import LabError, WrongAnswer
from perflab.lab.load.consumer import Completed, Consumer
from perflab.lab.load.findings import LoadFindings
from perflab.lab.load.generator import Generator, Progress, SelfCheck
from perflab.lab.load.items import check_written, prepare_database
from perflab.lab.load.observed import Observed, together
from perflab.lab.load.plan import LoadPlan, Share, window_bounds
from perflab.lab.load.process import LoadProcess, answers
from perflab.lab.sweep.environment import read_environment
from perflab.lab.sweep.fresh import FreshDatabase
from perflab.lab.sweep.target import open_engine

LEAD_SECONDS = 0.3
"""From the word to begin to the first arrival: every process has heard it by then."""
LOOK_SECONDS = 0.05
SHORTEST_WAIT_FOR_WORKERS = 30.0

Heard = Callable[[list[Progress]], None]
"""Called with the last progress of every generator."""


class Generators(Protocol):
    """The generators of a load, wherever they are."""

    @property
    def clocks(self) -> tuple[str, ...]:
        """What is known of their clocks, in words."""

    def check(self) -> list[SelfCheck]:
        """Have all of them send to nothing, at the same time."""

    def run(self, start_at: float, heard: Heard) -> list[Observed]:
        """Have all of them send.

        Args:
            start_at: When the schedule begins, by `time.time()` of this machine.
            heard: Hears how far they are, if that is known.
        """


class LocalGenerators:
    """Processes of this machine."""

    clocks: tuple[str, ...] = ()

    def __init__(self, shares: Sequence[Share], stack: ExitStack) -> None:
        self._processes = [
            stack.enter_context(LoadProcess(f"generator {share.position + 1}", Generator, share)) for share in shares
        ]

    def check(self) -> list[SelfCheck]:
        checks = self._all("check")
        self._all("prepare")
        return checks

    def run(self, start_at: float, heard: Heard) -> list[Observed]:
        latest = [Progress(0, 0, 0) for _ in self._processes]

        def hear(position: int, progress: Progress) -> None:
            latest[position] = progress
            heard(latest)

        for process in self._processes:
            process.order("run", start_at)
        return answers(self._processes, hear)

    def _all(self, method: str) -> list[Any]:
        for process in self._processes:
            process.order(method)
        return answers(self._processes)


OpenGenerators = Callable[[Sequence[Share], ExitStack], Generators]


def run_load(
    plan: LoadPlan,
    url: str | None = None,
    *,
    heard: Heard | None = None,
    open_generators: OpenGenerators = LocalGenerators,
) -> LoadFindings:
    """Load a fresh database, and say what came of it.

    Args:
        plan: What arrives, and how it is written and worked off.
        url: Of the user's own PostgreSQL server, where everything happens in a scratch schema that is removed again;
            None: a SQLite file, or an embedded server.
        heard: Hears how far the generators are.
        open_generators: Where they are.

    Raises:
        InvalidInput: the schedule cannot be made, or the URL is wrong.
        LabError: the generators cannot keep up with their own schedule, or a process ended.
        WrongAnswer: the database has other rows than were acknowledged, or jobs came twice or not at all.
        MissingExtra, DatabaseUnusable: the engine is not there.
    """
    offsets = plan.recipe.make().offsets_seconds
    bounds = window_bounds(offsets, plan.warm_up_seconds)
    with open_engine(plan.engine, plan.durability, url) as target, target.fresh(None) as fresh, ExitStack() as stack:
        prepare_database(fresh.direct)
        shares = [Share(plan, position, fresh.url) for position in range(plan.generators)]
        generators = open_generators(shares, stack)
        checks = generators.check()
        require_keeping_up(plan, checks)
        consumers = [
            stack.enter_context(
                LoadProcess(f"worker {n + 1}", Consumer, fresh.url, plan.concurrency, plan.durability, bounds)
            )
            for n in range(plan.workers)
        ]
        _looks(consumers)  # they are at work
        fresh.settle()
        start_at = time.time() + LEAD_SECONDS
        seen = together(generators.run(start_at, heard or (lambda _progress: None)))
        completed = list(_completed(consumers, seen, start_at, plan))
        _check(fresh, seen, completed)
        environment = {**read_environment(Path(tempfile.gettempdir())), **target.environment()}
    last = float(offsets[-1]) if plan.recipe.arrivals == "trace" else plan.recipe.duration_seconds
    return LoadFindings(
        plan,
        environment,
        checks,
        seen,
        completed,
        bounds,
        offered=int(np.count_nonzero(offsets >= bounds[0])),
        length=last - plan.warm_up_seconds,
        clocks=generators.clocks,
    )


def require_keeping_up(plan: LoadPlan, checks: Sequence[SelfCheck]) -> None:
    """A generator that is late on its own measures itself."""
    if plan.clients is not None:
        return
    for position, check in enumerate(checks):
        if not check.keeps_up:
            raise LabError(
                f"generator {position + 1} cannot keep up with its own schedule: {check.items:,} items in its busiest "
                f"second, sent to nothing, were {check.late_seconds:.2f} s late at the end. "
                "Use more generators, on more cores, or a lower rate"
            )


def _completed(
    consumers: Sequence[LoadProcess], seen: Observed, start_at: float, plan: LoadPlan
) -> Iterator[Completed]:
    """Wait until every acknowledged job was handled, as long as the load itself took, and stop the workers."""
    patience = time.monotonic() + max(SHORTEST_WAIT_FOR_WORKERS, plan.recipe.duration_seconds)
    while consumers and time.monotonic() < patience:
        if _looks(consumers) >= seen.done["enqueue"]:
            break
        time.sleep(LOOK_SECONDS)
    for consumer in consumers:
        consumer.order("stop", start_at)
    yield from answers(consumers)


def _looks(consumers: Sequence[LoadProcess]) -> int:
    """How many jobs all of them have handled by now."""
    for consumer in consumers:
        consumer.order("seen")
    return sum(answers(consumers))


def _check(fresh: FreshDatabase, seen: Observed, completed: Sequence[Completed]) -> None:
    worked_off = sum(one.done for one in completed)
    check_written(fresh.direct, seen, worked_off)
    if not completed or seen.failed:
        return
    handled, checksum = sum(one.seen for one in completed), sum(one.checksum for one in completed)
    jobs = seen.done["enqueue"]
    if worked_off == jobs and (handled, checksum) != (jobs, seen.checksum):
        raise WrongAnswer(
            f"{jobs:,} jobs with checksum {seen.checksum} were enqueued, and handlers saw {handled:,} with "
            f"{checksum}. No figures."
        )
