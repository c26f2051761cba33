from __future__ import annotations

import io
import itertools
import sys
from dataclasses import replace
from typing import Any

import pytest

from perflab.errors import InvalidInput, StoreError, WrongAnswer
from perflab.lab.network.probe import Probe
from perflab.lab.noise import NoiseReading
from perflab.lab.provenance import noise_of
from perflab.lab.sweep import added_latency
from perflab.lab.sweep.findings import Findings
from perflab.lab.sweep.measure import Measurement
from perflab.lab.sweep.plan import Mode, SweepPlan, Visit
from perflab.lab.sweep.run import Slices, SweepReport, run_sweep
from perflab.lab.sweep.server import server_label
from perflab.lab.sweep.store import ResultsStore
from perflab.lab.sweep.subject import ingest_events
from perflab.lab.workloads.flights import load_flights
from tests.lab.sweep.known_cost import KnownCost


def test_a_sweep_measures_every_visit_once_and_then_nothing(plan: SweepPlan, store: ResultsStore) -> None:
    measure = KnownCost()
    report = run_sweep(plan, store, progress=False, measure_cell=measure)
    assert (report.measured, report.reused) == (len(plan.cells) * 6, 0)
    assert measure.visited == [visit.cell for visit in plan.visits()]
    again = run_sweep(plan, store, progress=False, measure_cell=measure)
    assert (again.measured, again.reused) == (0, report.measured)


@pytest.mark.parametrize("stop_after", [0, 1, 25])
def test_an_interrupted_sweep_goes_on_where_it_stopped(plan: SweepPlan, store: ResultsStore, stop_after: int) -> None:
    interrupted = KnownCost(fail_at=stop_after, failure=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run_sweep(plan, store, progress=False, measure_cell=interrupted)
    assert len(store.visits(plan)) == stop_after
    rest = KnownCost()
    report = run_sweep(plan, store, progress=False, measure_cell=rest)
    assert (report.reused, report.measured) == (stop_after, len(plan.cells) * 6 - stop_after)
    assert interrupted.visited + rest.visited == [visit.cell for visit in plan.visits()]
    assert store.runs()["ended_at"].isna().sum() == 1  # the interrupted run has no end


def test_two_sweeps_on_one_store_measure_nothing_twice(plan: SweepPlan, store: ResultsStore) -> None:
    """While the first measures its first replay, another one measures all that is as fast as possible."""
    inner, outer = KnownCost(), KnownCost()
    reports: list[SweepReport] = []

    def measured_beside(*arguments: Any) -> Measurement:
        if arguments[0].mode is Mode.REPLAY and not reports:
            part = replace(plan, replay_batch_sizes=())
            reports.append(run_sweep(part, store, progress=False, measure_cell=inner))
        return outer(*arguments)

    report = run_sweep(plan, store, progress=False, measure_cell=measured_beside)
    assert reports[0].measured == len(inner.visited) > 0
    assert report.measured == len(outer.visited)
    assert sorted(map(str, inner.visited + outer.visited)) == sorted(str(visit.cell) for visit in plan.visits())
    assert report.measured + report.reused == len(plan.cells) * plan.blocks


def test_the_same_visit_measured_at_once_is_kept_once(plan: SweepPlan, store: ResultsStore) -> None:
    inner: list[SweepReport] = []

    def measured_twice(*arguments: Any) -> Measurement:
        if not inner:
            inner.append(run_sweep(plan, store, progress=False, measure_cell=KnownCost()))
        return KnownCost()(*arguments)

    with pytest.raises(StoreError, match="already: another sweep writes to it"):
        run_sweep(plan, store, progress=False, measure_cell=measured_twice)
    assert store.visits(plan)["visit_key"].is_unique
    assert len(store.visits(plan)) == inner[0].measured == len(plan.cells) * plan.blocks


def test_each_visit_knows_how_quiet_the_machine_was(plan: SweepPlan, store: ResultsStore) -> None:
    readings = itertools.count(1)
    run_sweep(
        plan,
        store,
        progress=False,
        measure_cell=KnownCost(),
        read=lambda: NoiseReading(1e-3 * next(readings), 0.5),
    )
    visits = store.visits(plan)
    assert visits["calibration_seconds"].tolist() == pytest.approx([1e-3 * (1 + n) for n in range(len(visits))])
    noise = noise_of(Findings(plan, store))
    assert noise.readings == len(visits)
    assert not noise.quiet


def test_more_blocks_measure_only_the_new_ones(plan: SweepPlan, store: ResultsStore) -> None:
    run_sweep(plan, store, progress=False, measure_cell=KnownCost())
    report = run_sweep(replace(plan, blocks=7), store, progress=False, measure_cell=KnownCost())
    assert (report.measured, report.reused) == (len(plan.cells), len(plan.cells) * 6)


def test_a_wrong_answer_stops_the_sweep(plan: SweepPlan, store: ResultsStore) -> None:
    known = KnownCost()

    def one_differs(*arguments: object, **options: object) -> Measurement:
        measurement = known(*arguments, **options)  # type: ignore[arg-type]
        return replace(measurement, checksum=-1) if len(known.visited) == 9 else measurement

    with pytest.raises(WrongAnswer, match="left rows with checksum"):
        run_sweep(plan, store, progress=False, measure_cell=one_differs)
    assert len(store.visits(plan)) < len(plan.cells) * 6


def test_all_cells_of_a_block_write_the_same_events(plan: SweepPlan) -> None:
    slices = Slices(plan, ingest_events(load_flights("week")))
    for mode in Mode:
        for block in range(plan.blocks):
            cells = [cell for cell in plan.cells if cell.mode is mode]
            parts = [slices.of(Visit(block, 0, cell)) for cell in cells]
            if mode is Mode.REPLAY:
                assert all(part.measured == parts[0].measured for part in parts)
                assert parts[0].offsets is not None
                assert len(parts[0].offsets) == len(parts[0].measured) >= 1_000
                assert parts[0].offsets.max() <= plan.replay_seconds
            else:
                # a larger batch gets more items, so that it has batches to fill
                assert [len(part.measured) for part in parts] == [400, 400, 2_000, 8_000]


def test_blocks_write_different_stretches(plan: SweepPlan) -> None:
    slices = Slices(plan, ingest_events(load_flights("week")))
    for mode in Mode:
        cell = next(cell for cell in plan.cells if cell.mode is mode)
        starts = {slices.of(Visit(block, 0, cell)).measured[0].subject.key for block in range(plan.blocks)}
        assert len(starts) > 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"replay_seconds": 100.0}, "too short to replay 100 s at a speed-up of 100,000"),
        ({"replay_seconds": 0.01}, "holds .* events, and a p99 needs 1,000"),
        ({"warm_up_items": 1_000_000, "replay_batch_sizes": ()}, "too few for 1000000 of warm-up"),
    ],
)
def test_a_trace_that_is_too_short_is_refused(
    plan: SweepPlan, store: ResultsStore, change: dict[str, float], message: str
) -> None:
    measure = KnownCost()
    with pytest.raises(InvalidInput, match=message):
        run_sweep(replace(plan, **change), store, progress=False, measure_cell=measure)  # type: ignore[arg-type]


