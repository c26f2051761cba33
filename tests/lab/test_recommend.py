from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.errors import InvalidInput
from perflab.lab.recommend import GridPoint, NoRecommendation, Recommendation, recommend

SIZES = [2**power for power in range(11)]
HALF_BATCH = 20.0
LIMIT = 100_000.0


def _grid(
    rng: np.random.Generator,
    *,
    noise: float = 0.01,
    blocks: int = 10,
    intervals: tuple[float, ...] = (0.001, 0.010),
    half_batch: float = HALF_BATCH,
) -> list[GridPoint]:
    """Throughput of a line cost model and a p99 that grows with interval and batch; blocks differ by 10 %."""
    effects = np.exp(0.1 * rng.normal(size=blocks))
    return [
        GridPoint(
            size,
            interval,
            tuple((LIMIT * size / (size + half_batch) * effects * np.exp(noise * rng.normal(size=blocks))).tolist()),
            tuple(((interval + size * 100e-6) * np.exp(0.02 * rng.normal(size=blocks))).tolist()),
            float(size),
            stable=True,
        )
        for size in SIZES
        for interval in intervals
    ]


def _point(
    batch_size: int, throughputs: tuple[float, ...], *, p99: float = 0.001, interval: float = 0.01, stable: bool = True
) -> GridPoint:
    return GridPoint(batch_size, interval, throughputs, (p99,) * len(throughputs), float(batch_size), stable)


def _recommended(points: list[GridPoint], target_seconds: float = 1.0, *, seed: int = 1) -> Recommendation:
    result = recommend(points, target_seconds, rng=np.random.default_rng(seed))
    assert isinstance(result, Recommendation)
    return result


def test_the_smallest_batch_within_one_standard_error_is_chosen() -> None:
    best = (100.0, 110.0, 90.0, 104.0)
    # behind the best by 0.5 % on average, and by more or less from block to block
    near = tuple(rate * lag for rate, lag in zip(best, (0.98, 1.01, 0.985, 1.005), strict=True))
    # behind by 2 % in every block: little, but certain
    behind = tuple(rate * 0.98 for rate in best)
    points = [_point(64, best), _point(32, near), _point(16, behind), _point(1, (1.0,) * 4)]

    result = _recommended(points)

    assert result.batch_size == 32
    assert result.reason == (
        "The choice is the smallest batch within one standard error of the highest throughput "
        "(64 items or after 10.0 ms) among the 4 of 4 measured settings that meet the target."
    )


@pytest.mark.parametrize(("lag_in_standard_errors", "batch_size"), [(0.9, 32), (1.1, 64)])
def test_one_standard_error_is_that_of_the_paired_lags(lag_in_standard_errors: float, batch_size: int) -> None:
    scatter = 0.03
    standard_error = scatter * math.sqrt(4 / 3) / math.sqrt(4)
    lags = np.array([1, -1, 1, -1]) * scatter + lag_in_standard_errors * standard_error
    # blocks differ by far more than the lags
    best = np.array([100.0, 300.0, 20.0, 50.0])
    points = [_point(64, tuple(best.tolist())), _point(32, tuple((best * np.exp(-lags)).tolist()))]

    result = _recommended(points)

    assert result.batch_size == batch_size
    assert 0.05 < result.selection_frequency < 0.95


def test_points_that_differ_by_rounding_are_equal() -> None:
    assert _recommended([_point(64, (0.1 + 0.2,) * 4), _point(32, (0.3,) * 4)]).batch_size == 32


def test_a_near_best_point_that_misses_the_target_is_passed_over() -> None:
    rates = (100.0, 101.0, 99.0)
    points = [_point(16, rates, p99=0.05), _point(32, rates), _point(64, rates)]

    assert _recommended(points, 0.01).batch_size == 32


def test_equal_batches_are_decided_by_the_shorter_interval() -> None:
    rates = (100.0, 101.0, 99.0)
    points = [_point(8, rates, interval=interval) for interval in (0.02, 0.005, 0.01)]

    assert _recommended(points).flush_interval_seconds == 0.005


