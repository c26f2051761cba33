"""A sweep on the workers of a Dask scheduler: whole blocks on one machine each, and no two visits on it at once."""

from __future__ import annotations

import tempfile
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, TextIO

from perflab.errors import LabError, PerflabError
from perflab.lab.distributed.cluster import Cluster
from perflab.lab.distributed.generators import results
from perflab.lab.garbage import old_objects_set_aside
from perflab.lab.noise import NoiseReading, read_noise
from perflab.lab.sweep.environment import Environment, read_environment
from perflab.lab.sweep.measure import Measurement, measure
from perflab.lab.sweep.plan import SweepPlan, Visit
from perflab.lab.sweep.run import Slices, SweepReport, sweep_progress
from perflab.lab.sweep.store import ResultsStore
from perflab.lab.sweep.subject import ingest_events, watch_names
from perflab.lab.sweep.target import open_target
from perflab.lab.workloads.flights import load_flights


@dataclass(frozen=True, slots=True)
class HiddenUrl:
    """A URL that stands in no log of Dask's, which shows the arguments of tasks that fail."""

    url: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class MeasuredVisit:
    """What a worker sends back.

    Attributes:
        measurement: Of the visit.
        noise: Of its machine, read before.
        seconds: That all of it took.
    """

    measurement: Measurement
    noise: NoiseReading
    seconds: float


class SweepWorker:
    """The side of a Dask worker: an engine that stays open, and measures one visit after the other.

    Args:
        plan: The whole sweep.
        server: With the URL of the user's own server.
    """

    def __init__(self, plan: SweepPlan, server: HiddenUrl) -> None:
        events = ingest_events(load_flights(plan.source))
        self._watches = watch_names(events)
        self._parts = Slices(plan, events)
        stack = ExitStack()
        self._target = stack.enter_context(open_target(plan, server.url))
        self._close = weakref.finalize(self, stack.close)  # also if nobody asks for it any more

    def environment(self) -> Environment:
        """What counts of this machine and its engine."""
        engine = self._target.environment()
        return {**engine, **read_environment(Path(tempfile.gettempdir())), **engine}

    def close(self) -> None:
        """Close the engine; nothing is measured any more."""
        self._close()

    def measure(self, visit: Visit) -> MeasuredVisit:
        """Measure one visit.

        Raises:
            WrongAnswer: the visit left other rows than it should have.
            LabError: a proxy does not add the latency that it should.
        """
        began = time.perf_counter()
        noise = read_noise()
        with old_objects_set_aside():
            found = measure(visit.cell, self._parts.of(visit), self._watches, self._target)
        return MeasuredVisit(found, noise, time.perf_counter() - began)


def run_distributed_sweep(
    cluster: Cluster,
    plan: SweepPlan,
    store: ResultsStore,
    *,
    url: str | None = None,
    side_by_side: bool = False,
    progress: TextIO | bool | None = True,
) -> SweepReport:
    """Measure every visit of a plan that the store does not have, on the machines of a cluster.

    A block is measured by one machine, because the cells of a block are compared with each other; machines share the
    blocks. Each visit is stored as soon as it is here: the same call goes on where another one stopped.

    Args:
        cluster: Whose workers measure.
        plan: What to measure.
        store: Where results are, and go.
        url: Of the user's own PostgreSQL server. All load it, so they take turns with it.
        side_by_side: Use all workers at the same time, also of one machine, or on one server. The visits then disturb
            each other; their ratios are worth less, and their times nothing.
        progress: As for `run_sweep`.

    Raises:
        InvalidInput: the trace is too short, or a machine cannot reach the database.
        LabError: a worker was lost, or could not measure.
        WrongAnswer: as `run_sweep`.
    """
    start = time.perf_counter()
    cluster.check_reach(plan.engine, url)
    known = store.known(plan)
    missing = [visit for visit in plan.visits() if plan.visit_key(visit) not in known]
    if not missing:
        return SweepReport(0, len(known), time.perf_counter() - start)
    lanes = lanes_of(cluster, missing, one_server=url is not None, side_by_side=side_by_side)
    answers = Slices(plan, ingest_events(load_flights(plan.source)))
    with (
        _sweep_workers(cluster, list(lanes), plan, url) as actors,
        sweep_progress(missing, len(known), progress, store=store.path, name=plan.name) as bar,
    ):
        environments = results([actor.environment().result for actor in actors])
        runs = {
            worker: store.begin_run(plan, {**found, **_place(cluster, worker, side_by_side=side_by_side)})
            for worker, found in zip(lanes, environments, strict=True)
        }
        for worker, visit, found in _measured(dict(zip(lanes, actors, strict=True)), lanes):
            answers.check_same_answer(visit, found.measurement.checksum)
            store.add(runs[worker], plan.visit_key(visit), visit, found.measurement, found.noise)
            bar.visited(visit, found.seconds)
        for run_id in runs.values():
            store.end_run(run_id)
    return SweepReport(len(missing), len(known), time.perf_counter() - start)


def _place(cluster: Cluster, worker: str, *, side_by_side: bool) -> Environment:
    return {"machine": cluster.machine_of(worker).title, "side_by_side": side_by_side}


def lanes_of(
    cluster: Cluster, visits: Sequence[Visit], *, one_server: bool, side_by_side: bool
) -> dict[str, list[Visit]]:
    """Which worker measures which visits, in which order; whole blocks, and none without visits.

    One worker of each machine; a single one where all would load one server; all of them side by side.
    """
    workers = cluster.workers if side_by_side else tuple(machine.workers[0] for machine in cluster.machines)
    if one_server and not side_by_side:
        workers = workers[:1]
    lanes: dict[str, list[Visit]] = {worker: [] for worker in workers}
    for visit in visits:
        # by its number, so that the rest of a block that was begun goes to the machine of its beginning
        lanes[workers[visit.block % len(workers)]].append(visit)
    return {worker: lane for worker, lane in lanes.items() if lane}


@contextmanager
def _sweep_workers(cluster: Cluster, workers: Sequence[str], plan: SweepPlan, url: str | None) -> Iterator[list[Any]]:
    """The actor of each worker; its engine is closed at the end."""
    target = HiddenUrl(url)
    pending = [
        cluster.client.submit(
            SweepWorker, plan, target, workers=[worker], actor=True, pure=False, allow_other_workers=False
        )
        for worker in workers
    ]
    actors = results([one.result for one in pending])
    try:
        yield actors
    finally:
        with suppress(LabError):  # a lost worker has nothing open
            results([actor.close().result for actor in actors])


def _measured(
    actors: Mapping[str, Any], lanes: Mapping[str, Sequence[Visit]]
) -> Iterator[tuple[str, Visit, MeasuredVisit]]:
    """Each measured visit with its worker, as they come.

    Raises:
        PerflabError: what a visit raised; a LabError where a worker was lost.
    """
    found: SimpleQueue[tuple[str, Visit, Any]] = SimpleQueue()

    def follow(worker: str) -> None:
        for visit in lanes[worker]:
            try:
                found.put((worker, visit, results([actors[worker].measure(visit).result])[0]))
            except PerflabError as error:
                found.put((worker, visit, error))
                return

    for worker in lanes:
        Thread(target=follow, args=(worker,), daemon=True, name=f"sweep-{worker}").start()
    for _ in range(sum(map(len, lanes.values()))):
        worker, visit, value = found.get()
        if isinstance(value, PerflabError):
            raise value
        yield worker, visit, value
