"""Additive increase, multiplicative decrease, step by step."""

from __future__ import annotations

import pytest

from perflab.batching.sizing.aimd import AimdSizing
from perflab.batching.sizing.policy import Demand, SizingPolicy
from perflab.errors import InvalidInput
from tests.batching.sizing.policies import cost, nothing, start, too_much


def items(policy: SizingPolicy) -> int:
    return policy.target(Demand(0.0, 0, 0)).items


def test_full_batches_in_time_let_it_grow_by_a_constant_up_to_the_batch_size() -> None:
    policy = start(AimdSizing(increase=100), batch_size=350)
    sizes = []
    for _ in range(5):
        sizes.append(items(policy))
        policy.observe(cost(sizes[-1], 0.001))
    assert sizes == [100, 200, 300, 350, 350]
    assert "the batch_size that was stated" in policy.explain().size_reason


def test_a_batch_that_was_not_full_says_nothing_about_a_larger_one() -> None:
    policy = start(AimdSizing(increase=100))
    policy.observe(cost(99, 0.001))
    assert items(policy) == 100


def test_a_flush_that_takes_more_than_half_of_the_target_shrinks_it_by_a_tenth() -> None:
    policy = start(AimdSizing(latency_target=0.020, increase=100))
    policy.observe(cost(100, 0.010))
    assert items(policy) == 200
    policy.observe(cost(200, 0.0101))
    assert items(policy) == 180
    assert "had 200 and took 10.1 ms, and 10 ms are allowed" in str(policy.explain())


def test_what_was_too_much_is_halved_and_what_says_nothing_changes_nothing() -> None:
    policy = start(AimdSizing(increase=100))
    policy.observe(too_much(60))
    assert items(policy) == 30
    assert "one of 60 was too much" in str(policy.explain())
    policy.observe(nothing(30, 100.0))
    assert items(policy) == 30


def test_it_never_falls_below_one_item() -> None:
    policy = start(AimdSizing())
    for _ in range(100):
        policy.observe(cost(items(policy), 5.0))
        policy.observe(too_much(1))
    assert items(policy) == 1


def test_without_a_step_it_takes_a_fiftieth_of_the_batch_size() -> None:
    assert items(start(AimdSizing(), batch_size=500)) == 10
    assert items(start(AimdSizing(), batch_size=10)) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"latency_target": 0.0}, "latency_target is 0.0"),
        ({"increase": 0}, "increase is 0"),
        ({"decrease": 1.0}, "decrease is 1.0"),
        ({"decrease": 0.0}, "decrease is 0.0"),
        ({"wait": "long"}, "wait is 'long': use one of 'self-clocking', 'ski-rental', 'interval'"),
        ({"patience": -1.0}, "patience is -1.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        AimdSizing(**settings)  # type: ignore[arg-type]
