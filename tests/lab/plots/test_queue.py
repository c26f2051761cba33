"""The figures of a queue's costs, from a world that is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import pandas as pd
import pytest

from perflab.lab.plots import (
    claim_time_by_depth,
    claim_time_under_a_snapshot,
    drain_rate_by_workers,
    queue_calls_by_batch_size,
    size_under_a_snapshot,
)
from perflab.lab.queue_cost.calls import CALLS
from perflab.lab.queue_cost.findings import QueueFindings
from perflab.lab.queue_cost.plan import Handler, Hold, queue_plan

BLOCKS = 8
PLAN = replace(
    queue_plan("quick", engine="postgresql", most_ready=10_000_000), blocks=BLOCKS, deep_blocks=BLOCKS, steps=2
)
MEBIBYTE = 1024 * 1024


def findings(
    *,
    second_worker: float = 0.8,
    deep: float = 1.1,
    dead: float = 0.0004,
    growing: int = MEBIBYTE,
    noise: float = 0.01,
    engine: str = "postgresql",
) -> QueueFindings:
    """Of a world with these costs.

    Args:
        second_worker: share of the rate of one that each more adds.
        deep: time of a claim from a million ÷ that from ten thousand.
        dead: seconds that each step under a snapshot adds to a claim of 1 ms.
        growing: bytes that it adds.
        noise: of times.
        engine: whose figures it is said to be.
    """
    rng = Random(1)

    def rows(*cells: dict[str, object], measured: str) -> pd.DataFrame:
        made = []
        for block in range(BLOCKS):
            for position, cell in enumerate(cells):
                value = float(str(cell[measured])) * rng.lognormvariate(0, noise)
                where = {"block": block, "position": position, "measured_at": datetime(2013, 1, 1, tzinfo=UTC)}
                made.append({**where, **cell, measured: value})
        return pd.DataFrame(made)

    calls = [
        {"call": call, "batch_size": size, "seconds_per_job": 1e-3 / size + 9e-6, "round_trips_per_job": 1 / size}
        for call in CALLS
        for size in PLAN.batch_sizes
    ]
    drains = [
        {"handler": str(handler), "workers": workers, "jobs_per_second": rate * (1 + share * (workers - 1))}
        for handler, rate, share in ((Handler.NOTHING, 40_000, second_worker), (Handler.WAITS, 800, 1.0))
        for workers in PLAN.workers
    ]
    depths: list[dict[str, object]] = [
        {
            "depth": str(depth),
            "ready": depth.ready,
            "scheduled": depth.scheduled,
            "claim_seconds": 1e-3 * (deep if depth.ready > 10_000 else 1.0),
        }
        for depth in PLAN.depths
    ]
    steps: list[dict[str, object]] = []
    held = 0
    for hold in Hold:
        for _ in range(PLAN.steps):
            held = held + 1 if hold is Hold.HELD else 0
            step = len(steps) + 1
            steps.append(
                {
                    "step": step,
                    "hold": str(hold),
                    "jobs": step * PLAN.step_jobs,
                    "claim_seconds": 1e-3 + dead * held,
                    "bytes_on_disk": 2 * MEBIBYTE + growing * held,
                    "dead_rows": None if engine == "sqlite" else 20_000 * held,
                }
            )
    return QueueFindings(
        replace(PLAN, engine=engine),  # type: ignore[arg-type]
        {"engine": engine, "cores": 2},
        calls=rows(*calls, measured="seconds_per_job"),
        drains=rows(*drains, measured="jobs_per_second"),
        depths=rows(*depths, measured="claim_seconds"),
        snapshots=rows(*steps, measured="claim_seconds"),
    )


def test_the_calls_cost_what_they_cost() -> None:
    plot = queue_calls_by_batch_size(findings())
    costs = plot.data.set_index(["call", "batch_size"])["seconds_per_job"]
    assert costs["claim", 1_000] == pytest.approx(10e-6, rel=0.03)
    assert plot.title.startswith("In and out of the queue, a job takes 3.0")
    assert plot.title.endswith("µs in batches of 1,000")
    assert plot.reading.count("times less.") == 3
    assert plot.figure.axes[0].get_xscale() == "log"


def test_calls_that_gain_nothing_are_told() -> None:
    found = findings()
    found.calls["seconds_per_job"] = [1e-5 * Random(place).lognormvariate(0, 0.2) for place in range(len(found.calls))]
    assert queue_calls_by_batch_size(found).reading.count("no clear gain") == 3


def test_the_drain_says_how_much_more_workers_bring() -> None:
    plot = drain_rate_by_workers(findings())
    rates = plot.data.set_index(["handler", "workers"])["jobs_per_second"]
    assert rates[str(Handler.NOTHING), 4] == pytest.approx(136_000, rel=0.03)
    assert plot.title.startswith("One worker process drains 39,9")
    assert "and 4 processes 3.4" in plot.title
    assert "With a handler that waits 5.00 ms, one process drains 80" in plot.reading


def test_a_drain_that_more_workers_do_not_speed_up_says_so() -> None:
    plot = drain_rate_by_workers(findings(second_worker=0.0, noise=0.1))
    assert plot.title.endswith("4 processes drain no clearly different rate")
    assert "no clear difference." in plot.reading
    slower = drain_rate_by_workers(findings(second_worker=-0.2))
    assert "and 4 processes fewer: 0.4" in slower.reading


def test_the_claim_is_compared_with_that_from_the_smallest_queue() -> None:
    plot = claim_time_by_depth(findings())
    assert plot.data["ratio"].tolist() == pytest.approx([1.0, 1.1, 1.0], rel=0.03)
    assert plot.data["ready"].tolist() == [10_000, 1_000_000, 10_000]
    assert plot.title.startswith("With 1,000,000 jobs ready, a claim takes 1.09 ")
    assert plot.title.endswith("times as long as with 10,000")
    assert "times that with 10,000 ready behind 1,000,000 for later." in plot.reading


def test_a_claim_that_depth_does_not_slow_down_says_so() -> None:
    plot = claim_time_by_depth(findings(deep=1.0, noise=0.05))
    assert plot.title.endswith("a claim takes no clearly longer time than with 10,000")
    assert "are not ruled out" in plot.reading


def test_the_snapshot_is_seen_in_the_claim_and_gone_afterwards() -> None:
    found = findings()
    plot = claim_time_under_a_snapshot(found)
    assert plot.data["claim_seconds"].tolist() == pytest.approx([1e-3, 1e-3, 1.4e-3, 1.8e-3, 1e-3, 1e-3], rel=0.03)
    assert plot.title.startswith("A claim takes 1.8")
    assert "once 20,000 jobs have gone under a held snapshot" in plot.title
    assert "claim before" in str(found.headline()["held_snapshot"])


def test_a_snapshot_that_does_nothing_says_so() -> None:
    plot = claim_time_under_a_snapshot(findings(dead=0.0, noise=0.05))
    assert plot.title == "A claim takes no clearly longer time after 20,000 jobs under a held snapshot"
    assert size_under_a_snapshot(findings(growing=0)).title.endswith("the table and its indexes do not grow")


def test_the_size_is_that_of_the_last_step_of_each() -> None:
    plot = size_under_a_snapshot(findings())
    assert plot.title == "Under a held snapshot the table and its indexes grow from 2.0 to 4.0 MiB"
    assert plot.reading.endswith(
        "VACUUM had to leave 40,000 dead rows while the snapshot was held, and 0 when it was not."
    )
    assert "4.0 MiB when the snapshot is released, and 2.0 MiB at the end" in plot.reading


def test_sqlite_has_a_log_and_no_dead_rows() -> None:
    plot = size_under_a_snapshot(findings(engine="sqlite"))
    assert "the file and its log" in plot.title
    assert "VACUUM" not in plot.reading
