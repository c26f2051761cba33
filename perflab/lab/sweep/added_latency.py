"""A network between the sweep and its server: a proxy in a process of its own that adds to each round trip."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from perflab.errors import LabError
from perflab.lab.network.address import Address, TcpAddress, UnixAddress
from perflab.lab.network.link import Link
from perflab.lab.network.postgres_url import DEFAULT_PORT, SOCKET_NAME, server_address, url_through
from perflab.lab.network.probe import Probe
from perflab.lab.network.process import ProxyProcess

PROBE = Probe(pings=50, budget_seconds=0.3)
"""What a proxy adds is measured anew for each visit, so each measurement is short."""
ATTEMPTS = 8
PAUSE_SECONDS = 0.25
"""A busy machine disturbs the measurement of what is added, and mostly not for long."""


@contextmanager
def through_proxy(
    url: str, added_latency: float, *, sleep: Callable[[float], None] = time.sleep
) -> Iterator[tuple[str, float]]:
    """The URL of the same database through a proxy, and the round trip that the proxy was measured to add (seconds).

    The proxy listens on the kind of address that the server has, a Unix socket or TCP, so that the kind makes no
    difference.

    Args:
        url: of the database.
        added_latency: seconds of round trip.
        sleep: waits for that many seconds, before another attempt.

    Raises:
        LabError: what it adds is off by more than the tolerance, in all of `ATTEMPTS`.
    """
    upstream = server_address(url)
    with ExitStack() as stack:
        proxy = _start(stack, upstream, Link(round_trip_seconds=added_latency), sleep)
        yield url_through(url, proxy.address), proxy.measured_round_trip_seconds


def _start(stack: ExitStack, upstream: Address, link: Link, sleep: Callable[[float], None]) -> ProxyProcess:
    for attempt in range(1, ATTEMPTS + 1):
        listen: Address = TcpAddress()
        if isinstance(upstream, UnixAddress):
            folder = stack.enter_context(TemporaryDirectory(prefix="perflab-"))
            listen = UnixAddress(Path(folder) / f"{SOCKET_NAME}{DEFAULT_PORT}")
        try:
            return stack.enter_context(ProxyProcess(upstream, link=link, listen=listen, probe=PROBE))
        except LabError:
            if attempt == ATTEMPTS:
                raise
            sleep(PAUSE_SECONDS)
    raise AssertionError("the last attempt returns or raises")
