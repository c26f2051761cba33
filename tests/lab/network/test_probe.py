"""The proxy measures what it adds, labels it, and refuses to be something else than was asked for."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from perflab.errors import InvalidInput, LabError
from perflab.lab.network.address import TcpAddress
from perflab.lab.network.link import Link
from perflab.lab.network.measured import AddedRoundTrip
from perflab.lab.network.postgres_meter import PostgresMeter
from perflab.lab.network.probe import EchoServer, Probe, measure_added_round_trip
from perflab.lab.network.proxy import Proxy
from tests.lab.network.conftest import NewAddress
from tests.lab.network.exchange import open_client, receive
from tests.lab.network.recording_server import RecordingServer

pytestmark = pytest.mark.usefixtures("nothing_left_open")


def added(asked_seconds: float, median_seconds: float) -> AddedRoundTrip:
    return AddedRoundTrip(asked_seconds, median_seconds, median_seconds, 0.0, 100)


@pytest.mark.parametrize(
    ("asked_seconds", "median_seconds", "is_right"),
    [
        (0.0, 0.0001, True),
        (0.0, 0.0003, False),
        (0.0005, 0.00069, True),
        (0.0005, 0.00071, False),
        (0.0005, 0.0002, False),
        (0.010, 0.012, True),
        (0.010, 0.013, False),
        (0.010, 0.007, False),
    ],
)
def test_an_addition_may_be_off_by_a_share_or_by_a_time(
    asked_seconds: float, median_seconds: float, is_right: bool
) -> None:
    probe = Probe(tolerance_share=0.25, tolerance_seconds=0.0002)
    if is_right:
        probe.check(added(asked_seconds, median_seconds))
    else:
        with pytest.raises(LabError, match=f"adds {median_seconds * 1_000:.3f} ms .* where {asked_seconds * 1_000:g}"):
            probe.check(added(asked_seconds, median_seconds))


def test_a_proxy_that_is_off_does_not_start() -> None:
    with (
        RecordingServer() as server,
        pytest.raises(LabError, match="are allowed: let the machine come to rest"),
        Proxy(server.address, link=Link(0.005), probe=Probe(pings=10, tolerance_share=0.0, tolerance_seconds=0.0)),
    ):
        pass


def test_a_delay_is_measured_without_being_asked_and_a_plain_proxy_is_not() -> None:
    with RecordingServer() as server:
        assert Proxy(server.address, link=Link(0.005))._probe == Probe()
        assert Proxy(server.address)._probe is None


@pytest.mark.parametrize("link", [Link(), Link(0.01)])
def test_pings_go_through_the_proxy_and_leave_no_trace(link: Link, new_address: NewAddress) -> None:
    meter = PostgresMeter()
    probe = Probe(pings=10, tolerance_seconds=60.0)
    with (
        RecordingServer(lambda data: data, listen=new_address()) as server,
        Proxy(server.address, link=link, listen=new_address(), meter=meter, probe=probe) as proxy,
    ):
        assert proxy.added.pings == 10
        assert proxy.added.asked_seconds == link.round_trip_seconds
        assert proxy.added.p99_seconds >= proxy.added.median_seconds == proxy.measured_round_trip_seconds
        assert proxy.added.median_seconds + proxy.added.direct_seconds >= link.round_trip_seconds
        assert server.connections == []
        assert proxy.lateness().deliveries == 0
        assert proxy.open_connections == 0
        assert meter.ready_for_query_per_connection == ()
        with open_client(proxy.address) as client:
            client.sendall(b"now to the server")
            assert receive(client, 17) == b"now to the server"
            assert len(server.connections) == 1


def test_a_long_round_trip_gets_fewer_pings() -> None:
    with EchoServer(TcpAddress()) as echo:
        for asked_seconds, pings in ((0.0, 50), (0.005, 40), (5.0, 10)):
            found = measure_added_round_trip(
                echo.address,
                echo.address,
                asked_seconds=asked_seconds,
                probe=Probe(pings=50, budget_seconds=0.2),
                clock=time.perf_counter,
            )
            assert found.pings == pings


def test_the_figures_are_those_of_the_clock() -> None:
    """Pings take 1, 2, 3, … by this clock: through the proxy first, then directly, in turn."""
    readings = iter(range(10_000))
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += next(readings)
        return now

    with EchoServer(TcpAddress()) as echo:
        found = measure_added_round_trip(
            echo.address, echo.address, asked_seconds=0.0, probe=Probe(pings=10), clock=clock
        )
    # Readings 0 to 3 belong to the first two pings, which do not count; ping k takes as long as its second reading.
    through, direct = [5 + 4 * k for k in range(10)], [7 + 4 * k for k in range(10)]
    assert found.direct_seconds == direct[4]
    assert found.median_seconds == through[4] - direct[4]
    assert found.p99_seconds == through[9] - direct[4]


def test_an_echo_that_does_not_come_is_an_error() -> None:
    with (
        EchoServer(TcpAddress()) as echo,
        RecordingServer() as silent,
    ):
        silent._answer = lambda _: b"short"
        with pytest.raises(LabError, match="did not come back"):
            measure_added_round_trip(
                TcpAddress(port=1), echo.address, asked_seconds=0.0, probe=Probe(), clock=time.perf_counter
            )


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"pings": 9}, "pings is 9"),
        ({"message_bytes": 0}, "message_bytes is 0"),
        ({"tolerance_share": -0.1}, "tolerance_share is -0.1"),
        ({"tolerance_seconds": math.nan}, "tolerance_seconds is nan"),
        ({"budget_seconds": math.inf}, "budget_seconds is inf"),
    ],
)
def test_a_bad_probe_is_refused(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        Probe(**settings)
