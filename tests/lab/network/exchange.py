"""What a client does in tests of proxies."""

from __future__ import annotations

import socket

from perflab.lab.network.address import Address, connect

PATIENCE_SECONDS = 60.0
"""A client waits so long before its test fails; nothing is measured with it."""


def open_client(address: Address) -> socket.socket:
    client = connect(address, PATIENCE_SECONDS)
    client.settimeout(PATIENCE_SECONDS)
    return client


def receive(client: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes."""
    data = bytearray()
    while len(data) < size:
        piece = client.recv(size - len(data))
        if not piece:
            raise EOFError(bytes(data))
        data += piece
    return bytes(data)


def receive_all(client: socket.socket) -> bytes:
    """Everything up to the end."""
    data = bytearray()
    while piece := client.recv(65_536):
        data += piece
    return bytes(data)


def has_received_nothing(client: socket.socket) -> bool:
    """Whether neither bytes nor an end have arrived by now."""
    client.setblocking(False)
    try:
        client.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    finally:
        client.settimeout(PATIENCE_SECONDS)
    return False


def send_until_it_blocks(client: socket.socket) -> None:
    """Send until nobody takes any more, which raises TimeoutError. After 64 MiB it returns: somebody takes it all."""
    client.settimeout(0.2)
    for _ in range(64):
        client.sendall(bytes(1_048_576))
