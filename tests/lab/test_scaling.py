from __future__ import annotations

import numpy as np
import pytest

from perflab.errors import InvalidInput
from perflab.lab.scaling import ScalingModel, fit_scaling

WORKERS = (1, 2, 3, 4, 6, 8, 12, 16)
GAMMA = 1_000.0


def law(workers: float, contention: float, coherency: float) -> float:
    return GAMMA * workers / (1 + contention * (workers - 1) + coherency * workers * (workers - 1))


def fitted(contention: float, coherency: float, *, noise: float = 0.02, blocks: int = 8, seed: int = 1) -> ScalingModel:
    rng = np.random.default_rng(seed)
    rows = [
        (count, law(count, contention, coherency) * effect * rng.lognormal(0, noise), block)
        for block, effect in enumerate(rng.lognormal(0, 0.1, blocks))
        for count in WORKERS
    ]
    counts, rates, names = zip(*rows, strict=True)
    return fit_scaling(counts, rates, names)


def test_the_true_coefficients_are_found_without_noise() -> None:
    model = fitted(0.05, 0.005, noise=1e-9)
    assert model.contention.value == pytest.approx(0.05, rel=1e-3)
    assert model.coherency.value == pytest.approx(0.005, rel=1e-3)
    assert model.gamma.low < GAMMA < model.gamma.high
    assert model.peak == pytest.approx((0.95 / 0.005) ** 0.5, rel=1e-3)
    assert model.throughput(16) / model.throughput(1) == pytest.approx(law(16, 0.05, 0.005) / GAMMA, rel=1e-3)


def test_the_intervals_cover_the_truth() -> None:
    models = [fitted(0.05, 0.005, seed=seed) for seed in range(150)]
    for name, truth in (("contention", 0.05), ("coherency", 0.005)):
        covered = [getattr(model, name).low <= truth <= getattr(model, name).high for model in models]
        assert 0.89 <= np.mean(covered) <= 0.995


def test_a_peak_is_named_only_where_the_data_show_one() -> None:
    without = [fitted(0.2, 0.0, seed=seed) for seed in range(60)]
    assert sum(model.peak is not None for model in without) <= 6
    assert "no number of workers is known beyond which throughput falls: 16 do" in fitted(0.2, 0.0).describe()
    with_peak = fitted(0.05, 0.01)
    assert with_peak.peak == pytest.approx(9.75, rel=0.1)
    assert "throughput is highest near 10 workers, with" in with_peak.describe()


def test_perfect_scaling_has_no_waits() -> None:
    model = fitted(0.0, 0.0, noise=1e-9)
    assert model.throughput(16) == pytest.approx(16 * model.throughput(1))
    assert model.peak is None


def test_a_peak_beyond_what_was_measured_is_called_that() -> None:
    assert "workers, beyond the 16 measured" in fitted(0.02, 0.002, noise=0.001).describe()


@pytest.mark.parametrize(
    ("workers", "rates", "blocks", "message"),
    [
        ([1, 2, 4], [1.0, 2.0, 4.0], [0, 0, 0], "at least 6 different numbers of workers, got 3"),
        ([1, 2, 3, 4, 5, 6], [1.0] * 5, [0] * 6, "Every throughput needs a number of workers"),
        ([1, 2, 3, 4, 5, 6, 1], [1.0] * 7, [0] * 6 + [1], "Block 1 lacks a number of workers"),
        ([1, 2, 3, 4, 5, 6], [1.0, 1.0, 0.0, 1.0, 1.0, 1.0], [0] * 6, "Throughputs must be above zero"),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    workers: list[int], rates: list[float], blocks: list[int], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        fit_scaling(workers, rates, blocks)


def test_no_number_of_workers_is_below_one() -> None:
    with pytest.raises(InvalidInput, match="workers must be finite and above zero"):
        fitted(0.05, 0.005).throughput(0)
