from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from perflab.errors import InvalidInput
from perflab.lab.sweep.plan import Mode, SweepPlan
from perflab.lab.sweep.profiles import latency_plan, standard_plan


def test_every_block_visits_every_cell_once_in_an_order_of_its_own(plan: SweepPlan) -> None:
    blocks: dict[int, list[object]] = {}
    for visit in plan.visits():
        assert visit.position == len(blocks.setdefault(visit.block, []))
        blocks[visit.block].append(visit.cell)
    assert set(blocks) == set(range(6))
    assert all(sorted(cells, key=repr) == sorted(plan.cells, key=repr) for cells in blocks.values())
    assert len({tuple(cells) for cells in blocks.values()}) > 1


def test_the_order_is_the_seeds(plan: SweepPlan) -> None:
    assert list(plan.visits()) == list(plan.visits())
    assert list(plan.visits()) != list(replace(plan, seed=1).visits())


def test_more_blocks_keep_the_first_ones_and_their_keys(plan: SweepPlan) -> None:
    longer = replace(plan, blocks=8)
    first = list(plan.visits())
    assert list(longer.visits())[: len(first)] == first
    assert [longer.visit_key(visit) for visit in first] == [plan.visit_key(visit) for visit in first]


@pytest.mark.parametrize(
    "change",
    [
        *({"seed": 2}, {"durability": "full"}, {"closed_loop_items": 500}, {"source": "year"}),
        *({"engine": "postgresql"}, {"server": "embedded"}, {"engine": "postgresql", "added_latencies": (0.0,)}),
    ],
)
def test_what_changes_a_measurement_changes_its_key(plan: SweepPlan, change: dict[str, Any]) -> None:
    changed = replace(plan, **change)
    assert changed.visit_key(next(changed.visits())) != plan.visit_key(next(plan.visits()))


def test_keys_are_unique(plan: SweepPlan) -> None:
    keys = [plan.visit_key(visit) for visit in plan.visits()]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("profile", ["smoke", "quick", "full"])
def test_profiles_have_both_modes_and_an_unbatched_baseline(profile: Any) -> None:
    plan = standard_plan(profile)
    for mode in Mode:
        assert 1 in {cell.batch_size for cell in plan.cells if cell.mode is mode}


def test_quick_covers_the_grid() -> None:
    plan = standard_plan("quick")
    sizes = {cell.batch_size for cell in plan.cells}
    intervals = {cell.flush_interval for cell in plan.cells if cell.mode is Mode.REPLAY}
    assert (min(sizes), max(sizes)) == (1, 5_000)
    assert (min(intervals), max(intervals)) == (0.0, 0.100)
    assert plan.blocks >= 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"closed_loop_batch_sizes": (0,)}, "a batch size is 0"),
        ({"closed_loop_batch_sizes": (1, 1)}, "names a cell twice"),
        ({"closed_loop_batch_sizes": (), "replay_batch_sizes": ()}, "has no cell"),
        ({"replay_flush_intervals": (-0.001,)}, "a flush interval is -0.001"),
        ({"replay_flush_intervals": (float("nan"),)}, "a flush interval is nan"),
        ({"blocks": 0}, "blocks is 0"),
        ({"speed_up": 0.0}, "speed_up is 0.0"),
        ({"durability": "lazy"}, "durability is 'lazy': use one of 'normal', 'full'"),
        ({"source": "decade"}, "source is 'decade'"),
        ({"engine": "mysql"}, "engine is 'mysql': use one of 'sqlite', 'postgresql'"),
        ({"added_latencies": (0.0,)}, "SQLite has no network to add latency to"),
        ({"engine": "postgresql", "added_latencies": (0.0, 0.0)}, "names a cell twice"),
        ({"engine": "postgresql", "added_latencies": (-0.001,)}, "an added latency is -0.001"),
        ({"engine": "postgresql", "added_latencies": (61.0,)}, "an added latency is 61.0"),
    ],
)
def test_a_bad_plan_is_refused(plan: SweepPlan, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        replace(plan, **change)


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(InvalidInput, match="profile is 'slow': use one of 'smoke', 'quick', 'full'"):
        standard_plan("slow")  # type: ignore[arg-type]


@pytest.mark.parametrize("profile", ["smoke", "quick", "full"])
def test_a_latency_plan_has_every_batch_size_at_every_latency(profile: Any) -> None:
    plan = latency_plan(profile, (0.0, 0.002))
    assert plan.engine == "postgresql"
    sizes = {latency: [cell.batch_size for cell in plan.at(latency).cells] for latency in plan.added_latencies}
    assert sizes[0.0] == sizes[0.002]
    assert sizes[0.0][0] == 1
    assert len(sizes[0.0]) >= 3  # a cost model needs them


def test_a_latency_plan_needs_a_baseline() -> None:
    with pytest.raises(InvalidInput, match=r"the added latencies are \(0.002,\): add 0"):
        latency_plan("smoke", (0.002,))


def test_the_part_of_a_plan_with_one_latency_has_the_same_visits() -> None:
    plan = latency_plan("smoke", (0.0, 0.002))
    keys = {plan.visit_key(visit) for visit in plan.visits()}
    parts = [{part.visit_key(visit) for visit in part.visits()} for part in map(plan.at, plan.added_latencies)]
    assert parts[0] | parts[1] == keys
    assert not parts[0] & parts[1]
    with pytest.raises(InvalidInput, match=r"adds no latency of 0.5 s"):
        plan.at(0.5)
