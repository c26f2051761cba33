"""When operations are meant to arrive: sorted offsets in seconds from the start, from a generator.
Traces are read by `trace_file`.

These are intended times of an open loop. A load generator sends at them whatever the system under test does, and
counts latency from them, so that a stalled system cannot hide its queue (coordinated omission). "As fast as possible"
is a closed loop and has no offsets.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from perflab.errors import InvalidInput

Offsets: TypeAlias = NDArray[np.float64]
Seed: TypeAlias = int | np.random.Generator


def poisson(rate_per_second: float, duration_seconds: float, *, seed: Seed) -> Offsets:
    """Generate a Poisson process: arrivals independent of each other, as of very many unrelated clients.

    Given their number, the arrivals of a Poisson process are independent and uniform (Kingman, Poisson Processes,
    1993), so the number is drawn first.

    Returns:
        Sorted offsets in [0, duration_seconds); `rate_per_second * duration_seconds` of them on average.

    Raises:
        InvalidInput: A number is not positive and finite.
    """
    _require_positive(rate_per_second=rate_per_second, duration_seconds=duration_seconds)
    return _uniform_arrivals(rate_per_second, duration_seconds, np.random.default_rng(seed))


def constant(rate_per_second: float, duration_seconds: float) -> Offsets:
    """Generate one arrival every `1 / rate_per_second` seconds, the first at 0.

    Returns:
        Sorted offsets in [0, duration_seconds).

    Raises:
        InvalidInput: A number is not positive and finite.
    """
    _require_positive(rate_per_second=rate_per_second, duration_seconds=duration_seconds)
    offsets = np.arange(math.ceil(rate_per_second * duration_seconds), dtype=np.float64) / rate_per_second
    return offsets[offsets < duration_seconds]


def on_off(
    rate_per_second: float, duration_seconds: float, *, on_seconds: float, off_seconds: float, seed: Seed
) -> Offsets:
    """Generate bursts: Poisson arrivals at `rate_per_second` while on, none while off.

    The lengths of the phases are exponential, so this is the interrupted Poisson process, here from its steady state.
    Its mean rate is `rate * on / (on + off)`; its index of dispersion over long windows tends to
    `1 + 2 * rate * on * off**2 / (on + off)**2` (Fischer & Meier-Hellstern, The Markov-modulated Poisson process
    cookbook, 1993).

    Args:
        rate_per_second: Arrivals per second while on.
        duration_seconds: Length of the whole.
        on_seconds: Mean length of a burst.
        off_seconds: Mean length of a silence.
        seed: A seed or a generator.

    Returns:
        Sorted offsets in [0, duration_seconds). May be empty if no burst falls into it.

    Raises:
        InvalidInput: A number is not positive and finite.
    """
    _require_positive(
        rate_per_second=rate_per_second,
        duration_seconds=duration_seconds,
        on_seconds=on_seconds,
        off_seconds=off_seconds,
    )
    rng = np.random.default_rng(seed)
    bursts = [np.empty(0)]
    on = rng.random() < on_seconds / (on_seconds + off_seconds)
    start = 0.0
    while start < duration_seconds:
        end = start + rng.exponential(on_seconds if on else off_seconds)
        if on:
            bursts.append(start + _uniform_arrivals(rate_per_second, min(end, duration_seconds) - start, rng))
        start, on = end, not on
    return np.concatenate(bursts)


def index_of_dispersion(offsets_seconds: Offsets, window_seconds: float) -> float:
    """Variance over mean of the number of arrivals per window: 1 for Poisson, 0 for a steady beat, more for bursts.

    Source: Cox & Lewis, The Statistical Analysis of Series of Events, 1966. The windows begin at offset 0; the last one
    is that of the last arrival. Empty windows count. The variance is that of the population.

    Raises:
        InvalidInput: There are no arrivals, or the window is not positive and finite.
    """
    per_window = _arrivals_per_busy_window(offsets_seconds, window_seconds)
    windows = int(_window_of(offsets_seconds, window_seconds)[-1]) + 1
    mean = len(offsets_seconds) / windows
    variance = float(np.sum(per_window.astype(np.float64) ** 2)) / windows - mean**2
    return variance / mean


def peak_rate(offsets_seconds: Offsets, window_seconds: float) -> float:
    """Arrivals per second in the fullest window of that length; the windows begin at offset 0.

    Raises:
        InvalidInput: There are no arrivals, or the window is not positive and finite.
    """
    return float(_arrivals_per_busy_window(offsets_seconds, window_seconds).max()) / window_seconds


def interarrival_cv(offsets_seconds: Offsets) -> float:
    """Coefficient of variation of the times between arrivals: 1 for Poisson, 0 for a steady beat, more for bursts.

    Raises:
        InvalidInput: There are fewer than two arrivals, or all are at one instant.
    """
    gaps_seconds = np.diff(offsets_seconds)
    if not gaps_seconds.any():
        raise InvalidInput(
            f"{len(offsets_seconds)} arrivals have no time between them: two different arrival times are needed"
        )
    return float(np.std(gaps_seconds) / np.mean(gaps_seconds))


def _uniform_arrivals(rate_per_second: float, duration_seconds: float, rng: np.random.Generator) -> Offsets:
    count = rng.poisson(rate_per_second * duration_seconds)
    return np.sort(rng.random(count)) * duration_seconds


def _arrivals_per_busy_window(offsets_seconds: Offsets, window_seconds: float) -> NDArray[np.int64]:
    _require_positive(window_seconds=window_seconds)
    if not len(offsets_seconds):
        raise InvalidInput("there are no arrivals to describe")
    # Counting only the windows that hold something keeps a year in milliseconds as small as its arrivals.
    _, counts = np.unique(_window_of(offsets_seconds, window_seconds), return_counts=True)
    return counts.astype(np.int64)


def _window_of(offsets_seconds: Offsets, window_seconds: float) -> Offsets:
    # A speed-up divides both numbers; without rounding, a minute of the trace could fall just short of its own window.
    return np.floor(np.round(offsets_seconds / window_seconds, 6))


def _require_positive(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise InvalidInput(f"{name} must be a positive, finite number, got {value!r}")
