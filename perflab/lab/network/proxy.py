"""A TCP and Unix-socket proxy that adds a link between a client and a server, and injects faults.

    with Proxy(TcpAddress(port=5432), link=Link(round_trip_seconds=0.002)) as proxy:
        ...                                     # connect to proxy.address
        print(proxy.added)                      # what it really adds: the label of results

    with Proxy(TcpAddress(port=5432), meter=PostgresMeter()) as proxy:
        proxy.arm(Mode.LOSE_REPLY, when=Sends(b"COMMIT"))
        ...
        assert proxy.fired                      # a test that injected nothing proves nothing

It runs in threads, because the timers of asyncio round to a millisecond. It needs the interpreter lock for each
delivery: beside a client in the same process that computes, deliveries are late (`lateness()` tells). Measure through a
`ProxyProcess`, inject faults with a `Proxy`.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Self

from perflab.errors import InvalidInput, LabError, LifecycleError
from perflab.lab.network.address import Address, TcpAddress, check_listen, check_upstream
from perflab.lab.network.connection import Connection, Route
from perflab.lab.network.faults import Faults, Firing, Mode, check_mode
from perflab.lab.network.link import Link
from perflab.lab.network.listener import Listener
from perflab.lab.network.measured import AddedRoundTrip, Lateness, LatenessRecord
from perflab.lab.network.postgres_meter import PostgresMeter
from perflab.lab.network.probe import EchoServer, Probe, measure_added_round_trip
from perflab.lab.network.triggers import AfterMessages, Trigger

logger = logging.getLogger(__name__)

TRANSPARENT = Link()
ANY_PORT = TcpAddress()
CLOSE_SECONDS = 10.0
REMEMBERED_ERRORS = 100


class Proxy:
    """Forwards each connection to `upstream`. A context manager; made once, started once.

    Args:
        upstream: The server.
        link: What is added to each connection.
        listen: A port of 127.0.0.1 (0: any), or a Unix socket in a directory that is closed to other users.
        meter: Observes the connections as PostgreSQL's.
        probe: How to measure, at the start, what the proxy adds. By default a link that adds something is measured with
            `Probe()`, so that no delay goes unmeasured, and a transparent one is not measured.
        clock: Seconds.

    Raises:
        InvalidInput: an address or a setting was refused; nothing was opened.
    """

    def __init__(
        self,
        upstream: Address,
        *,
        link: Link = TRANSPARENT,
        listen: Address = ANY_PORT,
        meter: PostgresMeter | None = None,
        probe: Probe | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._upstream = check_upstream(upstream)
        self._listen_address = check_listen(listen)
        self._link = link
        self._meter = meter
        self._probe = Probe() if probe is None and not link.is_transparent else probe
        self._clock = clock
        self._faults = Faults()
        self._lateness = LatenessRecord()
        self._errors: deque[str] = deque(maxlen=REMEMBERED_ERRORS)
        self._route: Route | None = None
        self._listener: Listener | None = None
        self._connections: list[Connection] = []
        self._accepted = 0
        self._added: AddedRoundTrip | None = None
        self._is_closed = False
        self._lock = threading.Lock()  # of the connections
        self._switching = threading.Lock()  # of the listener

    # -- life --------------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen, and measure what the proxy adds.

        Raises:
            LabError: the address cannot be listened at, or what is added is off by more than the tolerance.
            LifecycleError: it was started before.
        """
        with self._switching:
            if self._listener is not None or self._is_closed:
                raise LifecycleError("this proxy was started before: make another one")
            route = Route(
                self._upstream, self._link, self._faults, self._meter, self._lateness, self._clock, self._note_error
            )
            try:
                if self._probe is not None:
                    self._added = self._measure(self._probe)
                self._route = route
                if self._listener is None:
                    self._listener = self._listen(self._listen_address)
            except BaseException:
                self._shut()
                raise
        return self

    def close(self) -> None:
        """Stop listening, end all connections, and wait for the threads. May be called again.

        Raises:
            LabError: a thread did not end.
        """
        with self._switching:
            self._shut()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _shut(self) -> None:
        self._is_closed = True
        if self._listener is not None:
            self._listener.close()
        self._end_connections()

    def _end_connections(self) -> None:
        with self._lock:
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.end()
        for connection in connections:
            connection.join(CLOSE_SECONDS)
        if stuck := sum(connection.is_alive for connection in connections):
            raise LabError(f"{stuck} proxied connections did not end within {CLOSE_SECONDS:g} seconds")

    def _listen(self, address: Address) -> Listener:
        try:
            return Listener(address, self._accept)
        except OSError as error:
            raise LabError(f"the proxy cannot listen at {address}: {error}") from error

    def _measure(self, probe: Probe) -> AddedRoundTrip:
        """Ping through the very listener that clients will use, before they know it."""
        with EchoServer(like=self._upstream) as echo:
            self._route = Route(
                echo.address, self._link, Faults(), None, LatenessRecord(), self._clock, self._note_error
            )
            self._listener = self._listen(self._listen_address)
            added = measure_added_round_trip(
                self._listener.address,
                echo.address,
                asked_seconds=self._link.expected_round_trip_seconds(probe.message_bytes),
                probe=probe,
                clock=self._clock,
            )
            self._end_connections()
        probe.check(added)
        return added

    def _accept(self, client: socket.socket) -> None:
        with self._lock:
            if self._route is None or self._is_closed:
                client.close()
                return
            self._accepted += self._route.faults is self._faults  # pings have no number
            connection = Connection(self._accepted, client, self._route)
            self._connections = [known for known in self._connections if known.is_alive]
            self._connections.append(connection)
            connection.start()

    def _note_error(self, message: str) -> None:
        self._errors.append(message)
        logger.warning("%s", message)

    # -- what it is --------------------------------------------------------------------------------------------------

    @property
    def address(self) -> Address:
        """Where clients connect. It stays the same for the life of the proxy."""
        if self._listener is None:
            raise LifecycleError("the proxy has no address yet: start it, or use it as a context manager")
        return self._listener.address

    @property
    def added(self) -> AddedRoundTrip:
        """What it was measured to add, at the start.

        Raises:
            LabError: it was not measured.
        """
        if self._added is None:
            raise LabError("what this proxy adds was not measured: give it probe=Probe() and start it")
        return self._added

    @property
    def measured_round_trip_seconds(self) -> float:
        """The median of `added`: what to put beside results, in place of what was asked for."""
        return self.added.median_seconds

    def lateness(self) -> Lateness:
        """How late deliveries have been since the start, against their due times."""
        return self._lateness.summary()

    @property
    def upstream_errors(self) -> tuple[str, ...]:
        """Why connections could not be forwarded; the last 100."""
        return tuple(self._errors)

    @property
    def open_connections(self) -> int:
        with self._lock:
            return sum(connection.is_alive for connection in self._connections)

    # -- faults ------------------------------------------------------------------------------------------------------

    @property
    def mode(self) -> Mode:
        """The mode that was switched to. A fault that a trigger began holds on its own connection only."""
        return self._faults.mode

    def switch(self, mode: Mode) -> None:
        """Put a mode in force on all connections, now; `Mode.PASS` also ends faults that triggers began.

        Raises:
            InvalidInput: it is no mode.
            LabError: listening again, after `Mode.REFUSE`, was not possible.
            LifecycleError: the proxy does not run.
        """
        check_mode(mode)
        with self._switching:
            if self._listener is None or self._is_closed:
                raise LifecycleError("the proxy does not run: start it before switching")
            was_refusing = self._faults.mode is Mode.REFUSE
            if mode is not Mode.REFUSE and was_refusing:
                self._listener = self._listen(self._listener.address)
            self._faults.switch(mode)
            fault = self._faults.in_force(0)
            if mode is Mode.REFUSE:
                self._listener.close()
                self._faults.record(fault, 0)
        if mode in (Mode.RESET, Mode.CUT):
            with self._lock:
                connections = [connection for connection in self._connections if connection.is_alive]
            for connection in connections:
                connection.break_by(fault)

    def arm(self, mode: Mode, *, when: Trigger) -> None:
        """Begin a fault, once, on the first connection on which `when` comes true; all others go on.

        Raises:
            InvalidInput: the mode cannot begin inside a connection, or the trigger needs a meter and there is none.
        """
        if isinstance(when, AfterMessages) and self._meter is None:
            raise InvalidInput(f"{when} counts messages: make the proxy with meter=PostgresMeter()")
        self._faults.arm(mode, when)

    @property
    def armed(self) -> tuple[Trigger, ...]:
        """Triggers that have not come true yet."""
        return self._faults.armed

    @property
    def fired(self) -> tuple[Firing, ...]:
        """Every fault that took effect, once for each connection. Empty: nothing was injected."""
        return self._faults.fired

    def wait_fired(self, timeout_seconds: float, *, count: int = 1) -> bool:
        """Whether `count` faults have taken effect, or do within the time."""
        return self._faults.wait_fired(timeout_seconds, count)
