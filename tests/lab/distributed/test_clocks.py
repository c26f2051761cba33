from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.errors import LabError
from perflab.lab.distributed.clocks import SAME_CLOCK, ClockOffset, check_clock, check_drift, estimate_offset


class TwoClocks:
    """This machine's clock, and another that is ahead; time passes on the way there and back."""

    def __init__(self, ahead: float, ways: list[tuple[float, float]]) -> None:
        self.time = 1_000.0
        self.ahead = ahead
        self.ways = iter(ways)

    def now(self) -> float:
        return self.time

    def ask(self) -> float:
        there, back = next(self.ways)
        self.time += there
        theirs = self.time + self.ahead
        self.time += back
        return theirs


ways = st.tuples(st.floats(0, 0.1), st.floats(0, 0.1))


@given(ahead=st.floats(-10, 10), ways=st.lists(ways, min_size=1, max_size=20))
def test_the_true_offset_is_within_its_uncertainty(ahead: float, ways: list[tuple[float, float]]) -> None:
    clocks = TwoClocks(ahead, ways)
    found = estimate_offset(clocks.ask, questions=len(ways), now=clocks.now)
    assert abs(found.seconds - ahead) <= found.uncertainty + 1e-9
    assert found.uncertainty == pytest.approx(min(there + back for there, back in ways) / 2, abs=1e-9)


def test_a_clock_that_is_far_off_or_hardly_known_is_refused() -> None:
    check_clock(ClockOffset(-0.9, 0.004), "machine 2")
    with pytest.raises(LabError, match=r"machine 2: clock 1\.10 s behind, known to 1\.00 ms.*NTP"):
        check_clock(ClockOffset(-1.1, 0.001), "machine 2")
    with pytest.raises(LabError, match=r"machine 2: clock 0 s ahead, known to 6\.00 ms, and 5\.00 ms"):
        check_clock(ClockOffset(0.0, 0.006), "machine 2")
    assert str(SAME_CLOCK) == "the same clock"


def test_a_clock_that_was_set_meanwhile_is_refused() -> None:
    before = ClockOffset(0.100, 0.001)
    check_drift(before, ClockOffset(0.106, 0.001), "machine 2")
    with pytest.raises(LabError, match=r"machine 2: its clock moved by 8\.00 ms"):
        check_drift(before, ClockOffset(0.108, 0.001), "machine 2")
