from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.errors import InvalidInput
from perflab.lab.arrivals_model import Arrivals, predict_latency, smallest_stable_batch

RATE = 1000.0


@dataclass(frozen=True, slots=True)
class _Simulated:
    mean_batch: float
    batch_variance: float
    full_share: float
    delay_seconds: float
    window_variation: float
    flush_seconds: float
    latency_seconds: float


def _simulate(arrivals: Arrivals, *, alpha: float, beta: float, items: int = 300_000) -> _Simulated:
    """One writer that flushes windows in order, item by item as the docstring of the model says."""
    times = np.cumsum(np.random.default_rng(22).exponential(1 / arrivals.rate_per_second, items)).tolist()
    batches, closings, delays, latencies, flushes = [], [], 0.0, 0.0, 0.0
    full = start = 0
    free_at = 0.0
    while start + arrivals.batch_size <= items:
        deadline = times[start] + arrivals.flush_interval_seconds
        stop = start + 1
        while stop < start + arrivals.batch_size and times[stop] <= deadline:
            stop += 1
        is_full = stop - start == arrivals.batch_size
        closing = times[stop - 1] if is_full else deadline
        flush_seconds = alpha + beta * (stop - start)
        free_at = max(closing, free_at) + flush_seconds
        for arrival in times[start:stop]:
            delays += closing - arrival
            latencies += free_at - arrival
            flushes += flush_seconds
        full += is_full
        batches.append(stop - start)
        closings.append(closing)
        start = stop
    gaps = np.diff(closings)
    return _Simulated(
        mean_batch=float(np.mean(batches)),
        batch_variance=float(np.var(batches)),
        full_share=full / len(batches),
        delay_seconds=delays / start,
        window_variation=float(gaps.var() / gaps.mean() ** 2),
        flush_seconds=flushes / start,
        latency_seconds=latencies / start,
    )


@pytest.mark.parametrize(
    ("batch_size", "interval_seconds", "alpha"),
    [(10, 1.0, 1e-3), (100, 0.010, 2e-3), (10, 0.010, 2e-3), (50, 0.050, 10e-3), (1, 0.010, 0.3e-3)],
)
def test_formulas_agree_with_a_simulation(batch_size: int, interval_seconds: float, alpha: float) -> None:
    arrivals = Arrivals(RATE, batch_size, interval_seconds)
    simulated = _simulate(arrivals, alpha=alpha, beta=0.1e-3)
    predicted = predict_latency(arrivals, alpha=alpha, beta=0.1e-3)

    assert arrivals.mean_batch == pytest.approx(simulated.mean_batch, rel=0.01)
    assert arrivals.batch_variance == pytest.approx(simulated.batch_variance, rel=0.05, abs=0.05)
    assert arrivals.size_trigger_share == pytest.approx(simulated.full_share, abs=0.03)
    assert arrivals.batching_delay_seconds == pytest.approx(simulated.delay_seconds, rel=0.02, abs=1e-9)
    assert arrivals.window_variation == pytest.approx(simulated.window_variation, rel=0.1)
    assert predicted.flush_seconds == pytest.approx(simulated.flush_seconds, rel=0.01)
    assert predicted.utilisation < 0.45
    assert predicted.mean_latency_seconds == pytest.approx(simulated.latency_seconds, rel=0.03)


@pytest.mark.parametrize(("batch_size", "interval_seconds", "alpha"), [(10, 1.0, 7e-3), (50, 0.050, 30e-3)])
def test_under_load_the_prediction_errs_a_little_on_the_high_side(
    batch_size: int, interval_seconds: float, alpha: float
) -> None:
    arrivals = Arrivals(RATE, batch_size, interval_seconds)
    simulated = _simulate(arrivals, alpha=alpha, beta=0.1e-3)
    predicted = predict_latency(arrivals, alpha=alpha, beta=0.1e-3)

    assert 0.7 < predicted.utilisation < 0.85
    assert 0.99 < predicted.mean_latency_seconds / simulated.latency_seconds < 1.10


def test_the_queue_of_single_items_is_exact() -> None:
    # batches of one make an M/D/1 queue
    predicted = predict_latency(Arrivals(RATE, 1, 0.0), alpha=0.8e-3, beta=0.0)

    assert predicted.queue_seconds == pytest.approx(0.8 / 0.2 / 2 * 0.8e-3)


