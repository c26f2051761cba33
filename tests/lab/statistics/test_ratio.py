from __future__ import annotations

import math
import random

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.errors import InvalidInput
from perflab.lab.statistics.inputs import FloatArray
from perflab.lab.statistics.ratio import Ratio, Verdict, minimum_detectable_difference, paired_ratio

PAIRS = st.lists(st.tuples(st.floats(1e-4, 1e4), st.floats(1e-4, 1e4)), min_size=1, max_size=12)


def _ratio(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Ratio:
    return paired_ratio(numerator, denominator, rng=np.random.default_rng(5))


def _arms(
    rng: np.random.Generator, *, effect: float, n: int = 10, noise: float = 0.03
) -> tuple[FloatArray, FloatArray]:
    """Two arms whose true ratio is 1 + effect; what a block does to both is ten times the noise."""
    block = rng.lognormal(0, 0.3, n)
    first = block * (1 + effect) * rng.lognormal(0, noise / math.sqrt(2), n)
    return first, block * rng.lognormal(0, noise / math.sqrt(2), n)


def test_a_constant_factor_is_found_exactly() -> None:
    ratio = _ratio([2.0, 4.0, 6.0, 8.0, 10.0, 12.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])

    assert ratio.value == pytest.approx(2)
    assert (ratio.low, ratio.high) == pytest.approx((2, 2))
    assert (ratio.median_low, ratio.median_high) == pytest.approx((2, 2))
    assert ratio.p_value == 2 / 64
    assert ratio.minimum_detectable == pytest.approx(0, abs=1e-12)
    assert ratio.verdict is Verdict.HIGHER


def test_what_a_block_does_to_both_arms_cancels() -> None:
    rng = np.random.default_rng(1)
    first, second = _arms(rng, effect=0.05, noise=0.01)

    ratio = _ratio(first, second)

    assert ratio.low > 1.03
    assert ratio.high < 1.07


def test_the_interval_covers_the_true_ratio_at_its_level() -> None:
    rng = np.random.default_rng(20_260_102)
    ratios = [paired_ratio(*_arms(rng, effect=0.1), rng=rng) for _ in range(600)]

    assert 0.925 <= np.mean([ratio.low <= 1.1 <= ratio.high for ratio in ratios]) <= 0.975
    assert 0.95 <= np.mean([ratio.median_low <= 1.1 <= ratio.median_high for ratio in ratios]) <= 0.995


def test_an_arm_against_itself_raises_few_false_alarms() -> None:
    rng = np.random.default_rng(20_260_103)
    verdicts = [paired_ratio(*_arms(rng, effect=0.0), rng=rng).verdict for _ in range(600)]

    assert verdicts.count(Verdict.HIGHER) + verdicts.count(Verdict.LOWER) <= 0.05 * 600
    assert verdicts.count(Verdict.NO_DIFFERENCE) >= 0.90 * 600


def test_five_per_cent_is_found_when_it_is_above_the_minimum_detectable() -> None:
    rng = np.random.default_rng(20_260_104)
    ratios = [paired_ratio(*_arms(rng, effect=0.05), rng=rng) for _ in range(300)]

    # s = 3 %, n = 10: (2.262 + 0.883) * 3 % / sqrt(10) = 3.0 %
    assert np.median([ratio.minimum_detectable for ratio in ratios]) == pytest.approx(0.030, rel=0.1)
    assert np.mean([ratio.low > 1 for ratio in ratios]) >= 0.97
    assert sum(ratio.verdict is Verdict.LOWER for ratio in ratios) == 0


def test_the_minimum_detectable_difference_is_found_with_its_power() -> None:
    rng = np.random.default_rng(20_260_105)
    effect = 2.80 * 0.03 / math.sqrt(20)
    found = [paired_ratio(*_arms(rng, effect=effect, n=20), rng=rng).low > 1 for _ in range(300)]

    assert 0.70 <= np.mean(found) <= 0.87


@pytest.mark.parametrize(("n", "shift"), [(10, 3.1496), (15, 3.0133), (30, 2.8987)])
def test_few_blocks_take_the_noncentral_t(n: int, shift: float) -> None:
    differences = np.where(np.arange(n) % 2, 0.01, -0.01)
    error = float(np.std(differences, ddof=1)) / math.sqrt(n)

    assert minimum_detectable_difference(differences) == pytest.approx(math.expm1(shift * error), rel=1e-3)


def test_one_block_says_nothing() -> None:
    ratio = _ratio([2.0], [1.0])

    assert (ratio.low, ratio.high, ratio.p_value, ratio.minimum_detectable) == (0, math.inf, 1, math.inf)
    assert ratio.verdict is Verdict.NO_DIFFERENCE
    assert ratio.describe() == (
        "Nothing can be said about A and B (A/B 2.000 [0, unbounded], 1 block): measure more blocks."
    )


def test_one_odd_block_does_not_decide() -> None:
    # nine blocks show a little, one the contrary: the median sees a difference, the mean does not
    first = [1.02, 1.02, 1.03, 1.02, 1.02, 1.03, 1.02, 1.03, 1.02, 0.7]

    ratio = _ratio(first, [1.0] * 10)

    assert ratio.verdict is Verdict.INCONCLUSIVE
    assert "the intervals of mean and median disagree" in ratio.describe()


def test_no_difference_is_said_with_the_largest_that_is_not_ruled_out() -> None:
    rng = np.random.default_rng(8)
    ratio = paired_ratio(*_arms(rng, effect=0.0), rng=rng)

    assert ratio.verdict is Verdict.NO_DIFFERENCE
    assert ratio.largest_unseen >= max(ratio.minimum_detectable, ratio.high - 1, 1 / ratio.low - 1)
    assert ratio.describe("new", "old").startswith(
        f"No difference larger than {ratio.largest_unseen * 100:.1f}% between new and old (new/old "
    )


@pytest.mark.parametrize(
    ("low", "high", "minimum_detectable", "unseen"),
    [(0.8, 1.05, 0.1, 0.25), (0.96, 1.3, 0.1, 0.3), (0.99, 1.01, 0.1, 0.1), (0.0, 1.01, 0.1, math.inf)],
)
def test_the_far_end_of_the_interval_is_not_ruled_out(
    low: float, high: float, minimum_detectable: float, unseen: float
) -> None:
    ratio = Ratio(1.0, low, high, 1.0, low, high, 0.5, minimum_detectable, 10)

    assert ratio.largest_unseen == pytest.approx(unseen)


def test_a_difference_is_said_with_its_direction() -> None:
    rng = np.random.default_rng(9)
    ratio = paired_ratio(*_arms(rng, effect=0.2, n=12), rng=rng)

    assert ratio.describe("new", "old").startswith("new is 2")
    assert "% higher than old" in ratio.describe("new", "old")
    assert "% lower than new" in ratio.inverted().describe("old", "new")


@given(PAIRS)
def test_values_lie_in_their_intervals_and_inversion_is_symmetric(pairs: list[tuple[float, float]]) -> None:
    first, second = zip(*pairs, strict=True)
    ratio, inverse = _ratio(first, second), _ratio(second, first)

    assert ratio.low <= ratio.value <= ratio.high
    assert ratio.median_low <= ratio.median <= ratio.median_high
    assert 0 < ratio.p_value <= 1
    assert inverse.value == pytest.approx(ratio.inverted().value)
    assert inverse.low == pytest.approx(ratio.inverted().low)
    assert inverse.high == pytest.approx(ratio.inverted().high)
    assert inverse.median_high == pytest.approx(ratio.inverted().median_high)
    assert inverse.p_value == pytest.approx(ratio.p_value)


@settings(max_examples=50)
@given(PAIRS, st.floats(1e-3, 1e3), st.randoms(use_true_random=False))
def test_units_and_the_order_of_blocks_do_not_matter(
    pairs: list[tuple[float, float]], factor: float, shuffler: random.Random
) -> None:
    before = _ratio(*zip(*pairs, strict=True))
    shuffler.shuffle(pairs)
    first, second = (np.array(arm) * factor for arm in zip(*pairs, strict=True))
    after = _ratio(first, second)

    assert after.value == pytest.approx(before.value)
    assert (after.low, after.high) == pytest.approx((before.low, before.high), rel=1e-6)
    assert after.p_value == pytest.approx(before.p_value)


@pytest.mark.parametrize(
    ("numerator", "denominator", "message"),
    [
        ([1.0, 2.0], [1.0], "both arms in every block; got 2 and 1 values"),
        ([], [], "at least 1 values"),
        ([1.0, 0.0], [1.0, 1.0], "numerator of a ratio must be above zero"),
        ([1.0, 1.0], [1.0, -2.0], "denominator of a ratio must be above zero"),
        ([1.0, math.nan], [1.0, 1.0], "must be finite"),
        ([1.0, 1.0], [math.inf, 1.0], "must be finite"),
    ],
)
def test_what_has_no_ratio_is_refused(numerator: list[float], denominator: list[float], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        _ratio(numerator, denominator)
