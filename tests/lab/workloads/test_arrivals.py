from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.errors import InvalidInput
from perflab.lab.workloads.arrivals import (
    Offsets,
    constant,
    index_of_dispersion,
    interarrival_cv,
    on_off,
    peak_rate,
    poisson,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from perflab.lab.workloads.trace import TraceEvent

rates = st.floats(0.01, 500)
durations = st.floats(0.01, 20)
seeds = st.integers(0, 2**32)


def generate(kind: str, rate: float, duration: float, seed: int | np.random.Generator) -> Offsets:
    if kind == "poisson":
        return poisson(rate, duration, seed=seed)
    if kind == "on_off":
        return on_off(rate, duration, on_seconds=duration / 7, off_seconds=duration / 5, seed=seed)
    return constant(rate, duration)


kinds = st.sampled_from(["poisson", "on_off", "constant"])


@given(kind=kinds, rate=rates, duration=durations, seed=seeds)
def test_offsets_are_sorted_and_within_the_duration(kind: str, rate: float, duration: float, seed: int) -> None:
    offsets = generate(kind, rate, duration, seed)
    assert offsets.dtype == np.float64
    assert offsets.ndim == 1
    assert (np.diff(offsets) >= 0).all()
    assert ((offsets >= 0) & (offsets < duration)).all()


@given(kind=kinds, rate=rates, duration=durations, seed=seeds)
def test_a_seed_and_a_generator_from_it_give_the_same(kind: str, rate: float, duration: float, seed: int) -> None:
    first = generate(kind, rate, duration, seed)
    assert np.array_equal(first, generate(kind, rate, duration, seed))
    assert np.array_equal(first, generate(kind, rate, duration, np.random.default_rng(seed)))


@pytest.mark.parametrize("kind", ["poisson", "on_off"])
def test_another_seed_gives_other_arrivals(kind: str) -> None:
    assert not np.array_equal(generate(kind, 100, 10, 1), generate(kind, 100, 10, 2))


def test_poisson_has_the_rate_and_the_dispersion_of_poisson() -> None:
    offsets = poisson(50, 4_000, seed=13)
    # 200,000 expected, standard deviation 447; dispersion of 40,000 windows: standard deviation sqrt(2 / 40,000).
    assert len(offsets) == pytest.approx(200_000, abs=5 * 447)
    assert index_of_dispersion(offsets, 0.1) == pytest.approx(1, abs=5 * math.sqrt(2 / 40_000))
    assert interarrival_cv(offsets) == pytest.approx(1, abs=0.02)


def test_constant_is_a_steady_beat() -> None:
    offsets = constant(4, 2.6)
    assert offsets.tolist() == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.25, 2.5]
    assert interarrival_cv(offsets) == pytest.approx(0, abs=1e-12)
    assert index_of_dispersion(constant(100, 60), 1.0) == 0


def test_bursts_have_the_mean_rate_and_the_dispersion_of_their_process() -> None:
    rate, on, off, duration = 20.0, 1.0, 3.0, 100_000.0
    offsets = on_off(rate, duration, on_seconds=on, off_seconds=off, seed=13)
    assert len(offsets) / duration == pytest.approx(rate * on / (on + off), rel=0.03)
    limit = 1 + 2 * rate * on * off**2 / (on + off) ** 2
    assert index_of_dispersion(offsets, 200.0) == pytest.approx(limit, rel=0.25)
    assert peak_rate(offsets, 0.5) > 1.5 * rate


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize(
    "call",
    [
        lambda bad: poisson(bad, 1, seed=1),
        lambda bad: poisson(1, bad, seed=1),
        lambda bad: constant(bad, 1),
        lambda bad: constant(1, bad),
        lambda bad: on_off(1, 1, on_seconds=bad, off_seconds=1, seed=1),
        lambda bad: on_off(1, 1, on_seconds=1, off_seconds=bad, seed=1),
        lambda bad: index_of_dispersion(np.array([0.0]), bad),
        lambda bad: peak_rate(np.array([0.0]), bad),
    ],
)
def test_numbers_that_are_not_positive_are_refused(call: Callable[[float], object], bad: float) -> None:
    with pytest.raises(InvalidInput, match="positive, finite"):
        call(bad)


def test_dispersion_by_hand() -> None:
    offsets = np.array([0.0, 0.5, 2.0])  # 2, 0 and 1 arrivals in three windows: mean 1, variance 2/3
    assert index_of_dispersion(offsets, 1.0) == pytest.approx(2 / 3)
    assert peak_rate(offsets, 1.0) == 2.0
    assert interarrival_cv(offsets) == pytest.approx(0.5)  # gaps 0.5 and 1.5


@given(offsets=st.lists(st.floats(0, 100), min_size=1, max_size=60).map(sorted), window=st.floats(0.5, 30))
def test_dispersion_agrees_with_counting_every_window(offsets: list[float], window: float) -> None:
    arrivals = np.array(offsets)
    windows = np.floor(np.round(arrivals / window, 6)).astype(int)
    counts = np.bincount(windows)
    assert index_of_dispersion(arrivals, window) == pytest.approx(counts.var() / counts.mean())
    assert peak_rate(arrivals, window) == pytest.approx(counts.max() / window)


@given(speed_up=st.floats(0.1, 1e6))
def test_a_speed_up_does_not_change_the_dispersion(speed_up: float) -> None:
    minutes = np.repeat(np.arange(500.0), np.arange(500) % 7) * 60
    assert index_of_dispersion(minutes / speed_up, 60 / speed_up) == pytest.approx(index_of_dispersion(minutes, 60))


def test_a_window_of_a_millisecond_over_a_year_is_no_burden() -> None:
    year_seconds = 365 * 86_400.0
    assert index_of_dispersion(np.array([0.0, year_seconds]), 0.001) == pytest.approx(1, abs=1e-6)


def test_no_arrivals_cannot_be_described() -> None:
    with pytest.raises(InvalidInput, match="no arrivals"):
        index_of_dispersion(np.empty(0), 1.0)
    for few in ([], [1.0], [2.0, 2.0]):
        with pytest.raises(InvalidInput, match="no time between"):
            interarrival_cv(np.array(few))


def test_the_year_of_flights_is_bursty(year_jobs: tuple[TraceEvent, ...]) -> None:
    offsets = np.array([(event.at - year_jobs[0].at).total_seconds() for event in year_jobs])
    assert index_of_dispersion(offsets, 60) == pytest.approx(4.68, abs=0.005)
    assert index_of_dispersion(offsets, 900) == pytest.approx(7.05, abs=0.05)
    assert peak_rate(offsets, 60) * 60 == pytest.approx(28)
