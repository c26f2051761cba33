"""Accepting connections in a thread, until told to stop."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable

from perflab.lab.network.address import Address, TcpAddress, UnixAddress, set_no_delay

BACKLOG = 128
PAUSE_SECONDS = 0.05  # after a failed accept, which select would report again at once


class Listener:
    """Listens from its construction until `close`. After it, the system refuses connections.

    Args:
        address: Where to listen; see `check_listen`.
        on_accept: Called in the thread of the listener with each connected socket, which is then its own.

    Raises:
        OSError: the address cannot be listened at.
    """

    def __init__(self, address: Address, on_accept: Callable[[socket.socket], None]) -> None:
        self._on_accept = on_accept
        self._socket = _listening_socket(address)
        self.address: Address = address
        if isinstance(address, TcpAddress):
            self.address = TcpAddress(address.host, self._socket.getsockname()[1])
        self._closing = threading.Event()
        self._woken, self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._accept, name=f"listener at {self.address}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and end the thread; what was accepted stays. May be called again."""
        self._closing.set()
        self._waker.close()
        self._thread.join()

    def _accept(self) -> None:
        with self._socket, self._woken, selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while all(key.fileobj is self._socket for key, _ in selector.select()):
                try:
                    accepted, _ = self._socket.accept()
                except OSError:  # the client has gone again, or the process has no file descriptor left
                    self._closing.wait(PAUSE_SECONDS)
                    continue
                accepted.setblocking(True)
                set_no_delay(accepted)
                self._on_accept(accepted)
        if isinstance(self.address, UnixAddress):
            self.address.path.unlink(missing_ok=True)


def _listening_socket(address: Address) -> socket.socket:
    family = socket.AF_UNIX if isinstance(address, UnixAddress) else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        if isinstance(address, UnixAddress):
            listening.bind(str(address.path))
        else:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((address.host, address.port))
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening
