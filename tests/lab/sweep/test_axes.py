from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from perflab.errors import InvalidInput
from perflab.lab.sweep.axes import axis_names, with_axes
from perflab.lab.sweep.plan import SweepPlan


@pytest.mark.parametrize(
    ("setting", "change"),
    [
        ("replay_batch_sizes=1, 10,100", {"replay_batch_sizes": (1, 10, 100)}),
        ("replay_flush_intervals=0,0.05", {"replay_flush_intervals": (0.0, 0.05)}),
        ("closed_loop_clients=8", {"closed_loop_clients": 8}),
        ("closed_loop_clients=none", {"closed_loop_clients": None}),
        ("speed_up=60000", {"speed_up": 60_000.0}),
        ("arrivals=independent", {"arrivals": "independent"}),
        ("durability=full", {"durability": "full"}),
        ("sizings=adaptive", {"sizings": ("adaptive",)}),
    ],
)
def test_a_parameter_is_read_by_its_type(plan: SweepPlan, setting: str, change: dict[str, Any]) -> None:
    assert with_axes(plan, [setting]) == replace(plan, **change)


def test_several_parameters_are_set_at_once(plan: SweepPlan) -> None:
    assert with_axes(plan, ["blocks=7", "seed=3"]) == replace(plan, blocks=7, seed=3)
    assert with_axes(plan, []) == plan


def test_every_parameter_but_the_server_can_be_set(plan: SweepPlan) -> None:
    """A field of a new type must not be forgotten: each is set to what it has already."""
    for field in fields(plan):
        value = getattr(plan, field.name)
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        if field.name in {"engine", "server"}:
            assert field.name not in axis_names()
        else:
            assert with_axes(plan, [f"{field.name}={text}"]) == plan


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["replay_batch_size=1"], "no axis 'replay_batch_size': did you mean replay_batch_sizes?"),
        (["colour=red"], "no axis 'colour': there are name, added_latencies"),
        (["engine=postgresql"], "no axis 'engine'"),
        (["blocks"], "'blocks' sets nothing: write name=value"),
        (["blocks=6", "blocks=7"], "blocks is set twice"),
        (["blocks=many"], "blocks is 'many': give a whole number"),
        (["speed_up=fast"], "speed_up is 'fast': give a number"),
        (["replay_batch_sizes=1,ten"], "replay_batch_sizes is 'ten': give a whole number"),
        (["arrivals=never"], "arrivals is 'never': use one of"),
        (["blocks=0"], "blocks is 0"),
        (["closed_loop_batch_sizes=", "replay_batch_sizes="], "the sweep has no cell"),
    ],
)
def test_what_is_no_axis_or_no_value_is_refused(plan: SweepPlan, settings: list[str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message.replace("?", r"\?")):
        with_axes(plan, settings)