def test_the_upper_bound_of_the_p99_must_meet_the_target() -> None:
    scattered = GridPoint(64, 0.01, (200.0,) * 4, (0.008, 0.012, 0.007, 0.011), 64.0, stable=True)
    certain = _point(8, (100.0,) * 4, p99=0.0099)
    assert scattered.p99.value < 0.01 < scattered.p99.high

    assert _recommended([scattered, certain], 0.01).batch_size == 8
    assert _recommended([scattered, certain], 0.02).batch_size == 64


@pytest.mark.parametrize("blocks", range(2, 20))
def test_a_bound_equal_to_the_target_meets_it(blocks: int) -> None:
    assert _recommended([_point(8, (100.0,) * blocks, p99=0.02)], 0.02).batch_size == 8


def test_unstable_points_are_never_recommended() -> None:
    points = [_point(64, (900.0,) * 3, stable=False), _point(8, (100.0,) * 3)]

    assert _recommended(points).batch_size == 8


@pytest.mark.parametrize("target_seconds", [0.005, 0.02, 0.05, math.inf])
def test_a_noisy_grid_leads_to_a_setting_that_is_truly_good(target_seconds: float) -> None:
    rng = np.random.default_rng(20_260_109)
    for _ in range(20):
        result = _recommended(_grid(rng), target_seconds)
        allowed = [size for size in SIZES if 0.001 + size * 100e-6 <= target_seconds]
        best = max(size / (size + HALF_BATCH) for size in allowed)

        assert result.flush_interval_seconds + result.batch_size * 100e-6 <= target_seconds
        assert result.batch_size / (result.batch_size + HALF_BATCH) >= 0.97 * best
        assert result.p99.high <= target_seconds


def test_a_clear_choice_is_chosen_in_all_resamples() -> None:
    rng = np.random.default_rng(2)
    result = _recommended(_grid(rng, noise=0.002, intervals=(0.001,)), 0.02)

    assert result.batch_size == 128
    assert result.selection_frequency == 1
    assert result.batch_size_range == (128, 128)
    assert result.expected_regret == 0
    assert [point.batch_size for point in result.indifference_set] == [128]
    assert not result.flat_optimum
    assert "Only batches of 128 items are within 2% of the best for certain." in result.describe()


def test_a_flat_optimum_is_called_flat() -> None:
    result = _recommended(_grid(np.random.default_rng(3), half_batch=0.2, noise=0.002, intervals=(0.001,)))

    assert result.flat_optimum
    assert {16, 512} <= {point.batch_size for point in result.indifference_set}
    assert 1 not in {point.batch_size for point in result.indifference_set}
    assert "Flat optimum: settings from " in result.describe()


def test_much_noise_is_admitted() -> None:
    rng = np.random.default_rng(20_260_111)
    results = [_recommended(_grid(rng, noise=0.2, blocks=4)) for _ in range(20)]

    assert np.mean([result.selection_frequency for result in results]) < 0.8
    assert np.mean([result.expected_regret for result in results]) > 0.01
    assert all(result.batch_size_range[0] <= result.batch_size <= result.batch_size_range[1] for result in results)
    assert any(result.batch_size_range[1] >= 4 * result.batch_size_range[0] for result in results)
    assert "so few blocks make this look surer than it is" in results[0].describe()


def test_points_in_the_indifference_set_lose_little() -> None:
    rng = np.random.default_rng(20_260_110)
    for _ in range(20):
        result = _recommended(_grid(rng), 0.06)

        # the best that is allowed is 512 items, with 96.2 % of the limit
        for point in result.indifference_set:
            share = point.batch_size / (point.batch_size + HALF_BATCH)
            assert 1 - share / (512 / 532) <= 0.02 + 0.01


def test_the_gain_over_unbatched_is_paired_with_the_best_baseline() -> None:
    points = [
        _point(1, (10.0, 20.0, 40.0), interval=0.0),
        _point(1, (5.0, 10.0, 20.0), interval=0.01),
        _point(64, (100.0, 200.0, 400.0)),
    ]
    gain = _recommended(points).gain_over_unbatched

    assert gain is not None
    assert (gain.low, gain.value, gain.high) == pytest.approx((10, 10, 10))
    assert "That is 10.0 [10.0, 10.0] times the unbatched throughput." in _recommended(points).describe()