def test_progress_is_drawn_with_an_estimate(plan: SweepPlan, store: ResultsStore) -> None:
    stream = io.StringIO()
    run_sweep(plan, store, progress=stream, measure_cell=KnownCost())
    assert stream.closed


def test_progress_is_silent_without_a_terminal(
    plan: SweepPlan, store: ResultsStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not sys.stderr.isatty()
    run_sweep(plan, store, measure_cell=KnownCost())
    assert capsys.readouterr().err == ""


@pytest.mark.case("F43")
def test_a_sweep_of_the_users_server_is_in_the_store_without_its_url(
    store: ResultsStore, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(added_latency, "PROBE", Probe(pings=10, tolerance_seconds=60.0))  # however busy the machine is
    plan = SweepPlan(
        engine="postgresql",
        server=server_label("postgresql", postgres_url),
        closed_loop_batch_sizes=(1, 10, 50),
        added_latencies=(0.0, 0.005),
        blocks=2,
        closed_loop_items=50,
        warm_up_items=5,
    )
    assert run_sweep(plan, store, url=postgres_url, progress=False).measured == 12
    assert run_sweep(plan, store, url=postgres_url, progress=False).measured == 0
    visits = store.visits(plan)
    assert (visits["round_trips"] * visits["mean_batch"] == visits["items"]).all()  # one for each flush
    assert visits["added_round_trip"].notna().all()
    assert (visits["writer_seconds"] >= visits["round_trips"] * visits["added_latency"]).all()  # no byte is early
    for latency in plan.added_latencies:
        assert Findings(plan.at(latency), store).cost_model.blocks == 2
    with pytest.raises(InvalidInput, match=r"adds 2 latencies: take the findings of one, with plan.at"):
        Findings(plan, store)
    assert not any(secret in store.runs().to_csv() for secret in (postgres_url, "postgres@", "host="))
