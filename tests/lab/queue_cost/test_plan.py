from __future__ import annotations

from dataclasses import replace

import pytest

from perflab.errors import InvalidInput
from perflab.lab.queue_cost.plan import Depth, Handler, queue_plan

PLAN = queue_plan("smoke", engine="sqlite", most_ready=10_000_000)


def test_profiles_stop_at_their_depth() -> None:
    assert PLAN.ready == (10_000, 50_000)
    assert queue_plan("quick", engine="sqlite", most_ready=10_000_000).ready == (10_000, 1_000_000)
    assert queue_plan("full", engine="postgresql", most_ready=10_000_000).ready == (10_000, 1_000_000, 10_000_000)
    assert queue_plan("full", engine="postgresql", most_ready=30_000).ready == (10_000, 30_000)


def test_the_jobs_for_later_are_a_million_at_the_most() -> None:
    full = queue_plan("full", engine="postgresql", most_ready=10_000_000)
    assert full.depths[-1] == Depth(10_000, 1_000_000)
    assert [str(depth) for depth in PLAN.depths] == [
        "10,000 ready",
        "50,000 ready",
        "10,000 ready behind 50,000 for later",
    ]


def test_every_part_says_how_many_visits_it_has() -> None:
    assert PLAN.visits == {"calls": 6, "depth": 6, "drain": 8, "snapshot": 2}
    assert len(PLAN.drains) == 4 == 2 * len(Handler)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"engine": "oracle"}, "engine is 'oracle'"),
        ({"blocks": 0}, "blocks"),
        ({"deep_blocks": 0}, "deep_blocks"),
        ({"idle_jobs": 0}, "idle_jobs"),
        ({"batch_sizes": ()}, "batch_sizes are"),
        ({"batch_sizes": (10, 100)}, "rise from 1"),
        ({"workers": (1, 4, 2)}, "rise from 1"),
        ({"workers": (1, 1)}, "each once"),
        ({"ready": (5_000, 10_000)}, "rise from 10,000"),
        ({"ready": (10_000,)}, "add a deeper queue"),
        ({"ready": (10_000, 20_000_000)}, "20,000,000 ready jobs are too many"),
        ({"claims": 26}, "26 claims are too many: 25 at the most"),
        ({"step_jobs": 150}, "a multiple of 100"),
    ],
)
def test_a_bad_plan_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        replace(PLAN, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("most_ready", [19_999, 10_000_001, "many"])
def test_a_bad_depth_is_refused(most_ready: int) -> None:
    with pytest.raises(InvalidInput, match="most_ready"):
        queue_plan("quick", engine="sqlite", most_ready=most_ready)
