"""The switch of a proxy: what is in force where, and what is recorded."""

from __future__ import annotations

import threading

import pytest

from perflab.errors import InvalidInput
from perflab.lab.network.faults import Faults, Firing, Mode
from perflab.lab.network.side import Side
from perflab.lab.network.triggers import AfterBytes, Sends


def test_a_trigger_fires_once_and_on_one_connection() -> None:
    faults = Faults()
    faults.arm(Mode.RESET, Sends(b"x"))
    assert list(faults.armed) == [Sends(b"x")]
    assert faults.meet(1, Side.SERVER, b"x", []) is None
    assert faults.meet(1, Side.CLIENT, b"a", []) is None
    met = faults.meet(2, Side.CLIENT, b"ax", [])
    assert met is not None
    assert (met[0].mode, met[1]) == (Mode.RESET, 1)
    assert not faults.armed
    assert faults.meet(1, Side.CLIENT, b"x", []) is None


def test_a_trigger_counts_on_each_connection_by_itself() -> None:
    faults = Faults()
    faults.arm(Mode.CUT, AfterBytes(3))
    assert faults.meet(1, Side.CLIENT, b"ab", []) is None
    assert faults.meet(2, Side.CLIENT, b"ab", []) is None
    met = faults.meet(1, Side.CLIENT, b"cd", [])
    assert met is not None
    assert met[1] == 1


def test_of_two_triggers_the_first_in_the_stream_fires() -> None:
    faults = Faults()
    faults.arm(Mode.CUT, Sends(b"late"))
    faults.arm(Mode.STALL, Sends(b"early"))
    met = faults.meet(1, Side.CLIENT, b"early and late", [])
    assert met is not None
    assert met[0].mode is Mode.STALL
    assert faults.armed == (Sends(b"late"),)


def test_a_triggered_fault_holds_on_its_connection_until_the_switch_is_moved() -> None:
    faults = Faults()
    faults.arm(Mode.STALL, Sends(b"x"))
    met = faults.meet(1, Side.CLIENT, b"x", [])
    assert met is not None
    faults.impose(1, met[0])
    assert faults.in_force(1).mode is Mode.STALL
    assert faults.in_force(2).mode is Mode.PASS
    faults.arm(Mode.RESET, Sends(b"y"))  # not watched where another fault holds
    assert faults.meet(1, Side.CLIENT, b"y", []) is None
    assert list(faults.armed) == [Sends(b"y")]
    faults.switch(Mode.PASS)
    assert faults.in_force(1).mode is Mode.PASS


def test_a_fault_is_recorded_once_for_each_connection_and_again_when_switched_again() -> None:
    faults = Faults()
    for _ in range(2):
        faults.switch(Mode.DROP_REPLY)
        fault = faults.in_force(1)
        for connection in (1, 2, 1):
            faults.record(fault, connection)
    assert faults.fired == 2 * (Firing(Mode.DROP_REPLY, 1, None), Firing(Mode.DROP_REPLY, 2, None))
    assert faults.wait_fired(0.0, 4)
    assert not faults.wait_fired(0.0, 5)


def test_a_stalled_thread_waits_until_the_switch_is_moved_or_its_connection_is_over() -> None:
    faults = Faults()
    faults.switch(Mode.STALL)
    over = threading.Event()
    seen: list[Mode] = []
    threads = [
        threading.Thread(target=lambda: seen.append(faults.wait_while_stalled(1, over.is_set).mode), daemon=True),
        threading.Thread(target=lambda: seen.append(faults.wait_while_stalled(2, lambda: False).mode), daemon=True),
    ]
    for thread in threads:
        thread.start()
    assert faults.wait_fired(20.0, 2)
    assert seen == []
    over.set()
    faults.wake()
    threads[0].join()
    assert seen == [Mode.STALL]
    faults.switch(Mode.RESET)
    threads[1].join()
    assert seen == [Mode.STALL, Mode.RESET]


@pytest.mark.parametrize("mode", [Mode.PASS, Mode.REFUSE])
def test_a_mode_that_cannot_begin_inside_a_connection_is_not_armed(mode: Mode) -> None:
    with pytest.raises(InvalidInput, match="switch to it instead"):
        Faults().arm(mode, Sends(b"x"))


def test_a_mode_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match="mode is 'slow': use one of Mode"):
        Faults().switch("slow")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(InvalidInput, match="mode is 'slow': use one of Mode"):
        Faults().arm("slow", Sends(b"x"))  # type: ignore[arg-type]  # on purpose
