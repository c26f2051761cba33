import os
import signal
import threading

import pytest

from perflab.queue.stop_signals import stop_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_each_signal_is_heard_and_the_handler_of_before_comes_back(number: signal.Signals) -> None:
    outer: list[int] = []
    before = signal.signal(number, lambda received, _frame: outer.append(received))
    try:
        heard: list[None] = []
        with stop_signals(lambda: heard.append(None)):
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
            signal.sigpending()  # lets Python run the handlers
        assert len(heard) == 2
        assert outer == []
        os.kill(os.getpid(), number)
        assert outer == [number]
    finally:
        signal.signal(number, before)


def test_handlers_come_back_after_an_exception() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(ZeroDivisionError), stop_signals(lambda: None):
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_outside_the_main_thread_handlers_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def look() -> None:
        with stop_signals(lambda: None):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before]
