"""Each fault as a client and a server see it, switched on and by triggers, and the record that it fired."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from perflab.errors import InvalidInput
from perflab.lab.network.address import connect
from perflab.lab.network.faults import Firing, Mode
from perflab.lab.network.link import Link
from perflab.lab.network.postgres_meter import PostgresMeter
from perflab.lab.network.probe import Probe
from perflab.lab.network.proxy import Proxy
from perflab.lab.network.side import Side
from perflab.lab.network.triggers import AfterBytes, AfterMessages, Sends
from tests.lab.network import postgres_messages as encoded
from tests.lab.network.conftest import NewAddress
from tests.lab.network.exchange import PATIENCE_SECONDS, has_received_nothing, open_client, receive, receive_all
from tests.lab.network.recording_server import Recorded, RecordingServer

pytestmark = pytest.mark.usefixtures("nothing_left_open")

DELAYED = Link(round_trip_seconds=0.002)
ANY_ADDITION = Probe(pings=10, tolerance_seconds=60.0)


def shout(data: bytes) -> bytes:
    return data.upper()


def answer_postgres(data: bytes) -> bytes:
    """A welcome for a startup message, and one ReadyForQuery for each Query or Sync, however they are read."""
    welcome = encoded.WELCOME if data.startswith(encoded.STARTUP) else b""
    requests = data.count(b"Q\0\0") + data.count(encoded.SYNC)
    return welcome + (encoded.message("C", b"DONE\0") + encoded.READY) * requests


@pytest.fixture
def server(new_address: NewAddress) -> Iterator[RecordingServer]:
    with RecordingServer(shout, listen=new_address()) as running:
        yield running


@pytest.fixture(params=[Link(), DELAYED], ids=["no delay", "delay"])
def proxy(request: pytest.FixtureRequest, server: RecordingServer, new_address: NewAddress) -> Iterator[Proxy]:
    with Proxy(server.address, link=request.param, listen=new_address(), probe=ANY_ADDITION) as running:
        yield running


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    """A connection that is known to work."""
    with open_client(proxy.address) as opened:
        opened.sendall(b"hello ")
        assert receive(opened, 6) == b"HELLO "
        yield opened


def ended(connections: list[Recorded]) -> bool:
    return all(connection.ending is not None for connection in connections)


def assert_works(proxy: Proxy) -> None:
    with open_client(proxy.address) as another:
        another.sendall(b"again")
        assert receive(another, 5) == b"AGAIN"


# -- switched on -------------------------------------------------------------------------------------------------------


def test_nothing_fires_where_nothing_is_injected(proxy: Proxy, client: socket.socket) -> None:
    proxy.arm(Mode.RESET, when=Sends(b"never sent"))
    client.sendall(b"something else")
    assert receive(client, 14) == b"SOMETHING ELSE"
    assert not proxy.fired
    assert not proxy.wait_fired(0.0)
    assert proxy.armed == (Sends(b"never sent"),)


def test_stalled_bytes_and_ends_are_withheld_until_the_switch_is_moved_back(
    server: RecordingServer, proxy: Proxy, client: socket.socket
) -> None:
    proxy.switch(Mode.STALL)
    client.sendall(b"are you there?")
    client.shutdown(socket.SHUT_WR)
    assert proxy.wait_fired(PATIENCE_SECONDS)
    assert proxy.fired == (Firing(Mode.STALL, 1, None),)
    assert has_received_nothing(client)
    assert server.connections[0] == Recorded(b"hello ", None)
    proxy.switch(Mode.PASS)
    assert receive_all(client) == b"ARE YOU THERE?"
    assert server.wait(ended) == [Recorded(b"hello are you there?", "end")]


def test_stalled_answers_are_withheld_and_a_deadline_of_the_client_ends_the_wait(
    server: RecordingServer, proxy: Proxy, client: socket.socket
) -> None:
    proxy.arm(Mode.STALL, when=AfterBytes(4))
    client.sendall(b"ping")
    server.wait(lambda connections: connections[0].received == b"hello ping")
    assert proxy.wait_fired(PATIENCE_SECONDS)
    client.settimeout(0.05)
    with pytest.raises(TimeoutError):
        client.recv(1)
    assert_works(proxy)


def test_a_stalled_connection_ends_with_its_proxy(proxy: Proxy, client: socket.socket) -> None:
    proxy.switch(Mode.STALL)
    client.sendall(b"are you there?")
    assert proxy.wait_fired(PATIENCE_SECONDS)
    proxy.close()
    with pytest.raises(EOFError):
        receive(client, 1)


def test_a_reset_breaks_both_sides_at_once(server: RecordingServer, proxy: Proxy, client: socket.socket) -> None:
    proxy.switch(Mode.RESET)
    if client.family == socket.AF_UNIX:
        assert receive_all(client) == b""
    else:
        with pytest.raises(ConnectionResetError):
            receive(client, 1)
        assert server.wait(ended) == [Recorded(b"hello ", "reset")]
    assert server.wait(ended)[0].received == b"hello "
    assert proxy.fired == (Firing(Mode.RESET, 1, None),)
    with pytest.raises((EOFError, ConnectionError)), open_client(proxy.address) as another:  # even while it connects
        receive(another, 1)
    proxy.switch(Mode.PASS)
    assert_works(proxy)


def test_a_cut_closes_both_sides_in_good_order(server: RecordingServer, proxy: Proxy, client: socket.socket) -> None:
    proxy.switch(Mode.CUT)
    assert receive_all(client) == b""
    assert server.wait(ended) == [Recorded(b"hello ", "end")]
    assert proxy.fired == (Firing(Mode.CUT, 1, None),)
    with open_client(proxy.address) as another:
        assert receive_all(another) == b""
    assert len(server.connections) == 1
    proxy.switch(Mode.PASS)
    assert_works(proxy)


def test_a_dropped_reply_leaves_the_client_waiting_for_what_was_done(
    server: RecordingServer, proxy: Proxy, client: socket.socket
) -> None:
    proxy.switch(Mode.DROP_REPLY)
    client.sendall(b"do it")
    server.wait(lambda connections: connections[0].received == b"hello do it")
    assert proxy.wait_fired(PATIENCE_SECONDS)
    assert proxy.fired == (Firing(Mode.DROP_REPLY, 1, None),)
    assert has_received_nothing(client)
    assert server.connections[0].ending is None


def test_refused_connections_do_not_come_about_and_old_ones_go_on(proxy: Proxy, client: socket.socket) -> None:
    address = proxy.address
    proxy.switch(Mode.REFUSE)
    assert proxy.fired == (Firing(Mode.REFUSE, 0, None),)
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        connect(address, PATIENCE_SECONDS)
    client.sendall(b"still here")
    assert receive(client, 10) == b"STILL HERE"
    proxy.switch(Mode.REFUSE)
    with pytest.raises(InvalidInput, match="mode is 'open'"):
        proxy.switch("open")  # type: ignore[arg-type]  # on purpose
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        connect(address, PATIENCE_SECONDS)
    proxy.switch(Mode.PASS)
    assert proxy.address == address
    assert_works(proxy)


# -- by triggers -------------------------------------------------------------------------------------------------------


def test_a_cut_before_a_pattern_delivers_all_before_it_and_nothing_of_it(
    server: RecordingServer, proxy: Proxy, client: socket.socket
) -> None:
    proxy.arm(Mode.CUT, when=Sends(b"COMMIT"))
    client.sendall(b"insert; COMMIT; and more")
    assert receive_all(client) in (b"", b"INSERT; ")  # the cut may overtake the answer
    assert server.wait(ended) == [Recorded(b"hello insert; ", "end")]
    assert proxy.fired == (Firing(Mode.CUT, 1, Sends(b"COMMIT")),)
    assert proxy.armed == ()


def test_a_cut_after_so_many_bytes_delivers_exactly_those(
    server: RecordingServer, proxy: Proxy, client: socket.socket
) -> None:
    proxy.arm(Mode.CUT, when=AfterBytes(10))
    client.sendall(b"123456")
    assert receive(client, 6) == b"123456"
    client.sendall(b"123456")
    receive_all(client)
    assert server.wait(ended) == [Recorded(b"hello 1234561234", "end")]


def test_a_cut_of_what_the_server_sends_delivers_its_beginning(proxy: Proxy, client: socket.socket) -> None:
    proxy.arm(Mode.CUT, when=AfterBytes(3, by=Side.SERVER))
    client.sendall(b"abcdef")
    assert receive_all(client) == b"ABC"


def test_a_reset_by_a_trigger_lets_nothing_of_the_pattern_through(
    server: RecordingServer, proxy: Proxy, client: socket.socket
) -> None:
    proxy.arm(Mode.RESET, when=Sends(b"COMMIT"))
    client.sendall(b"COMMIT")
    with pytest.raises((EOFError, ConnectionResetError)):
        receive(client, 1)
    assert server.wait(ended)[0].received == b"hello "
    assert proxy.fired == (Firing(Mode.RESET, 1, Sends(b"COMMIT")),)


def test_a_lost_reply_closes_when_the_server_has_answered(
    server: RecordingServer, proxy: Proxy, client: socket.socket
) -> None:
    proxy.arm(Mode.LOSE_REPLY, when=Sends(b"COMMIT"))
    client.sendall(b"COMMIT")
    assert receive_all(client) == b""
    assert server.wait(ended) == [Recorded(b"hello COMMIT", "end")]
    assert proxy.fired == (Firing(Mode.LOSE_REPLY, 1, Sends(b"COMMIT")),)
    # Once: the client that asks again what became of it has its answer.
    with open_client(proxy.address) as another:
        another.sendall(b"COMMIT?")
        assert receive(another, 7) == b"COMMIT?"
    assert len(proxy.fired) == 1


def test_a_trigger_fires_on_one_of_many_connections(proxy: Proxy, client: socket.socket) -> None:
    proxy.arm(Mode.CUT, when=Sends(b"x"))
    with ExitStack() as stack:
        clients = [stack.enter_context(open_client(proxy.address)) for _ in range(8)]
        for opened in clients:
            opened.sendall(b"x")
        answers = sorted(opened.recv(1) for opened in clients)
    assert answers == [b"", *[b"X"] * 7]
    assert len(proxy.fired) == 1


# -- by messages of PostgreSQL -----------------------------------------------------------------------------------------


@pytest.fixture(params=[Link(), DELAYED], ids=["no delay", "delay"])
def postgres(request: pytest.FixtureRequest) -> Iterator[tuple[RecordingServer, Proxy, PostgresMeter, socket.socket]]:
    """A scripted server behind a proxy with a meter, and a client that it has accepted."""
    meter = PostgresMeter()
    with (
        RecordingServer(answer_postgres) as server,
        Proxy(server.address, link=request.param, meter=meter, probe=ANY_ADDITION) as proxy,
        open_client(proxy.address) as client,
    ):
        client.sendall(encoded.STARTUP)
        assert receive(client, len(encoded.WELCOME)) == encoded.WELCOME
        yield server, proxy, meter, client


def test_a_client_that_has_its_answer_finds_it_counted(
    postgres: tuple[RecordingServer, Proxy, PostgresMeter, socket.socket],
) -> None:
    _, _, meter, client = postgres
    for round_trips in range(2, 30):
        client.sendall(encoded.query(b"SELECT 1"))
        receive(client, len(encoded.message("C", b"DONE\0") + encoded.READY))
        assert meter.ready_for_query == round_trips
    assert meter.count(Side.CLIENT, "Q") == 28
    assert meter.ready_for_query_per_connection == (29,)


def test_a_cut_after_the_nth_message_leaves_whole_messages(
    postgres: tuple[RecordingServer, Proxy, PostgresMeter, socket.socket],
) -> None:
    server, proxy, _, client = postgres
    row = encoded.message("d", b"row\n")
    proxy.arm(Mode.CUT, when=AfterMessages(2, "d"))
    client.sendall(encoded.message("H") + row * 3 + encoded.message("c"))
    assert receive_all(client) == b""
    assert server.wait(ended) == [Recorded(encoded.STARTUP + encoded.message("H") + row * 2, "end")]
    assert proxy.fired == (Firing(Mode.CUT, 1, AfterMessages(2, "d")),)


def test_a_reply_is_lost_when_the_last_of_all_answers_has_come(
    postgres: tuple[RecordingServer, Proxy, PostgresMeter, socket.socket],
) -> None:
    server, proxy, meter, client = postgres
    proxy.arm(Mode.LOSE_REPLY, when=Sends(b"COMMIT"))
    first, second = encoded.query(b"INSERT"), encoded.extended(b"COMMIT") + encoded.SYNC
    client.sendall(first + second)
    received = receive_all(client)
    assert received in (b"", encoded.message("C", b"DONE\0") + encoded.READY)  # of the INSERT, where it came in time
    assert server.wait(ended) == [Recorded(encoded.STARTUP + first + second, "end")]
    assert meter.ready_for_query == 3
    assert proxy.fired == (Firing(Mode.LOSE_REPLY, 1, Sends(b"COMMIT")),)


def test_a_reply_in_parts_is_lost_as_a_whole(
    postgres: tuple[RecordingServer, Proxy, PostgresMeter, socket.socket],
) -> None:
    server, proxy, _, client = postgres
    proxy.arm(Mode.LOSE_REPLY, when=Sends(b"COPY"))
    copy = encoded.extended(b"COPY items TO STDOUT")  # which this server answers with its Sync, and not before
    client.sendall(copy)
    server.wait(lambda connections: connections[0].received == encoded.STARTUP + copy)
    server.send(encoded.message("H"))
    assert proxy.wait_fired(PATIENCE_SECONDS)
    for _ in range(3):
        server.send(encoded.message("d", b"row\n"))
        assert has_received_nothing(client)
    client.sendall(encoded.SYNC)
    assert receive_all(client) == b""
    assert server.wait(ended)[0].received.endswith(encoded.SYNC)


def test_an_invitation_to_copy_is_lost_at_once(
    postgres: tuple[RecordingServer, Proxy, PostgresMeter, socket.socket],
) -> None:
    server, proxy, _, client = postgres
    proxy.arm(Mode.LOSE_REPLY, when=Sends(b"COPY"))
    copy = encoded.extended(b"COPY items FROM STDIN")  # which this server answers with its Sync, and not before
    client.sendall(copy)
    server.wait(lambda connections: connections[0].received == encoded.STARTUP + copy)
    server.send(encoded.message("G"))
    assert receive_all(client) == b""
    assert [firing.mode for firing in proxy.fired] == [Mode.LOSE_REPLY]


def test_a_stall_behind_a_message_lets_it_through_and_no_answer_back(
    postgres: tuple[RecordingServer, Proxy, PostgresMeter, socket.socket],
) -> None:
    server, proxy, _, client = postgres
    proxy.arm(Mode.STALL, when=AfterMessages(1, "Q"))
    query = encoded.query(b"SELECT 1")
    client.sendall(query)
    server.wait(lambda connections: connections[0].received == encoded.STARTUP + query)
    assert proxy.wait_fired(PATIENCE_SECONDS)
    assert has_received_nothing(client)
    proxy.switch(Mode.PASS)
    assert receive(client, 6 + 4 + 6) == encoded.message("C", b"DONE\0") + encoded.READY
