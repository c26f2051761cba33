"""Measuring what a proxy really adds: pings through it, and pings past it, in turn."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from perflab.database.values import check_integer, check_number
from perflab.errors import LabError
from perflab.lab.network.address import Address, TcpAddress, UnixAddress, connect
from perflab.lab.network.listener import Listener
from perflab.lab.network.measured import AddedRoundTrip, quantile
from perflab.lab.network.sender import shut_down

PING_TIMEOUT_SECONDS = 5.0
LEAST_PINGS = 10


@dataclass(frozen=True, slots=True)
class Probe:
    """How to measure, and how far the answer may lie from what was asked.

    Attributes:
        pings: How many each way. A long round trip gets fewer, at least ten, so that they take about `budget_seconds`.
        message_bytes: Size of a ping and of its echo.
        tolerance_share: Of the round trip that was asked.
        tolerance_seconds: The larger of the two tolerances counts.
        budget_seconds: See `pings`.

    Raises:
        InvalidInput: a value is out of its range.
    """

    pings: int = 100
    message_bytes: int = 64
    tolerance_share: float = 0.25
    tolerance_seconds: float = 0.0002
    budget_seconds: float = 1.0

    def __post_init__(self) -> None:
        check_integer(self.pings, "pings", low=LEAST_PINGS, high=100_000)
        check_integer(self.message_bytes, "message_bytes", low=1, high=65_536)
        check_number(self.tolerance_share, "tolerance_share")
        check_number(self.tolerance_seconds, "tolerance_seconds")
        check_number(self.budget_seconds, "budget_seconds")

    def check(self, added: AddedRoundTrip) -> None:
        """Refuse a proxy that is not what was asked for.

        Raises:
            LabError: what it adds is off by more than the tolerance.
        """
        off = abs(added.median_seconds - added.asked_seconds)
        tolerance = max(self.tolerance_seconds, self.tolerance_share * added.asked_seconds)
        if off > tolerance:
            raise LabError(
                f"the proxy adds {added.median_seconds * 1_000:.3f} ms to a round trip (median of {added.pings} pings) "
                f"where {added.asked_seconds * 1_000:g} ms were asked, and {tolerance * 1_000:g} ms of difference are "
                "allowed: let the machine come to rest, or allow more with Probe(tolerance_seconds=…)"
            )


def measure_added_round_trip(
    through: Address, direct: Address, *, asked_seconds: float, probe: Probe, clock: Callable[[], float]
) -> AddedRoundTrip:
    """Ping an echo endpoint through a proxy and directly, in turn so that both see the same machine.

    Args:
        through: Where the proxy listens that leads to the endpoint.
        direct: The endpoint.
        asked_seconds: What the proxy should add.
        probe: How many pings, of what size.
        clock: Seconds.

    Raises:
        LabError: an echo did not come back.
    """
    pings = max(LEAST_PINGS, min(probe.pings, int(probe.budget_seconds / max(asked_seconds, 1e-6))))
    message = b"p" * probe.message_bytes
    slow: list[float] = []
    fast: list[float] = []
    timeout_seconds = PING_TIMEOUT_SECONDS + 2 * asked_seconds
    try:
        with connect(through, timeout_seconds) as proxied, connect(direct, timeout_seconds) as plain:
            for opened in (proxied, plain):
                opened.settimeout(timeout_seconds)
                _ping(opened, message, clock)  # the first finds threads that are still starting
            for _ in range(pings):
                slow.append(_ping(proxied, message, clock))
                fast.append(_ping(plain, message, clock))
    except OSError as error:
        raise LabError(f"a ping through the proxy at {through} did not come back: {error}") from error
    direct_seconds = quantile(fast, 0.5)
    return AddedRoundTrip(
        asked_seconds=asked_seconds,
        median_seconds=quantile(slow, 0.5) - direct_seconds,
        p99_seconds=quantile(slow, 0.99) - direct_seconds,
        direct_seconds=direct_seconds,
        pings=pings,
    )


def _ping(opened: socket.socket, message: bytes, clock: Callable[[], float]) -> float:
    started = clock()
    opened.sendall(message)
    left = len(message)
    while left:
        received = len(opened.recv(left))
        if not received:
            raise ConnectionError("the connection was closed")
        left -= received
    return clock() - started


class EchoServer:
    """Sends back what it receives, on loopback or on a Unix socket, whichever `like` is. A context manager."""

    def __init__(self, like: Address) -> None:
        self._folder: str | None = None
        address: Address = TcpAddress()
        if isinstance(like, UnixAddress):
            self._folder = tempfile.mkdtemp(prefix="perflab-")
            address = UnixAddress(Path(self._folder) / "echo")
        self._accepted: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = Listener(address, self._accept)

    @property
    def address(self) -> Address:
        return self._listener.address

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for accepted in self._accepted:
            shut_down(accepted, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for accepted in self._accepted:
            accepted.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _accept(self, accepted: socket.socket) -> None:
        self._accepted.append(accepted)
        thread = threading.Thread(target=_echo, args=(accepted,), name="echo", daemon=True)
        self._threads.append(thread)
        thread.start()


def _echo(accepted: socket.socket) -> None:
    try:
        while data := accepted.recv(65_536):
            accepted.sendall(data)
    except OSError:  # the other side has gone, and so has its echo
        return
    shut_down(accepted, socket.SHUT_RDWR)
