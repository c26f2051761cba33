"""The size that the cost model chooses, and what it says about it."""

from __future__ import annotations

import math
from random import Random

import pytest

from perflab.batching.limits import Limits
from perflab.batching.sizing.choice import start_sizing
from perflab.batching.sizing.cost_model import CostModelSizing
from perflab.batching.sizing.policy import Demand, SizingPolicy
from perflab.batching.sizing.polynomial_cost import PolynomialCost
from perflab.errors import InvalidInput
from tests.batching.sizing.policies import cost, nothing, start, too_much

LINE = PolynomialCost(200e-6, 10e-6)
HALF = 20


def taught(
    sizing: CostModelSizing, curve: PolynomialCost, *, batch_size: int = 100_000, flushes: int = 200, noise: float = 0.0
) -> SizingPolicy:
    """A policy whose batches were always full."""
    random = Random(1)
    policy = start(sizing, batch_size=batch_size)
    for _ in range(flushes):
        items = policy.target(Demand(0.0, 0, 10**9)).items
        policy.observe(cost(items, curve.seconds(items) * math.exp(random.gauss(0, noise))))
    return policy


def sizes(policy: SizingPolicy, *, waiting: int = 0, targets: int = 50) -> list[int]:
    """The sizes that it asks for, probes among them."""
    return sorted(policy.target(Demand(0.0, 0, waiting)).items for _ in range(targets))


def test_it_is_the_smallest_batch_with_the_share_of_the_best_throughput() -> None:
    policy = taught(CostModelSizing(latency_target=1.0), LINE)
    assert sizes(policy)[-1] == pytest.approx(0.97 / 0.03 * HALF, rel=0.05)
    text = str(policy.explain())
    assert "A flush costs 0.2 ms and 0.01 ms per item" in text
    assert "have 97% of the best throughput, and their p99 is under 500 ms" in text


def test_a_smaller_share_takes_a_smaller_batch() -> None:
    policy = taught(CostModelSizing(latency_target=1.0, efficiency=0.5), LINE)
    assert sizes(policy)[-1] == pytest.approx(HALF, abs=HALF * 0.25)


def test_the_p99_of_a_flush_stays_within_half_of_the_target() -> None:
    policy = taught(CostModelSizing(latency_target=0.004), LINE)
    largest = sizes(policy)[-1]
    # without any noise two per cent are assumed, and the p99 is five per cent above the median
    assert LINE.seconds(largest) == pytest.approx(0.002 / math.exp(2.326 * 0.02), rel=0.02)
    assert "would have a p99 over 2 ms" in str(policy.explain())
    noisy = taught(CostModelSizing(latency_target=0.004), LINE, noise=0.3)
    assert sizes(noisy)[-1] < 0.7 * largest


def test_where_more_waits_than_a_batch_in_time_takes_only_throughput_counts() -> None:
    policy = taught(CostModelSizing(latency_target=0.004), LINE)
    within = sizes(policy)[-1]
    assert sizes(policy, waiting=within)[-1] == within
    assert sizes(policy, waiting=within + 1)[-1] > 2 * within
    assert "wait, the last of which smaller ones would only make later" in str(policy.explain())
    assert sizes(policy)[-1] == within


def test_a_target_that_no_size_meets_costs_no_more_than_half_of_the_throughput() -> None:
    policy = taught(CostModelSizing(latency_target=0.0002), LINE)
    assert sizes(policy)[-1] == pytest.approx(HALF, abs=2)
    assert "no size meets the target" in str(policy.explain())


def test_the_batch_size_of_the_limits_is_never_exceeded() -> None:
    policy = taught(CostModelSizing(latency_target=1.0), LINE, batch_size=100)
    assert sizes(policy)[-1] == 100
    assert "100 items, the batch_size that was stated" in str(policy.explain())


def test_batches_that_are_always_full_are_probed_by_smaller_ones() -> None:
    policy = taught(CostModelSizing(latency_target=1.0), LINE, batch_size=100, flushes=400)
    asked = sizes(policy, targets=4_000)
    probes = [items for items in asked if items < 100]
    assert len(probes) / 4_000 == pytest.approx(1 / 8, abs=0.03)
    assert (probes[0], probes[-1]) == (12, 49)


