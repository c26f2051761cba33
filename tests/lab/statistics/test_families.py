from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.errors import InvalidInput
from perflab.lab.statistics.families import holm


def test_the_worked_example() -> None:
    # Holm 1979: 0.01 * 4, 0.02 * 3 (below which 0.03 * 2 may not be), 0.04 * 1 raised to the one before it
    assert holm([0.04, 0.01, 0.03, 0.02]).tolist() == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_one_false_claim_in_a_family_is_as_rare_as_promised() -> None:
    rng = np.random.default_rng(4)
    families = rng.uniform(size=(4_000, 8))
    assert np.mean([holm(family).min() < 0.05 for family in families]) == pytest.approx(0.05, abs=0.011)
    assert np.mean(families.min(axis=1) < 0.05) > 0.3  # without it


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_the_order_stays_and_nothing_gets_surer(p_values: list[float]) -> None:
    raised = holm(p_values)
    assert (raised >= np.array(p_values)).all()
    assert (raised <= 1).all()
    assert (np.diff(raised[np.argsort(p_values, kind="stable")]) >= 0).all()
    assert raised.min() == min(1, min(p_values) * len(p_values))


@pytest.mark.parametrize("wrong", [[], [1.1], [-0.1], [float("nan")]])
def test_what_is_no_p_value_is_refused(wrong: list[float]) -> None:
    with pytest.raises(InvalidInput, match="p-value"):
        holm(wrong)
