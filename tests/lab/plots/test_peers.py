from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from perflab.lab.bench.comparison import Comparison, ComparisonResult
from perflab.lab.peers.findings import PeersFindings
from perflab.lab.peers.plan import PeersPlan
from perflab.lab.plots import batchers_beside_each_other, rates_of_queues, start_latency_of_queues
from tests.lab.plots.drawn import text_of, x_of

PLAN = PeersPlan("postgresql", blocks=6, jobs=20_000, singles=50, latency_jobs=200)
DRAIN = {"perflab": 10e-6, "raw driver": 8e-6, "chancy": 50e-6, "procrastinate": 900e-6}


def found(drain: dict[str, float], latencies: dict[str, list[float]] | None = None) -> PeersFindings:
    """Of queues whose costs are known, on a machine that gets slower with each block."""
    rows: list[dict[str, Any]] = []
    for block in range(PLAN.blocks):
        row = {"block": block, "measured_at": datetime.now(UTC), "jobs": 1_000, "runs": 1_000}
        for queue, seconds in drain.items():
            slow = seconds * (1 + block / 10)
            drained = {"what": "drain", "drain": slow, "enqueue_each": 10 * slow, "enqueue_bulk": slow}
            rows.append({**row, "queue": queue, **drained})
        rows += [
            {**row, "queue": queue, "what": "latency", "latencies": samples}
            for queue, samples in (latencies or {}).items()
        ]
    return PeersFindings(PLAN, rows, {}, {"engine": "PostgreSQL 18"})


def test_the_rates_are_the_truth_and_what_is_drawn() -> None:
    plot = rates_of_queues(found(DRAIN))
    drains = plot.data[plot.data["measure"] == "drain"].set_index("queue")
    assert drains.loc[["chancy"], "times_faster"].item() == pytest.approx(5)
    assert drains.loc[["procrastinate"], "times_faster"].item() == pytest.approx(90)
    assert plot.title == "A worker of perflab drains 5.00 times as many jobs a second as that of chancy"
    assert "and perflab 90.0 [90.0, 90.0] times as many" in plot.reading
    drawn = np.sort(np.concatenate([x_of(line) for line in plot.figure.axes[2].lines if line.get_marker() == "o"]))
    np.testing.assert_allclose(drawn, np.sort(drains["jobs_per_second"]))
    assert [label.get_text() for label in plot.figure.axes[0].get_yticklabels()] == list(DRAIN)[::-1]


@pytest.mark.parametrize(
    ("drain", "title"),
    [
        ({"perflab": 10e-6, "chancy": 10e-6}, "Workers of perflab and chancy drain at no clearly different rate"),
        (
            {"perflab": 10e-6, "chancy": 5e-6},
            "A worker of perflab drains only 0.500 times as many jobs a second as that of chancy",
        ),
        ({"perflab": 10e-6, "raw driver": 5e-6}, "No other queue was measured"),
    ],
)
def test_the_title_claims_no_more_than_there_is(drain: dict[str, float], title: str) -> None:
    assert rates_of_queues(found(drain)).title == title


def test_no_start_is_called_the_soonest_where_intervals_overlap() -> None:
    samples = {"perflab": [0.002] * 100 + [0.004] * 100, "chancy": [0.001] * 100 + [0.003] * 100}
    title = start_latency_of_queues(found(DRAIN, samples)).title
    assert title.startswith("Intervals overlap: which queue starts a job soonest is open; chancy took ")


def test_the_soonest_start_and_percentiles_with_enough_samples_only() -> None:
    samples = {"perflab": [0.002] * 200, "chancy": [0.001] * 190 + [0.008] * 10, "procrastinate": [0.003] * 20}
    plot = start_latency_of_queues(found(DRAIN, samples))
    assert plot.title == "A job starts soonest on chancy: half of them within 1.00 ms [1.00, 1.00]"
    data = plot.data.set_index(["queue", "fraction"])
    assert float(data["seconds"]["chancy", 0.99]) == pytest.approx(0.008)
    assert np.isnan(data["seconds"]["procrastinate", 0.99])
    assert data["reason"]["procrastinate", 0.99] in plot.reading
    places = [float(x) for line in plot.figure.axes[0].lines if line.get_marker() == "o" for x in x_of(line)]
    assert {2.0, 1.0, 8.0, 3.0} == {round(place, 6) for place in places}


def test_no_latency_is_said() -> None:
    plot = start_latency_of_queues(found(DRAIN))
    assert plot.title == "No start latency was measured"
    assert "Nothing to show" in text_of(plot.figure.axes[0].texts)
    assert plot.png()


class KnownArm:
    def __init__(self, name: str) -> None:
        self.name = name

    def visit(self, block: int) -> float:
        raise AssertionError(block)


def compared(operation: str, other: str, *, seconds: float) -> ComparisonResult:
    comparison = Comparison(operation, "sqlite", "work", KnownArm("ours"), (KnownArm(other),), None)
    return ComparisonResult(comparison, {"ours": (4e-6, 4.1e-6) * 3, other: (seconds, 1.01 * seconds) * 3})


def test_batchers_are_held_against_each_other() -> None:
    results = [compared("single writes", "other, in a thread", seconds=8e-6), compared("loads", "x", seconds=2e-6)]
    plot = batchers_beside_each_other(results)
    costs = "a single write costs 0.504 times as much and a load costs 2.01 times as much"
    assert plot.title == f"Through our batcher, {costs} as through theirs"
    assert plot.data["ratio"].tolist() == [pytest.approx(0.504, abs=0.001), pytest.approx(2.015, abs=0.001)]
    assert "times as much as through other; a load" in plot.reading
    assert [label.get_text() for label in plot.figure.axes[0].get_yticklabels()] == ["single writes\nother", "loads\nx"]


def test_no_other_batcher_is_said() -> None:
    plot = batchers_beside_each_other([])
    assert plot.title == "No other batcher is installed"
    assert plot.png()
