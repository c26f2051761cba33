"""Compression of payloads: when it is done, what it learns, and what damaged or hostile bytes come to."""

from __future__ import annotations

import json
import sys
import threading
from random import Random
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from perflab.database.compression import (
    PROBE_EVERY,
    Compression,
    PayloadEncoder,
    decode_stored,
    decompress,
    make_encoder,
    split_column,
)
from perflab.database.database import Database
from perflab.database.values import MAX_PAYLOAD_BYTES, encode_payload
from perflab.errors import CorruptPayload, InvalidInput, MissingExtra
from perflab.lab.sweep.subject import job_payload
from perflab.lab.workloads.flights import load_flights

SMALL = {"flight": "UA1545"}
LARGE = {"flights": ["UA1545", "AA1141"] * 500}


CHARACTERS = "".join(chr(code) for code in range(32, 127) if chr(code) not in '"\\')


def noise(seed: int, characters: int = 5_000) -> str:
    """Text of 93 characters with equal chances: 6.5 bits of 8 are the least that it can become, no fifth less."""
    return "".join(Random(seed).choices(CHARACTERS, k=characters))


def frame_of(value: Any) -> bytes:
    frame = make_encoder(Compression(threshold=0, least_saving=0.0))(value)
    assert isinstance(frame, bytes)
    return frame


# -- when --------------------------------------------------------------------------------------------------------------


def test_without_compression_nothing_stands_in_the_way() -> None:
    assert make_encoder(None) is encode_payload


def test_only_large_payloads_are_compressed() -> None:
    encode = make_encoder(Compression())
    assert encode(SMALL) == encode_payload(SMALL)
    frame = encode(LARGE)
    assert isinstance(frame, bytes)
    assert len(frame) < len(encode_payload(LARGE)) / 10
    assert decode_stored("null", frame) == LARGE


def test_the_threshold_is_that_of_the_setting() -> None:
    text = "a" * 98  # 100 characters with its quotes
    assert isinstance(make_encoder(Compression(threshold=100))(text), bytes)
    assert isinstance(make_encoder(Compression(threshold=101))(text), str)


def test_a_payload_that_does_not_shrink_stays_text() -> None:
    assert isinstance(PayloadEncoder(Compression()).encode(noise(1)), str)


def test_a_lesser_gain_is_taken_where_it_is_asked_for() -> None:
    assert isinstance(PayloadEncoder(Compression(least_saving=0.05)).encode(noise(1)), bytes)


def test_a_higher_level_gives_a_smaller_frame() -> None:
    flights = [job_payload(flight) for flight in load_flights("week").flights[:500]]
    sizes = [len(make_encoder(Compression(level=level))(flights)) for level in (1, 19)]
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"threshold": -1}, "threshold of compression"),
        ({"level": 0}, "level of compression"),
        ({"level": 23}, "level of compression"),
        ({"least_saving": 1.5}, "least_saving of compression"),
    ],
)
def test_a_setting_out_of_bounds_is_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Compression(**setting)


def test_what_is_no_setting_is_refused() -> None:
    with pytest.raises(InvalidInput, match="compression is True: give Compression"):
        Database.open("sqlite://", compression=True)  # type: ignore[arg-type]


def test_bad_payloads_are_refused_as_without() -> None:
    encode = make_encoder(Compression(threshold=0))
    with pytest.raises(InvalidInput, match="NUL"):
        encode(["\0"])
    with pytest.raises(InvalidInput, match="more than the limit"):
        encode("a" * MAX_PAYLOAD_BYTES)


# -- what it learns ----------------------------------------------------------------------------------------------------


class CountedEncoder(PayloadEncoder):
    """Counts how often it tries."""

    tried = 0

    def _compressor(self) -> zstandard.ZstdCompressor:
        self.tried += 1
        return super()._compressor()


def test_where_it_does_not_pay_it_is_hardly_tried() -> None:
    encoder = CountedEncoder(Compression())
    for seed in range(10):
        encoder.encode(noise(seed))
    learnt = encoder.tried
    assert learnt < 10
    for seed in range(4 * PROBE_EVERY):
        assert isinstance(encoder.encode(noise(seed)), str)
    assert encoder.tried == learnt + 4


def test_where_payloads_have_changed_it_starts_again() -> None:
    encoder = CountedEncoder(Compression())
    for seed in range(100):
        encoder.encode(noise(seed))
    kinds = [type(encoder.encode(LARGE)) for _ in range(3 * PROBE_EVERY)]
    assert kinds[-PROBE_EVERY:] == [bytes] * PROBE_EVERY


def test_one_odd_payload_turns_nothing_off() -> None:
    encoder = PayloadEncoder(Compression())
    encoder.encode(noise(1))
    assert isinstance(encoder.encode(LARGE), bytes)


def test_small_payloads_teach_nothing() -> None:
    encoder = CountedEncoder(Compression())
    for _ in range(1_000):
        encoder.encode(SMALL)
    assert encoder.tried == 0
    assert isinstance(encoder.encode(LARGE), bytes)


