"""Passing bytes on to a socket: at once, or after the delay of a link."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import Protocol

from perflab.lab.network.delay_line import DelayLine
from perflab.lab.network.measured import LatenessRecord

SPIN_SECONDS = 0.0001
"""The last part of a wait is spun. A sleep on Linux ends late, by its timer slack of 50 µs and the time to wake, which
leaves little of it to be spun."""

BLOCKED_SEND_SECONDS = 0.05
"""How long a send to a receiver that does not read may block before it looks whether the connection was ended."""


class Sender(Protocol):
    """The way out of one direction of a connection."""

    def send(self, data: bytes, arrived_at: float) -> None:
        """Pass `data` on; wait while there is no room. What cannot be delivered any more is discarded."""

    def finish(self, how: int) -> None:
        """Shut the socket down as `socket.SHUT_…` says, after all that was sent before. Only the first call counts."""

    def abort(self) -> None:
        """Forget what has not been delivered, and return from every wait."""


class DirectSender:
    """Sends in the thread of the caller."""

    def __init__(self, destination: socket.socket) -> None:
        limit_blocked_send(destination)
        self._destination = destination
        self._is_open = True

    def send(self, data: bytes, arrived_at: float) -> None:  # noqa: ARG002  # there is no delay to count from it
        if self._is_open and not _send_all(self._destination, data, lambda: self._is_open):
            self._is_open = False

    def finish(self, how: int) -> None:
        if self._is_open:
            self._is_open = False
            shut_down(self._destination, how)

    def abort(self) -> None:
        self._is_open = False


class DelayedSender:
    """Puts bytes on a delay line; a thread in `run` takes them off when they are due.

    Args:
        destination: The socket to send to.
        line: Decides when bytes are due.
        capacity_bytes: What may be on the line before `send` waits.
        clock: Seconds, the same clock that `arrived_at` was read from.
        lateness: Is told how late each delivery was.
    """

    def __init__(
        self,
        destination: socket.socket,
        line: DelayLine,
        *,
        capacity_bytes: int,
        clock: Callable[[], float],
        lateness: LatenessRecord,
    ) -> None:
        limit_blocked_send(destination)
        self._destination = destination
        self._line = line
        self._capacity_bytes = capacity_bytes
        self._clock = clock
        self._lateness = lateness
        self._is_open = True  # takes more
        self._is_aborted = False
        self._finish_how: int | None = None
        lock = threading.Lock()
        self._room = threading.Condition(lock)
        self._work = threading.Condition(lock)

    def send(self, data: bytes, arrived_at: float) -> None:
        with self._room:
            while self._is_open and self._line.size_bytes >= self._capacity_bytes:
                self._room.wait()
            if not self._is_open:
                return
            is_first = self._line.next_due is None
            self._line.push(data, arrived_at)
            if is_first:  # otherwise the thread has something to wait for already
                self._work.notify()

    def finish(self, how: int) -> None:
        with self._work:
            if self._is_open:
                self._finish_how = how
            self._close()

    def abort(self) -> None:
        with self._work:
            self._is_aborted = True
            self._close()

    def run(self) -> None:
        """Deliver until `finish` or `abort`."""
        while (data := self._next()) is not None:
            if not _send_all(self._destination, data, lambda: not self._is_aborted):
                self.abort()
        if not self._is_aborted and self._finish_how is not None:
            shut_down(self._destination, self._finish_how)

    def _close(self) -> None:
        self._is_open = False
        self._work.notify()
        self._room.notify()

    def _next(self) -> bytes | None:
        """What is due next, when it is due; None at the end."""
        with self._work:
            while True:
                due = self._line.next_due
                if self._is_aborted or (due is None and not self._is_open):
                    return None
                if due is None:
                    self._work.wait()
                elif (remaining := due - self._clock() - SPIN_SECONDS) > 0:
                    self._work.wait(remaining)
                else:
                    break
        while (now := self._clock()) < due:
            pass
        with self._room:
            data = self._line.pop(now)
            self._room.notify()
        self._lateness.add(now - due)
        return data


def limit_blocked_send(destination: socket.socket) -> None:
    """Let a blocking `send` come back with BlockingIOError now and then, so that an ended connection ends it."""
    microseconds = round(BLOCKED_SEND_SECONDS * 1_000_000)
    destination.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", 0, microseconds))


def shut_down(connected: socket.socket, how: int) -> None:
    """Shut a socket down that may have been shut down or reset already."""
    with contextlib.suppress(OSError):
        connected.shutdown(how)


def _send_all(destination: socket.socket, data: bytes, is_wanted: Callable[[], bool]) -> bool:
    """Whether all of it could be sent; not when the receiver has gone or it is not wanted any more."""
    rest = memoryview(data)
    while rest:
        if not is_wanted():
            return False
        try:
            rest = rest[destination.send(rest) :]
        except BlockingIOError:
            continue
        except OSError:
            return False
    return True
