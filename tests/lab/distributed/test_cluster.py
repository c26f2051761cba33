"""A cluster of two worker processes on this machine, made once; the rules for others on given ones."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from distributed import Client, LocalCluster

from perflab.errors import InvalidInput, LabError
from perflab.lab.distributed.clocks import SAME_CLOCK, estimate_offset
from perflab.lab.distributed.cluster import Cluster, Machine, open_cluster
from perflab.lab.distributed.generators import generators_on
from perflab.lab.distributed.sweep import lanes_of, run_distributed_sweep
from perflab.lab.load.plan import LoadPlan
from perflab.lab.load.report import load_text
from perflab.lab.load.run import run_load
from perflab.lab.sweep.plan import SweepPlan
from perflab.lab.sweep.store import ResultsStore
from perflab.lab.workloads.schedule import ScheduleRecipe

RECIPE = ScheduleRecipe(duration_seconds=1.0, rate_per_second=200.0, seed=13)
SWEEP = SweepPlan(closed_loop_batch_sizes=(10, 100), blocks=4, closed_loop_items=200, warm_up_items=20)


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True) as cluster:  # type: ignore[no-untyped-call]
        yield cluster.scheduler_address


@pytest.fixture
def cluster(scheduler: str) -> Iterator[Cluster]:
    with open_cluster(scheduler) as cluster:
        yield cluster


def test_a_load_is_shared_by_the_workers_and_added_up(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perflab.lab.load.run.require_keeping_up", lambda _plan, _checks: None)  # it may be busy
    plan = LoadPlan(RECIPE, warm_up_seconds=0.0, generators=2)
    findings = run_load(plan, open_generators=generators_on(cluster))
    seen = findings.seen
    assert seen.sent + seen.unsent == len(RECIPE.make())
    assert seen.done.total() == seen.sent
    assert seen.response.counts.total() == seen.measured == seen.sent
    assert len(findings.checks) == 2
    assert "machine 1: 2 workers, the same clock" in load_text(findings)
    with pytest.raises(InvalidInput, match="3 generators need as many Dask workers, and there are 2"):
        run_load(replace(plan, generators=3), open_generators=generators_on(cluster))


def test_a_machine_has_its_own_clock_within_what_is_known(cluster: Cluster) -> None:
    (machine,) = cluster.machines
    assert machine.is_this
    found = estimate_offset(lambda: cluster.read_clock(machine), questions=3)
    assert abs(found.seconds) <= found.uncertainty + 1e-4  # time.time() may be slewed meanwhile


def test_a_sweep_is_measured_once_and_goes_on_where_it_stopped(cluster: Cluster, tmp_path: Path) -> None:
    with ResultsStore(tmp_path / "sweep.duckdb") as store:
        sweep = replace(SWEEP, closed_loop_batch_sizes=(10, 20))
        half = replace(sweep, blocks=2)
        first = run_distributed_sweep(cluster, half, store, progress=False)
        assert (first.measured, first.reused) == (4, 0)
        second = run_distributed_sweep(cluster, sweep, store, side_by_side=True, progress=False)
        assert (second.measured, second.reused) == (4, 4)
        assert run_distributed_sweep(cluster, sweep, store, progress=False).measured == 0
        visits = store.visits(sweep)
    assert len(visits) == 8
    assert (visits["items"] == 400).sum() == 4, "20 batches of 20"
    assert visits["run_id"].nunique() == 3, "one machine alone, then both workers side by side"


def test_what_a_worker_refuses_is_told(cluster: Cluster, tmp_path: Path) -> None:
    with (
        ResultsStore(tmp_path / "sweep.duckdb") as store,
        pytest.raises(InvalidInput, match="the plan is for the server"),
    ):
        run_distributed_sweep(cluster, replace(SWEEP, server="elsewhere"), store, progress=False)


def test_a_lost_worker_ends_the_load(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perflab.lab.load.run.require_keeping_up", lambda _plan, _checks: None)  # the same
    killed = []

    def kill(_progress: object) -> None:
        worker = cluster.workers[-1]
        killed.append(cluster.client.run(os.getpid, workers=[worker])[worker])
        os.kill(killed[-1], signal.SIGKILL)

    plan = LoadPlan(RECIPE, warm_up_seconds=0.0, generators=2)
    with pytest.raises(LabError, match="a Dask worker could not go on"):
        run_load(plan, heard=kill, open_generators=generators_on(cluster))
    assert len(killed) == 1


def test_nobody_answers_at_a_wrong_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perflab.lab.distributed.cluster.CONNECT_SECONDS", 0.2)
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        with pytest.raises(InvalidInput, match="no Dask scheduler answers"), open_cluster(address):
            pass


HERE = Machine("a", ("a1", "a2"), is_this=True, title="machine 1")
THERE = Machine("b", ("b1",), is_this=False, title="machine 2")
GIVEN = Cluster(cast("Client", None), (HERE, THERE))


@pytest.mark.parametrize(
    ("engine", "url"),
    [("sqlite", None), ("postgresql", None), ("postgresql", "postgresql+embedded:///data")],
)
def test_other_machines_cannot_reach_what_is_only_here(engine: str, url: str | None) -> None:
    with pytest.raises(InvalidInput, match="cannot reach a database of this one"):
        GIVEN.check_reach(engine, url)
    Cluster(cast("Client", None), (HERE,)).check_reach(engine, url)
    GIVEN.check_reach("postgresql", "postgresql://db.example/x")


class Clocks:
    """A client whose workers' clocks are ahead, in seconds."""

    def __init__(self, ahead: float) -> None:
        self.ahead = ahead
        self.asked: list[str] = []

    def run(self, function: Callable[[], float], workers: list[str]) -> dict[str, float]:
        self.asked += workers
        return {worker: function() + self.ahead for worker in workers}


