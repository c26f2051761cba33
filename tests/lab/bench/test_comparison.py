from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from perflab.errors import InvalidInput
from perflab.lab.bench.bench_files import bench_table
from perflab.lab.bench.comparison import Comparison, ComparisonResult, compare, compare_until
from perflab.lab.statistics.looks import Looks, Stop


@dataclass(frozen=True)
class KnownArm:
    """An arm whose cost is known; a block is slower or faster for all arms alike."""

    name: str
    seconds: float
    blocks: list[int] = field(default_factory=list)

    def visit(self, block: int) -> float:
        self.blocks.append(block)
        # what blocks do to both arms cancels in their ratio; what differs between arms is small and alternates
        return self.seconds * (1 + block % 3) * (1.001 if (block + len(self.name)) % 2 else 0.999)


def comparison(ours: float, *others: float, limit: float | None = 1.25) -> Comparison:
    return Comparison(
        "work", "engine", "something", KnownArm("ours", ours), tuple(KnownArm(f"other {s}", s) for s in others), limit
    )


def run(ours: float, *others: float, limit: float | None = 1.25) -> ComparisonResult:
    (result,) = compare([comparison(ours, *others, limit=limit)], blocks=8, seed=1)
    return result


def test_every_block_visits_every_arm_once() -> None:
    first, second = comparison(1.0, 2.0, 3.0), comparison(4.0, 5.0)
    compare([first, second], blocks=7, seed=1)
    for arm in (*first.arms, *second.arms):
        assert isinstance(arm, KnownArm)
        assert sorted(arm.blocks) == list(range(7))


def test_the_fastest_other_is_the_measure() -> None:
    result = run(1.1e-6, 4e-6, 1e-6, 2e-6)
    assert result.fastest_other == "other 1e-06"
    assert result.ratio.value == pytest.approx(1.1, rel=0.005)
    assert result.ratio.low < 1.1 < result.ratio.high


@pytest.mark.parametrize(
    ("ours", "limit", "verdict"),
    [(1.1, 1.25, "within"), (1.5, 1.25, "over"), (1.25, 1.25, "inconclusive"), (9, None, "")],
)
def test_the_verdict_respects_the_interval(ours: float, limit: float | None, verdict: str) -> None:
    assert run(ours, 1.0, limit=limit).verdict == verdict


def test_the_table_keeps_the_losing_arms() -> None:
    table = bench_table([run(1.1e-6, 1e-6, 2e-6)])
    assert "| **work** | engine | ours | 1.8" in table  # µs: 1.1 times the factors of the blocks
    assert "(fastest)" in table
    assert "other 2e-06" in table
    assert "**1.10** [" in table


def test_too_few_blocks_are_refused() -> None:
    with pytest.raises(InvalidInput, match="blocks is 5"):
        compare([comparison(1.0, 2.0)], blocks=5, seed=1)


def test_arms_with_the_same_promises_have_a_ratio_of_their_own_and_set_no_limit() -> None:
    alike = KnownArm("careful", 0.5)
    careful = Comparison("work", "engine", "something", KnownArm("ours", 1.0), (KnownArm("bare", 1.0),), 1.25, (alike,))
    (result,) = compare([careful], blocks=8, seed=1)
    assert sorted(alike.blocks) == list(range(8))
    assert result.fastest_other == "bare"
    assert result.verdict == "within"
    assert result.ratio_to("careful").value == pytest.approx(2.0, rel=0.005)
    (row,) = [line for line in bench_table([result]).splitlines() if "careful" in line]
    assert "(same promises)" in row
    assert "ours ÷ this: 2.0" in row


LOOKS = Looks((6, 12, 18))


@pytest.mark.parametrize(
    ("ours", "limit", "precision", "blocks", "stop"),
    [
        (1.1, 1.25, 1e-6, 6, Stop.KNOWN),  # clearly within
        (1.5, 1.25, 1e-6, 6, Stop.KNOWN),  # clearly over
        (1.25, 1.25, 1e-6, 18, Stop.MOST),  # on the limit, and never known to a millionth
        (1.25, 1.25, 0.01, 6, Stop.KNOWN),  # on the limit, but known to 1 %
        (9.0, None, 1e-6, 18, Stop.MOST),
        (9.0, None, 0.01, 6, Stop.KNOWN),
    ],
)
def test_it_measures_no_longer_than_it_takes(
    ours: float, limit: float | None, precision: float, blocks: int, stop: Stop
) -> None:
    found = compare_until([comparison(ours, 1.0, limit=limit)], LOOKS, precision=precision, seed=1)
    assert (found.blocks, found.stop) == (blocks, stop)
    (result,) = found.results
    assert len(result.seconds["ours"]) == blocks
    assert result.level == result.ratio.level == LOOKS.level_of_each > 0.97
    assert f"[{100 * result.level:.3g} %]" in bench_table([result])


def test_the_blocks_are_those_of_a_comparison_of_fixed_length() -> None:
    fixed = compare([comparison(1.0, 2.0)], blocks=18, seed=3)
    until = compare_until([comparison(1.0, 2.0)], LOOKS, precision=1e-9, seed=3)
    assert until.blocks == 6  # the limit decides
    assert until.results[0].seconds["ours"] == fixed[0].seconds["ours"][:6]


def test_a_spent_budget_ends_it() -> None:
    arms = comparison(1.25, 1.0)
    first = arms.ours
    assert isinstance(first, KnownArm)
    found = compare_until(
        [arms], LOOKS, precision=1e-9, budget_seconds=13.0, seed=1, clock=lambda: float(len(first.blocks))
    )
    assert (found.blocks, found.stop) == (12, Stop.BUDGET)


def test_each_block_is_announced() -> None:
    begun: list[int] = []
    compare([comparison(1.0, 2.0)], blocks=7, seed=1, begin_block=begun.append)
    assert begun == list(range(7))
