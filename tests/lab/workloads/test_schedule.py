from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perflab.errors import InvalidInput
from perflab.lab.workloads.distributions import Exponential, LogNormal
from perflab.lab.workloads.operation_mix import OperationMix
from perflab.lab.workloads.schedule import ArrivalProcess, ScheduleRecipe

RECIPE = ScheduleRecipe(
    duration_seconds=2.0,
    rate_per_second=200.0,
    mix=OperationMix({"enqueue": 2.0, "insert": 1.0}),
    payload=LogNormal(100, 400),
    service=Exponential(0.01),
    seed=13,
)


def test_equal_recipes_make_equal_schedules() -> None:
    first, second = RECIPE.make(), RECIPE.make()
    for name in ("offsets_seconds", "operations", "payload_bytes", "service_seconds"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name
    assert not np.array_equal(first.offsets_seconds, replace(RECIPE, seed=14).make().offsets_seconds)


def test_a_change_of_one_part_leaves_the_others() -> None:
    first, second = RECIPE.make(), replace(RECIPE, payload=LogNormal(500, 900)).make()
    assert not np.array_equal(first.payload_bytes, second.payload_bytes)
    for name in ("offsets_seconds", "operations", "service_seconds"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name


@pytest.mark.parametrize("of", [1, 2, 7])
def test_shares_are_the_whole(of: int) -> None:
    whole = RECIPE.make()
    shares = [whole.share(position, of) for position in range(of)]
    numbers = np.concatenate([share.numbers for share in shares])
    assert sorted(numbers) == list(range(len(whole)))
    for name in ("offsets_seconds", "operations", "payload_bytes", "service_seconds"):
        together = np.concatenate([getattr(share, name) for share in shares])
        assert np.array_equal(together[np.argsort(numbers)], getattr(whole, name)), name


def test_a_share_of_a_share_keeps_its_numbers() -> None:
    part = RECIPE.make().share(1, 3).share(1, 2)
    assert part.numbers[:3].tolist() == [4, 10, 16]


def test_a_trace_keeps_its_own_sizes_and_times(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("at,bytes,took\n13,30,0.3\n10,10,0.1\n12,20,0.2\n", encoding="utf-8")
    recipe = ScheduleRecipe(
        duration_seconds=1.5,
        arrivals="trace",
        trace=str(path),
        time_column="at",
        size_column="bytes",
        service_column="took",
        speed_up=2.0,
    )
    schedule = recipe.make()
    assert schedule.offsets_seconds.tolist() == [0, 1]  # 1.5 is outside
    assert schedule.payload_bytes.tolist() == [10, 20]
    assert schedule.service_seconds.tolist() == [0.1, 0.2]
    with pytest.raises(InvalidInput, match="speed-up"):
        replace(recipe, speed_up=0.0).make()
    path.write_text("at,bytes,took\n13,-30,0.3\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="'bytes' must be"):
        recipe.make()


@pytest.mark.parametrize("arrivals", ["poisson", "constant", "on-off"])
def test_processes_have_words(arrivals: ArrivalProcess) -> None:
    recipe = replace(RECIPE, arrivals=arrivals)
    assert "200" in recipe.describe()
    assert (recipe.make().offsets_seconds < 2.0).all()


def test_nothing_is_no_load() -> None:
    with pytest.raises(InvalidInput, match="nothing arrives"):
        replace(RECIPE, rate_per_second=1e-6).make()
