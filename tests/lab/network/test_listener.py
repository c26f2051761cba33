"""Listening: sockets are handed over ready for small messages, and nobody is let in after the end."""

from __future__ import annotations

import queue
import socket

import pytest

from perflab.lab.network.address import TcpAddress, connect
from perflab.lab.network.listener import Listener
from tests.lab.network.conftest import NewAddress
from tests.lab.network.exchange import PATIENCE_SECONDS, open_client, receive

pytestmark = pytest.mark.usefixtures("nothing_left_open")


def test_accepted_sockets_are_blocking_and_hold_nothing_back(new_address: NewAddress) -> None:
    accepted: queue.Queue[socket.socket] = queue.Queue()
    listener = Listener(new_address(), accepted.put)
    with open_client(listener.address) as client, accepted.get(timeout=PATIENCE_SECONDS) as server:
        assert server.getblocking()
        if isinstance(listener.address, TcpAddress):
            for end in (client, server):
                assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        listener.close()
        listener.close()
        server.sendall(b"still connected")
        assert receive(client, 15) == b"still connected"
        with pytest.raises(OSError, match=r"refused|No such file"):
            connect(listener.address, PATIENCE_SECONDS)


def test_the_same_address_can_be_listened_at_again(new_address: NewAddress) -> None:
    accepted: queue.Queue[socket.socket] = queue.Queue()
    first = Listener(new_address(), accepted.put)
    with open_client(first.address), accepted.get(timeout=PATIENCE_SECONDS):
        first.close()
        again = Listener(first.address, accepted.put)
        assert again.address == first.address
        with open_client(again.address), accepted.get(timeout=PATIENCE_SECONDS):
            again.close()
