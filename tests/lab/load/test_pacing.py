from __future__ import annotations

import math
import threading

import numpy as np
import pytest

from perflab.lab.load.items import Item
from perflab.lab.load.pacing import Clock, Pace
from perflab.lab.load.writers import Ended

LIMIT = 30.0


class Hand:
    """A clock that only goes where somebody sleeps. For one sending thread."""

    def __init__(self) -> None:
        self.time = 0.0

    def clock(self) -> Clock:
        return Clock(lambda: self.time, self.sleep)

    def sleep(self, seconds: float) -> None:
        if threading.current_thread().name.startswith("load-"):
            self.time += seconds


class Takes:
    """A writer that takes so many seconds of the hand for each item, in the sending thread."""

    def __init__(self, hand: Hand, seconds: list[float]) -> None:
        self.hand = hand
        self.seconds = seconds
        self.numbers: list[int] = []

    def send(self, item: Item, ended: Ended) -> None:
        self.numbers.append(item.number)
        self.hand.time += self.seconds[item.number]
        ended(None)


def items(count: int) -> list[Item]:
    return [Item(number, "enqueue", None) for number in range(count)]


def test_a_stall_is_in_the_response_of_all_that_came_meanwhile_and_not_in_their_service() -> None:
    hand = Hand()
    moments = np.array([1.0, 2.0, 3.0, 9.0])
    pace = Pace(
        items(4), moments, Takes(hand, [4.0, 0.5, 0.5, 0.5]), threads=1, give_up_at=math.inf, clock=hand.clock()
    )
    pace.run()
    intended, started, ended = pace.times()
    assert (ended - started).tolist() == [4.0, 0.5, 0.5, 0.5]
    assert (started - intended).tolist() == [0.0, 3.0, 2.5, 0.0]
    assert (ended - intended).tolist() == [4.0, 3.5, 3.0, 0.5]


def test_a_closed_loop_hides_the_same_stall() -> None:
    hand = Hand()
    pace = Pace(
        items(4),
        np.zeros(4),
        Takes(hand, [4.0, 0.5, 0.5, 0.5]),
        threads=1,
        give_up_at=math.inf,
        closed=True,
        clock=hand.clock(),
    )
    pace.run()
    intended, started, ended = pace.times()
    assert intended.tolist() == started.tolist() == [0.0, 4.0, 4.5, 5.0]
    assert (ended - intended).tolist() == [4.0, 0.5, 0.5, 0.5]


@pytest.mark.parametrize("closed", [True, False])
def test_what_is_too_late_is_given_up(*, closed: bool) -> None:
    hand = Hand()
    pace = Pace(
        items(4),
        np.arange(4.0),
        Takes(hand, [3.0] * 4),
        threads=1,
        give_up_at=5.0,
        closed=closed,
        clock=hand.clock(),
    )
    pace.run()
    assert pace.sent_positions().tolist() == [0, 1]


class Meets:
    """Holds each item until so many are under way at once."""

    def __init__(self, parties: int) -> None:
        self.barrier = threading.Barrier(parties)

    def send(self, item: Item, ended: Ended) -> None:
        self.barrier.wait(LIMIT)
        if item.number == 3:
            raise ValueError("refused")
        ended(None)


def test_threads_share_the_items_and_send_each_once() -> None:
    pace = Pace(items(30), np.zeros(30), Meets(3), threads=3, give_up_at=math.inf)
    pace.run()
    assert pace.sent_positions().tolist() == list(range(30))
    assert (pace.sent, pace.done) == (30, 30)
    assert [(position, str(error)) for position, error in pace.errors.items()] == [(3, "refused")]


class Later:
    """Answers in another thread."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def send(self, item: Item, ended: Ended) -> None:  # all alike
        thread = threading.Timer(0.02, ended, [None])
        self.threads.append(thread)
        thread.start()


@pytest.mark.parametrize("closed", [True, False])
def test_it_returns_when_the_last_answer_is_there(*, closed: bool) -> None:
    heard: list[int] = []
    pace = Pace(items(5), np.zeros(5), Later(), threads=2, give_up_at=math.inf, closed=closed)

    def wait() -> None:
        heard.append(pace.done)
        threading.Event().wait(0.001)

    pace.run(wait)
    assert pace.done == 5
    assert heard
    _, started, ended = pace.times()
    assert (ended - started >= 0.02).all()