def test_clocks_of_other_machines_are_asked_and_looked_at_again_at_the_end() -> None:
    client = Clocks(0.5)
    cluster = Cluster(cast("Client", client), (HERE, THERE))
    before = cluster.clock_offsets()
    assert set(client.asked) == {"b1"}
    assert before["machine 1"] == SAME_CLOCK
    assert before["machine 2"].seconds == pytest.approx(0.5, abs=0.1)
    cluster.check_clocks_again(before)
    client.ahead = 0.9
    with pytest.raises(LabError, match="machine 2: its clock moved by"):
        cluster.check_clocks_again(before)
    client.ahead = 60.0
    with pytest.raises(LabError, match=r"machine 2: clock 60\.0 s ahead"):
        cluster.clock_offsets()


def test_machines_take_turns_as_workers() -> None:
    assert GIVEN.workers == ("a1", "b1", "a2")
    assert GIVEN.machine_of("a2") is HERE


@pytest.mark.parametrize(
    ("one_server", "side_by_side", "expected"),
    [
        (False, False, {"a1": [0, 2], "b1": [1, 3]}),
        (True, False, {"a1": [0, 1, 2, 3]}),
        (True, True, {"a1": [0, 3], "b1": [1], "a2": [2]}),
    ],
)
def test_blocks_stay_whole_and_machines_do_one_thing_at_a_time(
    *, one_server: bool, side_by_side: bool, expected: dict[str, list[int]]
) -> None:
    visits = list(SWEEP.visits())
    lanes = lanes_of(GIVEN, visits, one_server=one_server, side_by_side=side_by_side)
    assert {worker: sorted({visit.block for visit in lane}) for worker, lane in lanes.items()} == expected
    for lane in lanes.values():
        assert [(visit.block, visit.position) for visit in lane] == sorted((v.block, v.position) for v in lane)
    rest = lanes_of(GIVEN, visits[3:], one_server=one_server, side_by_side=side_by_side)
    assert all(set(lane) <= set(lanes[worker]) for worker, lane in rest.items()), "on the same machine as before"
