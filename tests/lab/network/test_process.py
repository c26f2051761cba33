"""A proxy in a process of its own: it forwards, measures, reports, refuses, and ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from perflab.errors import InvalidInput, LabError, LifecycleError
from perflab.lab.network.address import TcpAddress, UnixAddress
from perflab.lab.network.link import Link
from perflab.lab.network.probe import Probe
from perflab.lab.network.process import ProxyProcess
from tests.lab.network.exchange import open_client, receive, receive_all
from tests.lab.network.recording_server import RecordingServer

pytestmark = pytest.mark.usefixtures("nothing_left_open")

LINK = Link(round_trip_seconds=0.002, bytes_per_second=1e9, burst_bytes=10, seed=3)
ANY_ADDITION = Probe(pings=10, tolerance_seconds=60.0)


def test_it_forwards_and_tells_what_it_adds(folder: Path) -> None:
    listen = UnixAddress(folder / "socket")
    with (
        RecordingServer(lambda data: data) as server,
        ProxyProcess(server.address, link=LINK, listen=listen, probe=ANY_ADDITION) as proxy,
    ):
        assert proxy.address == listen
        assert proxy.added.pings == 10
        assert proxy.added.asked_seconds == pytest.approx(0.002, rel=0.01)
        assert proxy.measured_round_trip_seconds + proxy.added.direct_seconds >= 0.002
        assert proxy.lateness().deliveries == 0
        with open_client(proxy.address) as client:
            for _ in range(3):
                client.sendall(b"ping")
                assert receive(client, 4) == b"ping"
            assert proxy.lateness().deliveries >= 6
    assert not listen.path.exists()


def test_leaving_ends_its_connections() -> None:
    with RecordingServer() as server:
        proxy = ProxyProcess(server.address, link=Link(), probe=ANY_ADDITION)
        with proxy:
            client = open_client(proxy.address)
            server.wait(lambda connections: len(connections) == 1)
        with client:
            assert receive_all(client) == b""
        with pytest.raises(LabError, match="has ended"):
            proxy.lateness()
        with pytest.raises(LifecycleError, match="make another one"):
            proxy.__enter__()


def test_a_refusal_of_the_child_is_one_of_the_parent() -> None:
    probe = Probe(pings=10, tolerance_share=0.0, tolerance_seconds=0.0)
    with (
        RecordingServer() as server,
        pytest.raises(LabError, match=r"the proxy adds .* ms .* where 5 ms were asked"),
        ProxyProcess(server.address, link=Link(round_trip_seconds=0.005), probe=probe),
    ):
        pass


def test_a_child_that_dies_is_reported() -> None:
    with RecordingServer() as server, ProxyProcess(server.address, link=Link(), probe=ANY_ADDITION) as proxy:
        assert proxy._process is not None
        proxy._process.kill()
        proxy._process.wait()
        with pytest.raises(LabError, match="has ended: start another one"):
            proxy.lateness()


def test_bad_input_starts_nothing() -> None:
    with pytest.raises(InvalidInput, match=r"127\.0\.0\.1 only"):
        ProxyProcess(TcpAddress(port=1), link=Link(), listen=TcpAddress("0.0.0.0", 0))
    with pytest.raises(LifecycleError, match="as a context manager"):
        _ = ProxyProcess(TcpAddress(port=1), link=Link()).address
    with pytest.raises(LifecycleError, match="as a context manager"):
        ProxyProcess(TcpAddress(port=1), link=Link()).lateness()
