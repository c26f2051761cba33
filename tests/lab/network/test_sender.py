"""Sending: never before the time, never out of order, and never for ever."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from random import Random

import pytest

from perflab.lab.network.delay_line import DelayLine
from perflab.lab.network.link import Link
from perflab.lab.network.measured import LatenessRecord
from perflab.lab.network.sender import DelayedSender, DirectSender, shut_down
from tests.lab.network.exchange import PATIENCE_SECONDS, receive, receive_all

pytestmark = pytest.mark.usefixtures("nothing_left_open")

DELAY_SECONDS = 0.000_5


class SteppingClock:
    """Moves on by 10 µs whenever it is read, and by nothing else."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.000_01
        return self.now


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Where a sender sends to, and where that arrives."""
    near, far = socket.socketpair()
    with near, far:
        far.settimeout(PATIENCE_SECONDS)
        yield near, far


def delayed(destination: socket.socket, clock: SteppingClock, *, capacity_bytes: int = 1_000) -> DelayedSender:
    line = DelayLine(Link(round_trip_seconds=2 * DELAY_SECONDS), Random(0))
    return DelayedSender(destination, line, capacity_bytes=capacity_bytes, clock=clock, lateness=LatenessRecord())


def test_nothing_leaves_before_it_is_due(ends: tuple[socket.socket, socket.socket]) -> None:
    clock = SteppingClock()
    sender = delayed(ends[0], clock)
    runner = threading.Thread(target=sender.run, daemon=True)
    runner.start()
    for number in range(3):
        arrived_at = clock.now
        sender.send(b"%d" % number, arrived_at)
        assert receive(ends[1], 1) == b"%d" % number
        assert clock.now >= arrived_at + DELAY_SECONDS
    sender.finish(socket.SHUT_WR)
    runner.join()
    assert receive_all(ends[1]) == b""


def test_the_end_comes_behind_what_was_sent_before_it_and_nothing_behind_the_end(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    sender = delayed(ends[0], SteppingClock())
    sender.send(b"before", 0.0)
    sender.finish(socket.SHUT_WR)
    sender.send(b"after", 0.0)
    sender.finish(socket.SHUT_RDWR)
    sender.run()
    assert receive_all(ends[1]) == b"before"
    ends[1].sendall(b"the other direction is open")
    assert receive(ends[0], 27) == b"the other direction is open"


def test_a_sender_without_delay_ends_likewise(ends: tuple[socket.socket, socket.socket]) -> None:
    sender = DirectSender(ends[0])
    sender.send(b"before", 0.0)
    sender.finish(socket.SHUT_WR)
    sender.send(b"after", 0.0)
    sender.finish(socket.SHUT_RDWR)
    assert receive_all(ends[1]) == b"before"
    ends[1].sendall(b"the other direction is open")
    assert receive(ends[0], 27) == b"the other direction is open"


def test_an_aborted_sender_forgets_what_is_on_the_line(ends: tuple[socket.socket, socket.socket]) -> None:
    sender = delayed(ends[0], SteppingClock())
    sender.send(b"lost", 0.0)
    sender.abort()
    sender.run()
    shut_down(ends[0], socket.SHUT_RDWR)
    assert receive_all(ends[1]) == b""


def test_a_full_line_makes_its_sender_wait_until_there_is_room_or_an_end(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    sender = delayed(ends[0], SteppingClock(), capacity_bytes=4)
    sender.send(b"full", 0.0)
    waiting = threading.Thread(target=sender.send, args=(b"more", 0.0), daemon=True)
    waiting.start()
    runner = threading.Thread(target=sender.run, daemon=True)
    runner.start()
    assert receive(ends[1], 8) == b"fullmore"
    waiting.join()
    sender.abort()
    runner.join()

    stuck = delayed(ends[0], SteppingClock(), capacity_bytes=4)
    stuck.send(b"full", 0.0)
    waiting = threading.Thread(target=stuck.send, args=(b"more", 0.0), daemon=True)
    waiting.start()
    stuck.abort()
    waiting.join()


def test_a_receiver_that_has_gone_ends_the_sending(ends: tuple[socket.socket, socket.socket]) -> None:
    ends[1].close()
    direct, slow = DirectSender(ends[0]), delayed(ends[0], SteppingClock())
    for _ in range(3):
        direct.send(b"to nobody", 0.0)
    slow.send(b"to nobody", 0.0)
    slow.run()
    slow.send(b"to nobody", 0.0)
    assert slow._line.size_bytes == 0