def test_sizes_that_vary_by_themselves_are_not_probed() -> None:
    random = Random(1)
    policy = start(CostModelSizing(latency_target=1.0))
    for _ in range(300):
        items = int(10 ** random.uniform(0, 2.5))
        policy.observe(cost(items, LINE.seconds(items)))
        policy.target(Demand(0.0, 0, 0))
    assert len(set(sizes(policy))) == 1


def test_it_starts_with_sixty_four_and_grows_to_twice_of_what_was_written() -> None:
    policy = start(CostModelSizing(latency_target=100.0), batch_size=5_000)
    largest = 0
    for _ in range(20):
        items = policy.target(Demand(0.0, 0, 0)).items
        assert items <= max(64, 2 * largest + 1)
        largest = max(largest, items)
        policy.observe(cost(items, PolynomialCost(1e-3, 1e-6).seconds(items)))
    assert largest == 5_000


def test_near_the_size_that_is_wanted_it_grows_by_a_quarter() -> None:
    """The size that is wanted is 647 at first, and then three times as much."""
    policy = taught(CostModelSizing(latency_target=100.0), LINE)
    before = sizes(policy)[-1]
    for _ in range(500):
        items = policy.target(Demand(0.0, 0, 0)).items
        policy.observe(cost(items, PolynomialCost(3 * LINE.alpha, LINE.beta).seconds(items)))
        after = sizes(policy)[-1]
        assert after <= 1.25 * before + 1
        before = after
    assert before > 1_200


def test_what_was_too_much_is_halved_and_then_approached_with_care() -> None:
    policy = taught(CostModelSizing(latency_target=10.0), LINE, flushes=60)
    policy.observe(too_much(600))
    assert sizes(policy)[-1] == 300
    assert "at most 1.25 times what was written since 600 were too much" in str(policy.explain())
    policy.observe(cost(300, LINE.seconds(300)))
    assert sizes(policy)[-1] == 376
    policy.observe(too_much(1))
    assert sizes(policy)[-1] == 1


def test_what_says_nothing_changes_nothing() -> None:
    policy = taught(CostModelSizing(latency_target=1.0), LINE)
    before = policy.explain()
    for _ in range(100):
        policy.observe(nothing(600, 1_000.0))
    after = policy.explain()
    assert (after.alpha_seconds, after.beta_seconds, after.flushes_learned) == (
        before.alpha_seconds,
        before.beta_seconds,
        before.flushes_learned,
    )


def test_a_batch_falls_when_the_cost_bends() -> None:
    """Elsewhere larger batches get slower, and grow (hfs#950)."""
    bent = PolynomialCost(200e-6, 10e-6, 1e-8)
    policy = taught(CostModelSizing(latency_target=10.0), bent, flushes=300, noise=0.1)
    largest = sizes(policy)[-1]
    assert largest / bent.seconds(largest) > 0.9 * bent.best_throughput
    assert largest < 2.5 * bent.best_batch


def test_the_first_sentence_is_honest() -> None:
    policy = start("adaptive")
    policy.target(Demand(0.0, 0, 0))
    explanation = policy.explain()
    assert (explanation.alpha_seconds, explanation.noise, explanation.arrivals_per_second) == (None, None, None)
    assert "cannot be told from that of its items yet" in str(explanation)


def test_the_numbers_are_those_of_the_words() -> None:
    explanation = taught(CostModelSizing(latency_target=1.0), LINE).explain()
    assert explanation.alpha_seconds == pytest.approx(200e-6, rel=0.01)
    assert explanation.beta_seconds == pytest.approx(10e-6, rel=0.01)
    assert explanation.bend_seconds == pytest.approx(0, abs=1e-9)
    assert explanation.noise == pytest.approx(0.02)
    assert explanation.flushes_learned == 200
    assert explanation.cost_changes == 0


def test_inline_a_batch_waits_for_the_interval_because_nothing_fills_it_otherwise() -> None:
    limits = Limits(500, 0.010)
    policy = start_sizing("adaptive", limits, Random(1).random, writes_while_filling=False)
    target = policy.target(Demand(0.0, 0, 0))
    assert (target.enough, target.wait_seconds) == (target.items, 0.010)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"latency_target": math.inf}, "latency_target is inf"),
        ({"efficiency": 1.0}, "efficiency must lie between 0 and 1"),
        ({"wait": "never"}, "wait is 'never'"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        CostModelSizing(**settings)  # type: ignore[arg-type]
