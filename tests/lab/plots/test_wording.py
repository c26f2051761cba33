from __future__ import annotations

import math

import numpy as np
import pytest

from perflab.lab.plots.wording import basis, batches_of, listed, sentence, settings_of, times, verb, verdict
from perflab.lab.statistics.ratio import Ratio, Verdict, paired_ratio


def ratio(*values: float) -> Ratio:
    return paired_ratio(values, [1.0] * len(values), rng=np.random.default_rng(1))


@pytest.mark.parametrize(
    ("factor", "text"),
    [
        (9.873, "9.87"),
        (5.5, "5.50"),
        (9.999, "10.0"),
        (12.34, "12.3"),
        (1_234.5, "1,234"),
        (0.0512, "0.0512"),
        (math.inf, "unbounded"),
        (0, "0"),
    ],
)
def test_factors_have_three_digits(factor: float, text: str) -> None:
    assert times(factor) == text


def test_one_block_has_no_interval() -> None:
    assert basis(1) == "one block, so no interval"
    assert basis(6) == "geometric mean of 6 blocks, 95% interval"


def test_settings_are_listed_up_to_a_limit() -> None:
    settings = [(1, 0.0), (10, 0.01), (100, 0.1), (500, 0.1), (900, 0.1)]
    assert listed(settings[:1]) == "single items"
    assert listed(settings) == "single items, batches of 10 at 10.0 ms, batches of 100 at 100 ms and 2 more"
    assert (settings_of(1), settings_of(25)) == ("1 setting", "25 settings")
    assert (verb(1, "has", "have"), verb(2, "has", "have")) == ("has", "have")
    assert sentence(batches_of(5_000)) == "Batches of 5,000"
    assert sentence("") == ""


def test_with_few_blocks_the_interval_that_is_drawn_decides() -> None:
    assert verdict(ratio(4.0, 4.1, 4.2)) is Verdict.HIGHER
    assert verdict(ratio(0.4, 0.41, 0.42)) is Verdict.LOWER
    assert verdict(ratio(0.5, 1.0, 2.0)) is Verdict.NO_DIFFERENCE
    assert verdict(ratio(4.0)) is Verdict.NO_DIFFERENCE


def test_with_more_blocks_the_median_has_its_say() -> None:
    assert verdict(ratio(*[4.0, 4.1, 4.2] * 2)) is Verdict.HIGHER
    mixed = ratio(1.2, 1.2, 1.3, 1.2, 1.3, 1.2, 1.3, 0.99)
    assert verdict(mixed) is mixed.verdict
