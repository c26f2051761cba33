"""Forwarding: every byte, in order, over TCP and Unix sockets, with and without a link; and nothing left open."""

from __future__ import annotations

import dataclasses
import hashlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.errors import InvalidInput, LabError, LifecycleError
from perflab.lab.network.address import TcpAddress, UnixAddress, connect
from perflab.lab.network.faults import Mode
from perflab.lab.network.link import Link
from perflab.lab.network.probe import EchoServer, Probe
from perflab.lab.network.proxy import Proxy
from perflab.lab.network.triggers import AfterMessages
from tests.lab.network.conftest import NewAddress
from tests.lab.network.exchange import open_client, receive, receive_all, send_until_it_blocks
from tests.lab.network.recording_server import RecordingServer

pytestmark = pytest.mark.usefixtures("nothing_left_open")

ANY_ADDITION = Probe(pings=10, tolerance_seconds=60.0)
"""For tests on a machine that may be busy."""

LINKS = {
    "none": Link(),
    "delay": Link(round_trip_seconds=0.002),
    "jitter": Link(round_trip_seconds=0.002, jitter_seconds=0.002),
    "bandwidth": Link(bytes_per_second=5e6),
}


@contextmanager
def proxy_over_a_long_line(server: RecordingServer, round_trip_seconds: float) -> Iterator[Proxy]:
    """A proxy with a delay that would take too long to be pinged."""
    with Proxy(server.address, link=LINKS["delay"], probe=ANY_ADDITION) as proxy:
        assert proxy._route is not None
        proxy._route = dataclasses.replace(proxy._route, link=Link(round_trip_seconds))
        yield proxy


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_bytes_pass_both_ways_over_each_kind_of_socket(link: Link, new_address: NewAddress) -> None:
    sent = Random(0).randbytes(300_000)
    with (
        RecordingServer(lambda data: data, listen=new_address()) as server,
        Proxy(server.address, link=link, listen=new_address(), probe=ANY_ADDITION) as proxy,
        open_client(proxy.address) as client,
    ):
        writer = threading.Thread(target=client.sendall, args=(sent,), daemon=True)
        writer.start()
        assert receive(client, len(sent)) == sent
        writer.join()
        assert server.connections[0].received == sent


@pytest.mark.parametrize("name", ["none", "jitter"])
@settings(max_examples=20)
@given(pieces=st.lists(st.binary(min_size=1, max_size=2_000), min_size=1, max_size=20))
def test_order_and_bytes_are_kept_however_they_are_written(name: str, pieces: list[bytes]) -> None:
    with (
        EchoServer(TcpAddress()) as echo,
        Proxy(echo.address, link=LINKS[name], probe=ANY_ADDITION) as proxy,
        open_client(proxy.address) as client,
    ):
        for piece in pieces:
            client.sendall(piece)
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client) == b"".join(pieces)


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_a_half_closed_connection_still_brings_the_answer(link: Link, new_address: NewAddress) -> None:
    with (
        RecordingServer(farewell=b"all of it", listen=new_address()) as server,
        Proxy(server.address, link=link, listen=new_address(), probe=ANY_ADDITION) as proxy,
        open_client(proxy.address) as client,
    ):
        client.sendall(b"request")
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client) == b"all of it"
        recorded = server.wait(lambda connections: connections[0].ending is not None)
        assert (recorded[0].received, recorded[0].ending) == (b"request", "end")


def test_many_connections_are_kept_apart() -> None:
    link = Link(round_trip_seconds=0.002)
    with ExitStack() as stack:
        echo = stack.enter_context(EchoServer(TcpAddress()))
        proxy = stack.enter_context(Proxy(echo.address, link=link, probe=ANY_ADDITION))
        clients = [stack.enter_context(open_client(proxy.address)) for _ in range(60)]
        for _ in range(3):
            for number, client in enumerate(clients):
                client.sendall(f"{number:4}".encode())
            for number, client in enumerate(clients):
                assert receive(client, 4) == f"{number:4}".encode()
        assert proxy.open_connections == 60


@pytest.mark.parametrize("name", ["none", "delay"])
def test_a_large_transfer_arrives_whole(name: str) -> None:
    block, blocks = Random(1).randbytes(1_048_576), 32
    with (
        EchoServer(TcpAddress()) as echo,
        Proxy(echo.address, link=LINKS[name], probe=ANY_ADDITION) as proxy,
        open_client(proxy.address) as client,
    ):

        def write() -> None:
            for _ in range(blocks):
                client.sendall(block)
            client.shutdown(socket.SHUT_WR)

        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        received = hashlib.sha256()
        while piece := client.recv(262_144):
            received.update(piece)
        writer.join()
    assert received.digest() == hashlib.sha256(block * blocks).digest()


