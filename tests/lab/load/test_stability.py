from __future__ import annotations

import numpy as np
import pytest

from perflab.lab.load.stability import Stability, judge_stability

MOMENTS = np.linspace(0, 10, 20)


def judge(responses: np.ndarray, *, late: float = 0.0, unsent: int = 0) -> Stability:
    return judge_stability(MOMENTS.tolist(), responses.tolist(), length_seconds=10.0, late_seconds=late, unsent=unsent)


@pytest.mark.parametrize("missing", [0.02, 0.1, 2.0])
def test_the_slope_is_what_the_capacity_lacks(missing: float) -> None:
    noise = np.random.default_rng(13).normal(0, 0.002, 20)
    found = judge(0.010 + missing * MOMENTS + noise)
    assert not found.stable
    assert found.slope == pytest.approx(missing, rel=0.05)
    assert "grew by" in found.reason


def test_noise_around_a_level_is_stable() -> None:
    rng = np.random.default_rng(13)
    verdicts = [judge(0.010 + rng.normal(0, 0.005, 20)) for _ in range(500)]
    assert all(verdict.stable for verdict in verdicts)


def test_a_slope_that_may_be_chance_is_stable() -> None:
    """Responses that scatter by 0.15 s have slopes above the bound in every fifth run, and are called so in few."""
    rng = np.random.default_rng(13)
    found = [judge(1.0 + rng.normal(0, 0.15, 20)) for _ in range(1_000)]
    assert sum(verdict.slope > 0.01 for verdict in found) > 150
    assert sum(not verdict.stable for verdict in found) < 50  # 25 are expected


def test_a_slow_drift_is_no_overload() -> None:
    """A table that grows makes each insert a little slower; that is no backlog."""
    found = judge(0.010 + 0.0005 * MOMENTS)
    assert found.slope_low > 0
    assert found.stable


def test_one_stall_in_the_middle_that_is_worked_off_is_stable() -> None:
    responses = np.full(20, 0.010)
    responses[9:12] = [0.8, 0.4, 0.1]
    assert judge(responses).stable


def test_a_late_end_and_lost_items_are_overload() -> None:
    level = np.full(20, 0.010)
    assert judge(level, late=0.99).stable
    assert "1.01 s after the schedule" in judge(level, late=1.01).reason
    assert "3 items" in judge(level, unsent=3).reason


def test_too_few_windows_leave_the_end_to_judge() -> None:
    assert judge_stability([1.0], [5.0], length_seconds=10.0, late_seconds=0.0).stable
    assert not judge_stability([1.0], [5.0], length_seconds=10.0, late_seconds=5.0).stable
