from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.cache.history import AccessHistory
from perflab.errors import InvalidInput

ASKS = st.lists(st.tuples(st.integers(0, 5), st.floats(0.0, 1e5)), max_size=60)


@given(asks=ASKS, half_life=st.sampled_from([1.0, 60.0, 1e4]), later=st.floats(0.0, 1e4))
def test_it_is_the_sum_of_the_decayed_asks(asks: list[tuple[int, float]], half_life: float, later: float) -> None:
    history = AccessHistory(half_life)
    asks = sorted(asks, key=lambda ask: ask[1])
    now = (asks[-1][1] if asks else 0.0) + later
    expected: dict[tuple[Any, ...], float] = defaultdict(float)
    for key, moment in asks:
        history.note((key,), moment)
        expected[key,] += 0.5 ** ((now - moment) / half_life)

    found = history.hottest(now, 10)

    assert [count for _, count in found] == sorted((count for _, count in found), reverse=True)
    for slot, count in found:
        assert count == pytest.approx(expected.pop(slot), rel=1e-9, abs=1e-100)
    assert all(count < 1e-100 for count in expected.values())  # what is not known any more was as good as nothing


def test_often_beats_lately_with_a_long_half_life_and_the_other_way_round() -> None:
    for half_life, first in [(1_000.0, "often"), (1.0, "lately")]:
        history = AccessHistory(half_life)
        for moment in range(5):
            history.note(("often",), float(moment))
        history.note(("lately",), 20.0)
        assert history.hottest(20.0, 1)[0][0] == (first,)


def test_the_half_that_is_asked_for_least_is_forgotten() -> None:
    history = AccessHistory(max_keys=10)
    for key in range(10):
        history.note((key,), 0.0, asks=key + 1.0)
    assert len(history) == 10
    history.note((10,), 0.0, asks=100.0)
    assert [key for (key,), _ in history.hottest(0.0, 10)] == [10, 9, 8, 7, 6]


def test_years_of_asks_do_not_overflow() -> None:
    history = AccessHistory(1.0)
    for moment in range(0, 100_000, 100):
        history.note(("old" if moment < 50_000 else "new",), float(moment))
    ((slot, count), *_) = history.hottest(99_900.0, 5)
    assert slot == ("new",)
    assert count == pytest.approx(1.0)
    assert history.hottest(1e12, 5) == []


@pytest.mark.parametrize("arguments", [{"half_life": 0.0}, {"half_life": float("nan")}, {"max_keys": 1}])
def test_a_bad_argument_is_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(InvalidInput):
        AccessHistory(**arguments)  # type: ignore[arg-type]