def test_batches_of_different_sizes_scatter_the_flush_times() -> None:
    arrivals = Arrivals(RATE, 1000, 0.005)
    predicted = predict_latency(arrivals, alpha=0.5e-3, beta=0.7e-3)
    service = 0.5e-3 + 0.7e-3 * arrivals.mean_batch
    service_variation = 0.7e-3**2 * arrivals.batch_variance / service**2
    load = predicted.utilisation / (1 - predicted.utilisation)

    assert service_variation > 0.1
    assert predicted.queue_seconds == pytest.approx(
        load * (arrivals.window_variation + service_variation) / 2 * service
    )


@given(st.integers(1, 200), st.floats(1.0, 1e5))
def test_full_windows_follow_the_size_formulas(batch_size: int, rate: float) -> None:
    arrivals = Arrivals(rate, batch_size, math.inf)

    assert arrivals.mean_batch == batch_size
    assert arrivals.size_trigger_share == 1
    assert arrivals.batch_variance == pytest.approx(0, abs=1e-6)
    assert arrivals.batching_delay_seconds == pytest.approx((batch_size - 1) / (2 * rate))
    assert arrivals.window_variation == pytest.approx(1 / batch_size)


@given(st.floats(1e-3, 1.0), st.floats(1.0, 100.0))
def test_timed_windows_follow_the_timer_formulas(interval_seconds: float, rate: float) -> None:
    arrivals = Arrivals(rate, 10_000, interval_seconds)
    expected = rate * interval_seconds

    assert arrivals.mean_batch == pytest.approx(1 + expected)
    assert arrivals.batch_variance == pytest.approx(expected)
    delay = (interval_seconds + expected * interval_seconds / 2) / (1 + expected)
    assert arrivals.batching_delay_seconds == pytest.approx(delay)
    assert arrivals.window_variation == pytest.approx((1 / rate) ** 2 / (1 / rate + interval_seconds) ** 2)


@given(st.integers(1, 100), st.floats(0, 1.0), st.floats(1.0, 1e4))
def test_a_batch_has_one_item_at_least_and_its_size_at_most(batch_size: int, interval: float, rate: float) -> None:
    arrivals = Arrivals(rate, batch_size, interval)

    assert 1 <= arrivals.mean_batch <= batch_size * (1 + 1e-12)
    assert 0 <= arrivals.size_trigger_share <= 1
    assert 0 <= arrivals.batching_delay_seconds <= interval * (1 + 1e-9)


def test_flushing_at_once_does_not_batch() -> None:
    arrivals = Arrivals(RATE, 100, 0.0)

    assert (arrivals.mean_batch, arrivals.batching_delay_seconds) == (1, 0)


def test_too_small_batches_are_unstable() -> None:
    needed = smallest_stable_batch(RATE, alpha=2e-3, beta=0.5e-3)
    assert needed == pytest.approx(4)

    for batch_size, stable in ((4, False), (5, True)):
        predicted = predict_latency(Arrivals(RATE, batch_size, math.inf), alpha=2e-3, beta=0.5e-3)
        assert predicted.stable is stable
        assert math.isfinite(predicted.mean_latency_seconds) is stable


def test_no_batch_is_large_enough_when_items_alone_fill_the_writer() -> None:
    assert smallest_stable_batch(RATE, alpha=1e-3, beta=1e-3) == math.inf


def test_scattered_flush_times_lengthen_the_queue() -> None:
    arrivals = Arrivals(RATE, 10, math.inf)
    even = predict_latency(arrivals, alpha=5e-3, beta=0.1e-3)
    scattered = predict_latency(arrivals, alpha=5e-3, beta=0.1e-3, flush_variation=1.0)

    assert scattered.queue_seconds > 5 * even.queue_seconds
    assert scattered.delay_seconds == even.delay_seconds


@pytest.mark.parametrize(
    ("rate", "batch_size", "interval", "message"),
    [
        (0.0, 1, 1.0, "rate_per_second"),
        (math.nan, 1, 1.0, "rate_per_second"),
        (1.0, 0, 1.0, "batch_size must be at least 1"),
        (1.0, 1, -0.1, "flush_interval_seconds must not be negative"),
        (1.0, 1, math.nan, "flush_interval_seconds"),
    ],
)
def test_impossible_arrivals_are_refused(rate: float, batch_size: int, interval: float, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Arrivals(rate, batch_size, interval)


def test_impossible_costs_are_refused() -> None:
    arrivals = Arrivals(RATE, 10, 0.01)
    with pytest.raises(InvalidInput, match="not negative and not both zero"):
        predict_latency(arrivals, alpha=-1e-3, beta=1e-3)
    with pytest.raises(InvalidInput, match="not negative and not both zero"):
        smallest_stable_batch(RATE, alpha=0, beta=0)
    with pytest.raises(InvalidInput, match="flush_variation"):
        predict_latency(arrivals, alpha=1e-3, beta=1e-3, flush_variation=-1)