def test_a_delay_is_added_and_holds_nothing_up() -> None:
    messages = 50
    with RecordingServer(lambda data: data) as server, proxy_over_a_long_line(server, 0.6) as proxy:
        with open_client(proxy.address) as client:
            server.wait(lambda connections: len(connections) == 1)
            for number in range(messages):
                client.sendall(f"{number:8}".encode())
            assert server.connections[0].received == b""  # all of it is still on its way
            receive(client, 8)
            # One after the other, the server would have one message by now, or two.
            assert len(server.connections[0].received) == 8 * messages
            receive(client, 8 * (messages - 1))
        assert 2 <= proxy.lateness().deliveries <= 2 * messages


def test_a_full_line_holds_its_sender_back() -> None:
    link = Link(bytes_per_second=20_000)
    with (
        RecordingServer() as server,
        Proxy(server.address, link=link, probe=ANY_ADDITION) as proxy,
        open_client(proxy.address) as client,
        pytest.raises(TimeoutError),
    ):
        send_until_it_blocks(client)


def test_a_server_that_is_not_there_ends_the_connection_and_is_remembered(caplog: pytest.LogCaptureFixture) -> None:
    with Proxy(TcpAddress(port=1)) as proxy, open_client(proxy.address) as client:
        assert receive_all(client) == b""
        (error,) = proxy.upstream_errors
        assert error.startswith("connection 1 could not be forwarded to 127.0.0.1:1")
    assert error in caplog.text


def test_a_connection_that_one_side_breaks_is_broken_on_the_other() -> None:
    with RecordingServer() as server, Proxy(server.address) as proxy:
        with open_client(proxy.address) as client:
            client.sendall(b"x")
            server.wait(lambda connections: bool(connections and connections[0].received))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("@ii", 1, 0))
        server.wait(lambda connections: connections[0].ending == "reset")


@pytest.mark.parametrize("name", ["none", "delay"])
def test_closing_ends_connections_whose_threads_are_blocked_in_sends(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # accepts by its backlog, and never reads
        upstream = TcpAddress(port=deaf.getsockname()[1])
        with Proxy(upstream, link=LINKS[name], probe=ANY_ADDITION) as proxy, open_client(proxy.address) as client:
            with pytest.raises(TimeoutError):
                send_until_it_blocks(client)
            proxy.close()
            with pytest.raises(ConnectionError):
                send_until_it_blocks(client)


def test_closing_does_not_wait_for_bytes_on_a_long_line() -> None:
    with RecordingServer() as server, proxy_over_a_long_line(server, 60.0) as proxy:
        with open_client(proxy.address) as client:
            client.sendall(b"never to arrive")
            server.wait(lambda connections: len(connections) == 1)
            proxy.close()  # fails when a thread does not end within 10 seconds
        assert server.connections[0].received == b""


def test_closing_twice_is_one_closing(new_address: NewAddress) -> None:
    with EchoServer(TcpAddress()) as echo:
        proxy = Proxy(echo.address, listen=new_address()).start()
        address = proxy.address
        proxy.close()
        proxy.close()
        with pytest.raises(OSError, match=r"refused|No such file"):
            connect(address, 1.0)
        with pytest.raises(LifecycleError, match="make another one"):
            proxy.start()
        with pytest.raises(LifecycleError, match="does not run"):
            proxy.switch(Mode.STALL)


def test_a_socket_is_removed_at_the_end(folder: Path) -> None:
    address = UnixAddress(folder / "socket")
    with Proxy(TcpAddress(port=1), listen=address) as proxy:
        assert proxy.address == address
        assert address.path.is_socket()
    assert list(folder.iterdir()) == []


def test_what_is_not_there_yet_is_not_given() -> None:
    proxy = Proxy(TcpAddress(port=1))
    with pytest.raises(LifecycleError, match="no address yet"):
        _ = proxy.address
    with pytest.raises(LabError, match="was not measured"):
        _ = proxy.added
    with pytest.raises(LifecycleError, match="does not run"):
        proxy.switch(Mode.STALL)


def test_bad_addresses_are_refused_before_anything_is_opened() -> None:
    with pytest.raises(InvalidInput, match=r"127\.0\.0\.1 only"):
        Proxy(TcpAddress(port=1), listen=TcpAddress("0.0.0.0", 0))
    with pytest.raises(InvalidInput, match="port 0"):
        Proxy(TcpAddress(port=0))


def test_a_port_that_is_taken_is_named() -> None:
    with (
        EchoServer(TcpAddress()) as echo,
        pytest.raises(LabError, match=r"cannot listen at 127\.0\.0\.1:"),
        Proxy(echo.address, listen=echo.address),
    ):
        pass


def test_messages_are_not_counted_without_a_meter() -> None:
    with pytest.raises(InvalidInput, match=r"meter=PostgresMeter\(\)"):
        Proxy(TcpAddress(port=1)).arm(Mode.CUT, when=AfterMessages(1))