def test_a_baseline_that_could_not_keep_up_still_counts() -> None:
    points = [_point(1, (10.0, 20.0), stable=False), _point(64, (100.0, 200.0))]
    gain = _recommended(points).gain_over_unbatched

    assert gain is not None
    assert gain.value == pytest.approx(10)


def test_without_a_baseline_no_gain_is_claimed() -> None:
    assert _recommended([_point(64, (100.0, 200.0))]).gain_over_unbatched is None
    assert _recommended([_point(1, (100.0, 200.0))]).gain_over_unbatched is None


def test_nothing_is_recommended_when_nothing_meets_the_target() -> None:
    points = _grid(np.random.default_rng(5))
    result = recommend(points, 0.0005, rng=np.random.default_rng(1))

    assert isinstance(result, NoRecommendation)
    assert result.fastest_p99 == points[0].p99
    assert result.describe().startswith("Nothing meets the target of 500 µs: the lowest p99 is 1.09 ms [1.08, 1.11]")
    assert "batch size 1, flush interval 0.001 s" in result.describe()


def test_nothing_is_recommended_when_nothing_kept_up() -> None:
    result = recommend([_point(8, (1.0,), stable=False)], 1.0, rng=np.random.default_rng(1))

    assert isinstance(result, NoRecommendation)
    assert result.fastest_p99 is None
    assert "no measured setting kept up" in result.describe()


def test_the_description_is_made_of_the_values() -> None:
    result = _recommended(_grid(np.random.default_rng(6)), 0.02)
    text = result.describe()

    assert text.startswith(f"Send at {result.batch_size} items or after 1.00 ms; flushes held ")
    assert "(target 20.0 ms)" in text
    assert result.reason in text
    assert "In 2,000 resamples of the 10 blocks this setting was chosen in " in text


@pytest.mark.parametrize(
    ("interval", "setting"),
    [(0.0, "8 items or at once what is there"), (math.inf, "8 items;"), (0.25, "8 items or after 250 ms")],
)
def test_a_flush_interval_is_said_in_words(interval: float, setting: str) -> None:
    assert _recommended([_point(8, (1.0, 1.1), interval=interval)]).describe().startswith(f"Send at {setting}")


def test_the_same_generator_gives_the_same_recommendation() -> None:
    points = _grid(np.random.default_rng(7), noise=0.05)

    assert _recommended(points, seed=3) == _recommended(points, seed=3)


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.floats(1e-3, 1e3), st.randoms(use_true_random=False))
def test_order_and_units_of_throughput_do_not_matter(seed: int, factor: float, shuffler: random.Random) -> None:
    points = _grid(np.random.default_rng(seed), blocks=6)
    before = _recommended(points, 0.03)
    scaled = [
        GridPoint(
            point.batch_size,
            point.flush_interval_seconds,
            tuple(rate * factor for rate in point.throughput_by_block),
            point.p99_seconds_by_block,
            point.mean_batch,
            point.stable,
        )
        for point in points
    ]
    shuffler.shuffle(scaled)
    after = _recommended(scaled, 0.03)

    assert (after.batch_size, after.flush_interval_seconds) == (before.batch_size, before.flush_interval_seconds)
    assert after.throughput.value == pytest.approx(before.throughput.value * factor)
    assert after.selection_frequency == pytest.approx(before.selection_frequency, abs=0.002)
    assert 0 <= after.expected_regret < 1


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([], "needs measured points; got none"),
        ([_point(8, (1.0, 2.0)), _point(8, (1.0, 2.0))], "same batch size and flush interval"),
        ([_point(8, (1.0, 2.0)), _point(9, (1.0, 2.0, 3.0))], "have 2 to 3 blocks"),
        ([_point(8, (1.0,))], "needs at least 2, better 8"),
    ],
)
def test_a_grid_that_cannot_be_compared_is_refused(points: list[GridPoint], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        recommend(points, 1.0, rng=np.random.default_rng(1))


@pytest.mark.parametrize("target", [0.0, -1.0, math.nan])
def test_a_target_is_above_zero(target: float) -> None:
    with pytest.raises(InvalidInput, match="latency target must be above zero"):
        recommend([_point(8, (1.0, 2.0))], target, rng=np.random.default_rng(1))
