"""The figures of cache warming, from readings that are known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from perflab.cache.metrics import CacheTally
from perflab.lab.cache_warming.findings import WarmingFindings
from perflab.lab.cache_warming.plan import Arm, WarmingPlan
from perflab.lab.cache_warming.visit import TickReading, VisitReading
from perflab.lab.plots import cost_of_warming, hit_rate_over_time, wait_over_time

JOBS = 60
"""At each tick."""
WAITS = {Arm.COLD: 1e-3, Arm.WARMED: 0.9e-3, Arm.PREDICTED: 20e-6}
HITS = {Arm.COLD: 40, Arm.WARMED: 50, Arm.PREDICTED: 99}
"""Of a hundred keys."""
METRICS = CacheTally().metrics(evicted=0, entries=0, used_bytes=0)


def findings_of(waits: dict[Arm, float], **changes: Any) -> WarmingFindings:
    plan = WarmingPlan("sqlite", blocks=5, hours=2, ttl_seconds=600.0)
    readings = [
        VisitReading(
            block,
            position,
            arm,
            datetime(2013, 1, 1, tzinfo=UTC),
            [
                TickReading(
                    minute=3.0 * tick,
                    asked=100,
                    hits=HITS[arm],
                    outdated=3 if arm is Arm.PREDICTED else 0,
                    read_round_trips=0 if arm is Arm.PREDICTED else JOBS,
                    warm_round_trips=6 if arm is Arm.PREDICTED else 0,
                    warm_seconds=JOBS * 50e-6 if arm is Arm.PREDICTED else 0.0,
                    job_seconds=[waits[arm] * (1 + 0.01 * block)] * JOBS,
                )
                for tick in range(plan.ticks)
            ],
            replace(METRICS, warmed=100, warmed_used=90),
        )
        for block in range(plan.blocks)
        for position, arm in enumerate(Arm)
    ]
    return WarmingFindings(replace(plan, **changes), readings, {"engine": "SQLite"})


@pytest.fixture(scope="module")
def findings() -> WarmingFindings:
    return findings_of(WAITS)


def test_the_hit_rates_are_the_truth(findings: WarmingFindings) -> None:
    plot = hit_rate_over_time(findings)
    assert plot.title == "Predicted, 99.0% of the rows are there when they are asked for; cold, 40.0%"
    assert len(plot.data) == 3 * 40
    for arm, rows in plot.data.groupby("arm"):
        assert rows["hit_rate"].to_list() == pytest.approx([HITS[Arm(str(arm))] / 100] * 40)
    assert "At the first tick 40.0% cold, 50.0% warmed once and 99.0% predicted" in plot.reading
    assert "90.0% was asked for before it ended" in plot.reading


def test_the_waits_are_the_truth(findings: WarmingFindings) -> None:
    plot = wait_over_time(findings)
    assert plot.title == "With what is predicted in memory, jobs wait 98.0% less for their rows"
    assert plot.data["jobs"].to_list() == [20 * JOBS] * 6
    for row in plot.data.to_dict("records"):
        assert row["p99_seconds"] == pytest.approx(WAITS[Arm(row["arm"])] * 1.02, rel=0.01)
        assert row["p99_seconds_low"] < row["p99_seconds"] < row["p99_seconds_high"]
    assert "0.0200 [0.0200, 0.0200] times as long as cold" in plot.reading


@pytest.mark.parametrize(
    ("predicted", "title"),
    [(2e-3, "Although it was predicted, jobs wait 100% longer for their rows"), (1e-3, "cannot be told")],
)
def test_a_title_says_what_was_found_whatever_was_hoped_for(predicted: float, title: str) -> None:
    assert title in wait_over_time(findings_of(WAITS | {Arm.PREDICTED: predicted})).title


def test_the_costs_have_the_warmers_part_in_them(findings: WarmingFindings) -> None:
    plot = cost_of_warming(findings)
    assert plot.title == "Read ahead in bulk, rows take 90.0% fewer round trips, the warmer's included"
    by_arm = plot.data.set_index("arm")
    assert by_arm["jobs_round_trips"].to_dict() == {"cold": 1_000, "warmed once": 1_000, "predicted": 0}
    assert by_arm["all_round_trips"]["predicted"] == pytest.approx(100)
    assert by_arm["job_seconds"]["predicted"] == pytest.approx(20.4e-6)
    assert by_arm["all_seconds"]["predicted"] == pytest.approx(70.4e-6)
    assert by_arm["outdated"].to_dict() == pytest.approx({"cold": 0, "warmed once": 0, "predicted": 0.03})
    assert "3.0% of its rows are outdated" in plot.reading


def test_the_headline(findings: WarmingFindings) -> None:
    assert findings.headline() == pytest.approx(
        {
            "hit_rate_cold_fraction": 0.4,
            "hit_rate_warmed_once_fraction": 0.5,
            "hit_rate_predicted_fraction": 0.99,
            "p99_wait_cold_seconds": 1.02e-3,
            "p99_wait_predicted_seconds": 20.4e-6,
        },
        rel=0.01,
    )
