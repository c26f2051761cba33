from __future__ import annotations

import numpy as np
import pytest

from perflab.errors import InvalidInput
from perflab.lab.workloads.operation_mix import OperationMix, parse_mix

KNOWN = ("enqueue", "state", "insert")


def test_operations_come_by_their_weights() -> None:
    mix = parse_mix("enqueue=30, state", KNOWN)
    assert mix == OperationMix({"enqueue": 30.0, "state": 1.0})
    drawn = mix.draw(31_000, np.random.default_rng(13))
    assert set(drawn) == {0, 1}
    assert np.mean(drawn == 0) == pytest.approx(30 / 31, abs=0.005)
    assert str(mix) == "enqueue 97%, state 3%"
    assert drawn.tolist() == mix.draw(31_000, np.random.default_rng(13)).tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has ''"),
        ("delete=1", "'delete': use enqueue, state, insert"),
        ("state=1,state=2", "twice"),
        ("state=much", "'much'"),
        ("state=0", "above 0"),
        ("state=inf", "finite"),
    ],
)
def test_a_mix_that_means_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_mix(text, KNOWN)
    with pytest.raises(InvalidInput, match="one operation"):
        OperationMix({})
