"""One proxied connection: two directions, each read in a thread, passed by the faults, and sent on."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from perflab.lab.network.address import Address, connect
from perflab.lab.network.delay_line import DelayLine
from perflab.lab.network.faults import Fault, Faults, Mode
from perflab.lab.network.link import Link
from perflab.lab.network.measured import LatenessRecord
from perflab.lab.network.postgres_framing import Message
from perflab.lab.network.postgres_meter import COPY_IN_RESPONSE, READY_FOR_QUERY, PostgresConversation, PostgresMeter
from perflab.lab.network.sender import DelayedSender, DirectSender, Sender, shut_down
from perflab.lab.network.side import Side

CONNECT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Route:
    """Where connections lead, and what happens to them on the way."""

    upstream: Address
    link: Link
    faults: Faults
    meter: PostgresMeter | None
    lateness: LatenessRecord
    clock: Callable[[], float]
    on_upstream_error: Callable[[str], None]


class Connection:
    """Lives from `start` until both directions have ended. The last of its threads closes the sockets."""

    def __init__(self, number: int, client: socket.socket, route: Route) -> None:
        self.number = number
        self._client = client
        self._server: socket.socket | None = None
        self._route = route
        self._conversation: PostgresConversation | None = None
        self._senders: dict[Side, Sender] = {}  # by who wrote the bytes
        self._lock = threading.RLock()
        self._threads: list[threading.Thread] = []
        self._running = 0
        self._is_over = False

    def start(self) -> None:
        """Connect to the server and forward, in threads."""
        if self._route.meter is not None:
            self._conversation = self._route.meter.open_conversation()
        with self._lock:
            self._spawn(self._open)

    @property
    def is_alive(self) -> bool:
        return any(thread.is_alive() for thread in list(self._threads))

    def join(self, timeout_seconds: float) -> None:
        """Wait for the threads; after `end` or `reset` they do not take long."""
        for thread in list(self._threads):
            thread.join(timeout_seconds)

    # -- ways to end -------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Close both sides now. Bytes on their way are lost."""
        self._stop(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Break both sides now: an RST on TCP; a Unix socket knows only closing."""
        with self._lock:
            if not self._is_over:
                for side in self._sockets():
                    # To close with a linger time of zero sends an RST instead of a FIN.
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("@ii", 1, 0))
        self._stop(socket.SHUT_RD)  # wakes the readers and sends nothing

    def cut(self) -> None:
        """Close both sides behind the bytes that are on their way; what comes later is discarded."""
        with self._lock:
            if not self._senders:
                self.end()
                return
            # The server gets a FIN only: closing with its replies unread would destroy what it has not read itself.
            self._senders[Side.CLIENT].finish(socket.SHUT_WR)
            self._senders[Side.SERVER].finish(socket.SHUT_RDWR)

    def break_by(self, fault: Fault) -> None:
        """Reset or cut, as the fault says, and record it."""
        self._route.faults.record(fault, self.number)
        if fault.mode is Mode.RESET:
            self.reset()
        else:
            self.cut()

    def _stop(self, how: int) -> None:
        with self._lock:
            if self._is_over:
                return
            self._is_over = True
            for sender in self._senders.values():
                sender.abort()
            for side in self._sockets():
                shut_down(side, how)
        self._route.faults.wake()

    # -- threads -----------------------------------------------------------------------------------------------------

    def _spawn(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._run, args=(work,), name=f"proxied connection {self.number}", daemon=True)
        self._threads.append(thread)
        self._running += 1
        thread.start()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            with self._lock:
                self._running -= 1
                if not self._running:
                    self._is_over = True
                    for side in self._sockets():
                        side.close()

    def _sockets(self) -> list[socket.socket]:
        return [self._client] if self._server is None else [self._client, self._server]

    def _open(self) -> None:
        route = self._route
        fault = route.faults.in_force(self.number)
        if fault.mode in (Mode.RESET, Mode.CUT):
            self.break_by(fault)
            return
        try:
            server = connect(route.upstream, CONNECT_SECONDS)
        except OSError as error:
            route.on_upstream_error(f"connection {self.number} could not be forwarded to {route.upstream}: {error}")
            self.end()
            return
        with self._lock:
            self._server = server
            if self._is_over:
                return
            self._senders = {
                Side.CLIENT: self._make_sender(Side.CLIENT, server),
                Side.SERVER: self._make_sender(Side.SERVER, self._client),
            }
            self._spawn(lambda: self._relay(Side.SERVER, server))
        self._relay(Side.CLIENT, self._client)

    def _make_sender(self, by: Side, destination: socket.socket) -> Sender:
        link = self._route.link
        if link.is_transparent:
            return DirectSender(destination)
        sender = DelayedSender(
            destination,
            DelayLine(link, Random(f"{link.seed} {self.number} {by}")),
            capacity_bytes=link.capacity_bytes,
            clock=self._route.clock,
            lateness=self._route.lateness,
        )
        self._spawn(sender.run)
        return sender

    # -- forwarding --------------------------------------------------------------------------------------------------

    def _relay(self, by: Side, source: socket.socket) -> None:
        """Forward what one side sends until it ends."""
        while not self._is_over:
            try:
                data = source.recv(self._route.link.read_bytes)
            except OSError:
                self._route.faults.wait_while_stalled(self.number, lambda: self._is_over)
                self.reset()
                return
            if not data:
                self._route.faults.wait_while_stalled(self.number, lambda: self._is_over)
                self._senders[by].finish(socket.SHUT_WR)
                return
            self._forward(by, data, self._route.clock())

    def _forward(self, by: Side, data: bytes, arrived_at: float) -> None:
        faults, conversation = self._route.faults, self._conversation
        messages = [] if conversation is None else conversation.observe(by, data)
        met = faults.meet(self.number, by, data, messages)
        if met is not None:
            fault, position = met
            if fault.mode in (Mode.RESET, Mode.CUT):
                self._send(by, data[:position], arrived_at)
                faults.impose(self.number, fault)
                self.break_by(fault)
                return
            faults.impose(self.number, fault)  # first, or the answer could slip through
            self._send(by, data[:position], arrived_at)
            data = data[position:]
        if data:
            self._forward_under_fault(by, data, arrived_at, messages)

    def _forward_under_fault(self, by: Side, data: bytes, arrived_at: float, messages: Sequence[Message]) -> None:
        fault = self._route.faults.wait_while_stalled(self.number, lambda: self._is_over)
        if fault.mode in (Mode.RESET, Mode.CUT):
            self.break_by(fault)
        elif by is Side.SERVER and fault.mode in (Mode.DROP_REPLY, Mode.LOSE_REPLY):
            self._route.faults.record(fault, self.number)
            if fault.mode is Mode.LOSE_REPLY and self._completes_answer(messages):
                self.cut()
        else:
            self._send(by, data, arrived_at)

    def _completes_answer(self, messages: Sequence[Message]) -> bool:
        conversation = self._conversation
        if conversation is None or conversation.unreadable is not None:
            return True
        kinds = {message.kind for message in messages}
        # Behind a CopyInResponse nothing comes until the client goes on, which does not know that it may.
        return COPY_IN_RESPONSE in kinds or (READY_FOR_QUERY in kinds and conversation.is_answered)

    def _send(self, by: Side, data: bytes, arrived_at: float) -> None:
        if data:
            self._senders[by].send(data, arrived_at)
