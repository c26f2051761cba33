"""A server that answers as it is told and remembers what it was sent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from perflab.lab.network.address import Address, TcpAddress
from perflab.lab.network.listener import Listener
from perflab.lab.network.sender import shut_down

PATIENCE_SECONDS = 60.0

Answer = Callable[[bytes], bytes]


@dataclass(slots=True)
class Recorded:
    """One connection as the server saw it."""

    received: bytes = b""
    ending: str | None = None
    """ "end" for an orderly end, "reset", or None while it lasts."""


class RecordingServer:
    """Answers whatever it reads with `answer(read)`. At the end of the input it sends `farewell` and closes."""

    def __init__(self, answer: Answer = lambda _: b"", *, farewell: bytes = b"", listen: Address | None = None) -> None:
        self._answer = answer
        self._farewell = farewell
        self._changed = threading.Condition()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.connections: list[Recorded] = []
        self._listener = Listener(listen or TcpAddress(), self._accept)

    @property
    def address(self) -> Address:
        return self._listener.address

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for accepted in self._sockets:
            shut_down(accepted, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for accepted in self._sockets:
            accepted.close()

    def wait(self, until: Callable[[list[Recorded]], bool]) -> list[Recorded]:
        """The connections, once `until` holds for them; fails when it never does."""
        with self._changed:
            assert self._changed.wait_for(lambda: until(self.connections), PATIENCE_SECONDS), self.connections
            return list(self.connections)

    def send(self, data: bytes) -> None:
        """Send something of its own accord, on the first connection."""
        self._sockets[0].sendall(data)

    def _accept(self, accepted: socket.socket) -> None:
        recorded = Recorded()
        with self._changed:
            self._sockets.append(accepted)
            self.connections.append(recorded)
            self._changed.notify_all()
        thread = threading.Thread(target=self._serve, args=(accepted, recorded), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self, accepted: socket.socket, recorded: Recorded) -> None:
        ending = "end"
        try:
            while data := accepted.recv(65_536):
                self._note(recorded, data)
                if answer := self._answer(data):
                    accepted.sendall(answer)
            accepted.sendall(self._farewell)
        except ConnectionResetError:
            ending = "reset"
        except BrokenPipeError:
            ending = "end"
        shut_down(accepted, socket.SHUT_RDWR)
        accepted.close()
        with self._changed:
            recorded.ending = ending
            self._changed.notify_all()

    def _note(self, recorded: Recorded, data: bytes) -> None:
        with self._changed:
            recorded.received += data
            self._changed.notify_all()
