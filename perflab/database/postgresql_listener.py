"""Hearing a NOTIFY on a connection of its own."""

from __future__ import annotations

import logging
import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import psycopg

from perflab.database.failures import TypedErrors
from perflab.database.postgresql import PostgresConnection
from perflab.errors import PerflabError

logger = logging.getLogger(__name__)


class PostgresListener:
    """Waits until a channel is notified with a payload. One thread waits; any may `wake` it.

    It is a convenience and promises nothing: while it has no connection, each wait tries to open one, and otherwise
    just takes its time. So whoever waits looks for himself at the end of each wait.

    Args:
        connect: opens a connection.
        channel: an identifier.
        payload: what is listened for.
    """

    def __init__(self, connect: Callable[[], PostgresConnection], channel: str, payload: str) -> None:
        self._connect = connect
        self._channel = channel
        self._payload = payload
        self._connection: PostgresConnection | None = None
        self._has_own_session = True
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._woken.setblocking(False)
        self._listen()

    @property
    def can_hear(self) -> bool:
        """False behind a pooler."""
        return self._has_own_session

    def wait(self, seconds: float) -> None:
        """Return when it is notified or woken, and otherwise after so many seconds."""
        deadline = time.monotonic() + seconds
        self._listen()
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            if self._connection is not None:
                selector.register(self._connection.pgconn.socket, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                ready = {key.fileobj for key, _ in selector.select(left)}
                if self._woken in ready:
                    with suppress(BlockingIOError):
                        self._woken.recv(4_096)
                    return
                if ready and self._connection is not None:
                    descriptor = self._connection.pgconn.socket
                    if self._is_notified():
                        return
                    if self._connection is None:
                        selector.unregister(descriptor)

    def wake(self) -> None:
        """End the wait of this moment, or the next one."""
        with suppress(BlockingIOError):  # so many wakes are on their way that one more changes nothing
            self._waker.send(b".")

    def close(self) -> None:
        """Nobody waits any more."""
        self._lose()
        self._waker.close()
        self._woken.close()

    def _listen(self) -> None:
        if self._connection is not None or not self._has_own_session:
            return
        try:
            with TypedErrors("listening"):
                connection = self._connect()
                self._has_own_session = connection.has_own_session
                if self._has_own_session:
                    connection.execute(f"LISTEN {self._channel}")
                    self._connection = connection
                else:  # behind a pooler a session is lent for one transaction only
                    connection.close()
        except PerflabError as error:
            logger.info("nobody listens to %s: %s", self._channel, error)

    def _is_notified(self) -> bool:
        if self._connection is None:
            return False
        pgconn = self._connection.pgconn
        is_notified = False
        try:
            pgconn.consume_input()
            while (notification := pgconn.notifies()) is not None:
                is_notified = is_notified or notification.extra.decode() == self._payload
        except psycopg.Error:
            self._lose()
        return is_notified

    def _lose(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
