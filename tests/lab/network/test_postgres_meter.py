"""The meter: true counts on any stream, in any pieces, and when an answer is complete."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.errors import LabError
from perflab.lab.network.postgres_framing import SSL_REQUEST, STARTUP_MESSAGE
from perflab.lab.network.postgres_meter import PostgresConversation, PostgresMeter
from perflab.lab.network.side import Side
from tests.lab.network import postgres_messages as encoded
from tests.lab.network.pieces import cut_into_pieces

SERVER_KINDS = "RSKZTDC123nsGHWtEN"


@given(
    st.data(),
    st.lists(st.sampled_from([encoded.SSL_REQUEST, encoded.GSS_REQUEST]), max_size=2),
    st.lists(st.tuples(st.sampled_from(SERVER_KINDS), st.binary(max_size=20)), max_size=20),
)
def test_messages_are_counted_in_any_pieces_behind_any_negotiation(
    data: st.DataObject, requests: list[bytes], messages: list[tuple[str, bytes]]
) -> None:
    meter = PostgresMeter()
    conversation = meter.open_conversation()
    for request in requests:
        for piece in cut_into_pieces(data, request):
            conversation.observe(Side.CLIENT, piece)
        assert conversation.observe(Side.SERVER, b"N") == []
    for piece in cut_into_pieces(data, encoded.STARTUP):
        conversation.observe(Side.CLIENT, piece)
    for piece in cut_into_pieces(data, b"".join(encoded.message(*message) for message in messages)):
        conversation.observe(Side.SERVER, piece)
    kinds = Counter(kind for kind, _ in messages)
    assert meter.counts(Side.SERVER) == kinds
    assert meter.ready_for_query == kinds["Z"]
    assert meter.copy_in_responses == kinds["G"]
    assert meter.counts(Side.CLIENT).total() == len(requests) + 1
    assert meter.count(Side.CLIENT, STARTUP_MESSAGE) == 1
    assert meter.count(Side.CLIENT, SSL_REQUEST) == requests.count(encoded.SSL_REQUEST)


def test_connections_are_counted_apart_and_together() -> None:
    meter = PostgresMeter()
    for round_trips in (1, 3):
        conversation = meter.open_conversation()
        conversation.observe(Side.CLIENT, encoded.STARTUP)
        conversation.observe(Side.SERVER, encoded.READY * round_trips)
    assert meter.ready_for_query_per_connection == (1, 3)
    assert meter.ready_for_query == 4


def test_a_refusal_and_the_messages_behind_it_may_come_in_one_read() -> None:
    conversation = PostgresConversation()
    conversation.observe(Side.CLIENT, encoded.SSL_REQUEST + encoded.STARTUP)
    messages = conversation.observe(Side.SERVER, b"N" + encoded.WELCOME)
    assert messages[-1] == ("Z", 1 + len(encoded.WELCOME))


def test_a_server_may_answer_a_negotiation_with_an_error() -> None:
    conversation = PostgresConversation()
    conversation.observe(Side.CLIENT, encoded.SSL_REQUEST)
    conversation.observe(Side.SERVER, encoded.message("E", b"SFATAL\0\0"))
    assert conversation.count(Side.SERVER, "E") == 1


@pytest.mark.parametrize("request_bytes", [encoded.SSL_REQUEST, encoded.GSS_REQUEST])
@pytest.mark.parametrize("answer", [b"S", b"G"])
def test_an_encrypted_connection_cannot_be_counted_and_says_so(request_bytes: bytes, answer: bytes) -> None:
    meter = PostgresMeter()
    meter.open_conversation()
    conversation = meter.open_conversation()
    conversation.observe(Side.CLIENT, request_bytes)
    conversation.observe(Side.SERVER, answer)
    assert conversation.observe(Side.CLIENT, b"\x16\x03\x01 whatever") == []
    for read in (lambda: meter.ready_for_query, lambda: meter.counts(Side.CLIENT)):
        with pytest.raises(LabError, match="connection 2 cannot be counted: it is encrypted: add sslmode=disable"):
            read()


def test_direct_encryption_and_other_protocols_say_so() -> None:
    for first, reason in ((b"\x16\x03\x01\x02\x00", "encrypted from its first byte"), (b"GET / HTTP", "not a start")):
        meter = PostgresMeter()
        meter.open_conversation().observe(Side.CLIENT, first)
        with pytest.raises(LabError, match=reason):
            assert meter.ready_for_query


EXCHANGES = {
    "query": [(Side.CLIENT, encoded.query(b"SELECT 1")), (Side.SERVER, encoded.message("C") + encoded.READY)],
    "extended": [
        (Side.CLIENT, encoded.extended(b"SELECT 1") + encoded.SYNC),
        (Side.SERVER, encoded.message("1") + encoded.message("2") + encoded.message("C") + encoded.READY),
    ],
    "pipeline": [
        (Side.CLIENT, encoded.extended(b"INSERT") * 3 + encoded.SYNC),
        (Side.SERVER, encoded.message("C") * 3 + encoded.READY),
    ],
    "copy by query": [
        (Side.CLIENT, encoded.query(b"COPY t FROM STDIN")),
        (Side.SERVER, encoded.message("G")),
        (Side.CLIENT, encoded.message("d", b"1\n") * 2 + encoded.message("c")),
        (Side.SERVER, encoded.message("C") + encoded.READY),
    ],
    # The server ignores the Sync that it finds when it has begun to copy.
    "copy in the extended protocol": [
        (Side.CLIENT, encoded.extended(b"COPY t FROM STDIN") + encoded.SYNC),
        (Side.SERVER, encoded.message("1") + encoded.message("2") + encoded.message("G")),
        (Side.CLIENT, encoded.message("d", b"1\n") + encoded.message("c") + encoded.SYNC),
        (Side.SERVER, encoded.message("C") + encoded.READY),
    ],
}


@given(st.data(), st.lists(st.sampled_from(sorted(EXCHANGES)), min_size=1, max_size=4))
def test_an_answer_is_complete_with_its_last_byte_and_not_before(data: st.DataObject, names: list[str]) -> None:
    conversation = PostgresConversation()
    conversation.observe(Side.CLIENT, encoded.STARTUP)
    assert not conversation.is_answered
    conversation.observe(Side.SERVER, encoded.WELCOME)
    assert conversation.is_answered
    for name in names:
        steps = EXCHANGES[name]
        for number, (by, stream) in enumerate(steps):
            is_last = number == len(steps) - 1
            passed = 0
            for piece in cut_into_pieces(data, stream):
                was_ready = conversation.count(Side.SERVER, "Z")
                conversation.observe(by, piece)
                passed += len(piece)
                if is_last and passed == len(stream):
                    assert conversation.count(Side.SERVER, "Z") == was_ready + 1
                    assert conversation.is_answered
                elif not (name == "copy in the extended protocol" and number in (1, 2)):
                    assert not conversation.is_answered


def test_two_queries_in_flight_are_answered_by_the_second_answer() -> None:
    conversation = PostgresConversation()
    conversation.observe(Side.CLIENT, encoded.STARTUP + encoded.query(b"A") + encoded.query(b"COMMIT")[:3])
    conversation.observe(Side.SERVER, encoded.WELCOME + encoded.READY)
    assert not conversation.is_answered
    conversation.observe(Side.CLIENT, encoded.query(b"COMMIT")[3:])
    assert not conversation.is_answered
    conversation.observe(Side.SERVER, encoded.READY)
    assert conversation.is_answered