def test_threads_share_an_encoder() -> None:
    encode = make_encoder(Compression())
    payloads = [{"flights": [f"{number}-{index}" for index in range(700)]} for number in range(8)]
    right: list[bool] = []

    def work(payload: Any) -> None:
        frames = [encode(payload) for _ in range(50)]
        right.append(all(isinstance(frame, bytes) and decode_stored("null", frame) == payload for frame in frames))

    threads = [threading.Thread(target=work, args=(payload,)) for payload in payloads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * len(payloads)


# -- the two columns ---------------------------------------------------------------------------------------------------


def test_a_column_without_frames_is_handed_on() -> None:
    texts, frames = split_column(("1", "2"))
    assert texts == ("1", "2")
    assert frames == ()


def test_a_column_with_frames_becomes_two() -> None:
    assert split_column(("1", b"2")) == (["1", "null"], [None, b"2"])


def test_the_frame_of_a_watch_goes_into_the_payload_of_its_job() -> None:
    job = '{"watch" : "w", "slot" : "s", "payload" : null}'
    assert decode_stored(job, frame_of(LARGE)) == {"watch": "w", "slot": "s", "payload": LARGE}


@pytest.mark.parametrize("text", ["1", "[]", "{}", '{"payload": 1}', "{"])
def test_a_frame_that_has_no_place_is_refused(text: str) -> None:
    with pytest.raises(CorruptPayload, match="the payload cannot be decoded"):
        decode_stored(text, frame_of(LARGE))


# -- damage ------------------------------------------------------------------------------------------------------------


@given(st.integers(0), st.integers(1, 255))
def test_any_damaged_byte_is_noticed(position: int, flip: int) -> None:
    damaged = bytearray(frame_of(LARGE))
    damaged[position % len(damaged)] ^= flip
    try:
        decoded = decode_stored("null", bytes(damaged))
    except CorruptPayload:
        return
    assert decoded == LARGE  # some bits of a header mean nothing


@given(st.binary(max_size=100))
def test_any_bytes_are_a_payload_or_a_typed_error(frame: bytes) -> None:
    with pytest.raises(CorruptPayload):
        decode_stored("null", frame)


@pytest.mark.parametrize("cut", [0, 1, 5, -1])
def test_a_cut_frame_is_refused(cut: int) -> None:
    with pytest.raises(CorruptPayload, match="damaged"):
        decode_stored("null", frame_of(LARGE)[:cut])


def test_something_after_the_frame_is_refused() -> None:
    with pytest.raises(CorruptPayload, match="damaged"):
        decode_stored("null", frame_of(LARGE) * 2)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"", b"[" * 100_000])
def test_a_sound_frame_of_something_else_is_refused(content: bytes) -> None:
    with pytest.raises(CorruptPayload, match="the payload cannot be decoded"):
        decode_stored("null", zstandard.ZstdCompressor().compress(content))


@pytest.mark.case("F33")
def test_a_bomb_is_refused_before_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(2 * MAX_PAYLOAD_BYTES))
    assert len(bomb) < 1_000
    monkeypatch.delattr(zstandard, "ZstdDecompressor")
    with pytest.raises(
        CorruptPayload, match=r"compressed bytes would become 2,097,152 bytes, and the limit is 1,048,576"
    ):
        decompress(bomb)


@pytest.mark.case("F33")
def test_a_bomb_that_does_not_state_its_size_is_refused() -> None:
    bomb = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(2 * MAX_PAYLOAD_BYTES))
    with pytest.raises(CorruptPayload, match="an unstated number of bytes"):
        decompress(bomb)


@pytest.mark.case("F33")
def test_a_bomb_that_lies_about_its_size_is_refused() -> None:
    bomb = bytearray(zstandard.ZstdCompressor().compress(bytes(2 * MAX_PAYLOAD_BYTES)))
    stated = (2 * MAX_PAYLOAD_BYTES).to_bytes(4, "little")
    place = bomb.index(stated)
    bomb[place : place + 4] = (100_000).to_bytes(4, "little")
    assert zstandard.frame_content_size(bytes(bomb)) == 100_000
    with pytest.raises(CorruptPayload, match="damaged"):
        decompress(bytes(bomb))


def test_the_largest_payload_can_be_read_back() -> None:
    payload = "a" * (MAX_PAYLOAD_BYTES - 2)
    frame = make_encoder(Compression())(payload)
    assert isinstance(frame, bytes)
    assert decode_stored("null", frame) == payload


# -- the extra ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def without_zstandard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)


def test_a_missing_extra_is_said_when_the_database_is_opened(without_zstandard: None) -> None:
    with pytest.raises(MissingExtra, match=r"pip install 'perflab\[compression\]'"):
        Database.open("sqlite://", compression=Compression())


def test_nothing_needs_the_extra_without_compression(without_zstandard: None) -> None:
    assert decode_stored(json.dumps(SMALL), None) == SMALL
    with pytest.raises(MissingExtra):
        decode_stored("null", b"x")
