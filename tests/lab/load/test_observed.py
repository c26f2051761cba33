from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from perflab.lab.load.observed import Observed, by_window, histogram_of, merged, together
from perflab.lab.statistics.percentiles import histogram_percentile, percentile


def test_a_percentile_of_merged_histograms_is_that_of_all_samples() -> None:
    rng = np.random.default_rng(13)
    fast, slow = rng.exponential(0.001, 4_000), rng.exponential(0.1, 1_000)
    together_ = merged([histogram_of(fast), histogram_of(slow)])
    for fraction in (0.5, 0.9, 0.99):
        exact = percentile([*fast, *slow], fraction).estimate
        found = histogram_percentile(together_, fraction).estimate
        assert exact is not None
        assert found is not None
        for name in ("value", "low", "high"):
            assert getattr(found, name) == pytest.approx(getattr(exact, name), rel=1 / 128), (fraction, name)
        assert found.n == 5_000
    assert together_.maximum == max(*fast, *slow)


def test_a_histogram_with_too_few_samples_has_no_percentile() -> None:
    for count, known in ((999, False), (1_000, True)):
        reading = histogram_percentile(histogram_of(np.ones(count)), 0.99)
        assert (reading.estimate is not None) is known
        assert ("needs 1,000 samples; there are 999" in reading.reason) is not known


def test_times_stand_in_the_window_of_their_intended_moment() -> None:
    windows = by_window(np.array([0.5, 1.0, 1.9, 2.0, 9.0]), np.array([9.0, 1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0]))
    assert [window.counts.total() for window in windows] == [2, 2]  # 0.5 is of the warm-up
    assert [window.maximum for window in windows] == [2.0, 4.0]


def test_what_several_processes_saw_adds_up() -> None:
    one = Observed(
        [histogram_of(np.array([1.0]))],
        service=histogram_of(np.array([1.0])),
        lag=histogram_of(np.array([0.1])),
        sent=3,
        unsent=1,
        done=Counter(enqueue=2),
        failed=Counter(TransientError=1),
        first_errors={"TransientError": "busy"},
        checksum=7,
        measured=1,
        last_end=4.0,
    )
    two = Observed([histogram_of(np.array([3.0]))], sent=1, done=Counter(enqueue=1), last_end=5.0)
    total = together([one, two])
    assert (total.sent, total.unsent, total.measured, total.checksum, total.last_end) == (4, 1, 1, 7, 5.0)
    assert (total.done, total.failed) == (Counter(enqueue=3), Counter(TransientError=1))
    assert total.first_errors == {"TransientError": "busy"}
    assert (total.response.counts.total(), total.response.maximum) == (2, 3.0)
    assert total.service.counts.total() == 1
