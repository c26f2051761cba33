from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.errors import InvalidInput
from perflab.lab.statistics.inputs import FloatArray
from perflab.lab.statistics.warmup import WarmUp, compare_windows, confirmed_by_windows, first_alike_windows, mser5


def _settling(rng: np.random.Generator, *, warm: int, n: int = 400) -> FloatArray:
    """Times around 1 ms that start at three times that for `warm` samples."""
    return np.where(np.arange(n) < warm, 3e-3, 1e-3) * rng.lognormal(0, 0.05, n)


@pytest.mark.parametrize("warm", [5, 40, 120])
def test_a_slow_start_is_cut_off_and_little_more(warm: int) -> None:
    found = mser5(_settling(np.random.default_rng(1), warm=warm))

    assert found.steady
    assert found.drop is not None
    assert warm <= found.drop <= warm + 40


def test_a_slow_decay_is_cut_where_noise_takes_over() -> None:
    rng = np.random.default_rng(2)
    times = (1 + 4 * np.exp(-np.arange(600) / 30)) * rng.lognormal(0, 0.05, 600)
    found = mser5(times)

    assert found.drop is not None
    assert 60 <= found.drop <= 250


def test_a_steady_series_rarely_loses_much() -> None:
    rng = np.random.default_rng(3)
    drops = [mser5(rng.lognormal(0, 0.1, 400)).drop for _ in range(200)]

    assert sum(drop is None or drop > 100 for drop in drops) <= 30
    assert sum(drop is None for drop in drops) <= 10


def test_a_series_that_never_settles_has_no_steady_state() -> None:
    found = mser5(np.linspace(1, 2, 400))

    assert not found.steady
    assert "still changed after half of 400 samples" in found.reason


def test_a_late_change_of_level_has_no_steady_state() -> None:
    assert mser5(_settling(np.random.default_rng(4), warm=300)).drop is None


@given(st.floats(1e-9, 1e9), st.integers(50, 2000))
def test_a_constant_series_is_steady_from_the_start(value: float, n: int) -> None:
    assert mser5(np.full(n, value)).drop == 0


def test_few_samples_are_too_few_to_tell() -> None:
    found = mser5(np.ones(49))

    assert found.drop is None
    assert found.reason == "No steady state can be told from 49 samples: 50 are needed."


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(0, 150), st.floats(1e-6, 1e6))
def test_the_unit_does_not_matter(seed: int, warm: int, factor: float) -> None:
    times = _settling(np.random.default_rng(seed), warm=warm)

    assert mser5(times * factor).drop == mser5(times).drop


def test_windows_with_the_same_values_are_alike() -> None:
    window = np.random.default_rng(5).lognormal(0, 0.05, 20)
    window[0] = np.median(window)

    assert compare_windows(np.tile(window, 2), 0).alike


def test_windows_name_what_differs() -> None:
    window = np.random.default_rng(6).lognormal(0, 0.05, 20)
    window[0] = np.median(window)

    assert compare_windows(np.concatenate([1.2 * window, window]), 0).differences == (
        "mean",
        "spread",
        "lower quartile",
        "upper quartile",
    )
    outlier = np.tile(window, 2)
    outlier[0] = 2.0
    assert compare_windows(outlier, 0).differences == ("first value",)


def test_the_first_value_does_not_vouch_for_itself() -> None:
    # the upper quartile of the other 39 is 1.05, which puts 1.2 outside; with it among them it would be 1.1
    others = [1.0] * 29 + [1.1] * 10

    assert "first value" in compare_windows([1.2, *others], 0).differences


def test_windows_of_equal_times_are_alike() -> None:
    assert compare_windows(np.ones(40), 0).alike


def test_the_first_alike_windows_lie_after_the_warm_up() -> None:
    times = _settling(np.random.default_rng(7), warm=30, n=300)
    found = first_alike_windows(times)

    assert found is not None
    assert found >= 30
    assert compare_windows(times, found).alike


def test_a_series_that_keeps_falling_has_no_alike_windows() -> None:
    assert first_alike_windows(np.geomspace(1, 1e-6, 300)) is None


def test_the_search_ends_at_its_limit() -> None:
    times = np.concatenate([np.geomspace(1000, 1, 100), np.ones(100)])

    assert first_alike_windows(times) is not None
    assert first_alike_windows(times, limit=100) is None


def test_windows_must_fit() -> None:
    with pytest.raises(InvalidInput, match="Two windows of 20 do not fit into 50 samples from 11 on"):
        compare_windows(np.ones(50), 11)
    with pytest.raises(InvalidInput, match="do not fit"):
        compare_windows(np.ones(50), -1)


def test_broken_samples_are_refused() -> None:
    with pytest.raises(InvalidInput, match="finite"):
        mser5([1.0, math.nan])
    with pytest.raises(InvalidInput, match="above zero"):
        compare_windows(np.zeros(50), 0)


def test_two_rules_agree_on_a_steady_end_and_not_on_a_restless_one() -> None:
    rng = np.random.default_rng(8)
    settled = np.concatenate([np.linspace(3, 1, 30), np.ones(200)]) * rng.lognormal(0, 0.01, 230)
    found = mser5(settled)
    assert found.drop is not None
    assert confirmed_by_windows(settled, found) is True
    growing = np.geomspace(1, 50, 230)  # each window is slower than the one before
    assert confirmed_by_windows(growing, WarmUp(0, "as if it were steady")) is False


def test_what_is_not_steady_or_too_short_is_not_confirmed() -> None:
    assert confirmed_by_windows(np.ones(100), WarmUp(None, "never steady")) is None
    assert confirmed_by_windows(np.ones(60), WarmUp(25, "35 are left")) is None
