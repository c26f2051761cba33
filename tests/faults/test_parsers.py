"""Whatever text a reader of ours is given, it reads it or refuses it with the error that it names."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.cli.db import parse_settings
from perflab.cli.metrics import parse_address
from perflab.cli.report import parse_parameters
from perflab.cli.sweep import parse_milliseconds, parse_sizes
from perflab.database.compression import decode_stored, decompress
from perflab.database.embedded_settings import check_settings, render_settings
from perflab.database.embedded_settings import parse_settings as read_settings
from perflab.database.urls import parse_url, redact, redact_url
from perflab.errors import CorruptPayload, InvalidInput, LabError, StoreError
from perflab.lab.advice.parse import parse_statement
from perflab.lab.gate.read_runs import read_one
from perflab.lab.network.postgres_framing import MessageFramer
from perflab.lab.quantities import parse_seconds
from perflab.lab.report.notebook import read_notebook
from perflab.lab.report.parameter_types import PARAMETER_TYPES
from perflab.lab.report.parameters import declared_parameters
from perflab.lab.workloads.distributions import parse_distribution
from perflab.lab.workloads.operation_mix import parse_mix
from perflab.lab.workloads.trace_file import read_trace
from perflab.monitoring.alerts.rule_files import parse_rules
from perflab.scheduler.cron import find_timezone, next_slot
from tests.faults.hostile_text import FRAGMENTS, hostile_bytes, hostile_text

NOW = 1_700_000_000_000_000
RULES = '[late]\nsignal = "queue_age_seconds"\nabove = 5.0\nfor = "10s"\nseverity = "page"\n'
STATEMENTS = (
    "SELECT a, b FROM job WHERE owner = ? AND state IN ('x', 'y') ORDER BY run_at LIMIT 10",
    "UPDATE job SET a = %s WHERE id = $1 RETURNING *",
    "WITH t AS (SELECT 1) INSERT INTO job SELECT * FROM t ON CONFLICT DO NOTHING",
)
URLS = (
    "sqlite:///lab.db",
    "sqlite:///file:lab.db?mode=ro&uri=true",
    "postgresql://me:s3cret@db:5432/lab?sslmode=require&password=s3cret",
    "postgresql+embedded:///dir?database=lab",
)
TEXT_READERS: dict[str, tuple[Callable[[str], object], type[Exception], tuple[str, ...]]] = {
    "a URL": (parse_url, InvalidInput, URLS),
    "a text with passwords": (redact, InvalidInput, URLS),
    "a URL with a password": (redact_url, InvalidInput, URLS),
    "a cron expression": (lambda text: next_slot(text, UTC, NOW), InvalidInput, ("30 2 * * *", "*/5 0-6 L * MON#2")),
    "a time zone": (find_timezone, InvalidInput, ("America/New_York", "Etc/GMT+5")),
    "rules of alerts": (lambda text: parse_rules(text, "rules.toml"), InvalidInput, (RULES,)),
    "batch sizes": (parse_sizes, InvalidInput, ("1,10,100",)),
    "milliseconds": (lambda text: parse_milliseconds(text, "--flush"), InvalidInput, ("0,2.5,10",)),
    "a time": (lambda text: parse_seconds(text, "--slo"), InvalidInput, ("20ms", "0.5 s")),
    "an address": (parse_address, InvalidInput, ("127.0.0.1:9464", "[::1]:80")),
    "a distribution": (lambda text: parse_distribution(text, "--bytes"), InvalidInput, ("lognormal:200,4000", "256")),
    "a mix": (lambda text: parse_mix(text, ["enqueue", "state"]), InvalidInput, ("enqueue=70,state=30",)),
    "settings": (lambda text: check_settings(parse_settings([text])), InvalidInput, ("work_mem=64MB",)),
    "parameters": (lambda text: parse_parameters([text]), InvalidInput, ("batch_size=500",)),
    "a statement": (lambda text: parse_statement(text, "postgresql", {}), InvalidInput, STATEMENTS),
    "a statement of SQLite": (lambda text: parse_statement(text, "sqlite", {}), InvalidInput, STATEMENTS),
    "a stored payload": (lambda text: decode_stored(text, None), CorruptPayload, ('{"a": [1, 2.5, "x"]}', "null")),
    **{
        f"a parameter of the type {name}": (kind.convert, ValueError, ("1", "true", "[1, 2]", '{"a": 1}'))
        for name, kind in PARAMETER_TYPES.items()
    },
}

TAKE_ANYTHING = ("a text with passwords", "a URL with a password", "a statement", "a statement of SQLite")


@pytest.mark.case("F34", "F41")
@pytest.mark.parametrize("reader", TEXT_READERS)
def test_text_is_read_or_refused(reader: str) -> None:
    read, refusal, seeds = TEXT_READERS[reader]
    refused = 0

    def try_it(text: str) -> None:
        nonlocal refused
        try:
            read(text)
        except refusal:
            refused += 1

    for text in FRAGMENTS:
        try_it(text)
    settings(max_examples=25)(given(hostile_text(seeds))(try_it))()
    assert bool(refused) != (reader in TAKE_ANYTHING)


FRAMES = (
    zstandard.ZstdCompressor().compress(b'{"a": [1, 2, 3]}'),
    zstandard.ZstdCompressor(write_checksum=True).compress(b"[" * 100_000),
)


@pytest.mark.case("F33")
@settings(max_examples=100)
@given(hostile_bytes(FRAMES), st.sampled_from(["null", "{}", '{"payload": null}', "1"]))
def test_a_frame_is_opened_or_refused_and_never_larger_than_its_bound(frame: bytes, text: str) -> None:
    with suppress(CorruptPayload):
        assert len(decompress(frame, max_bytes=1_000)) <= 1_000
    with suppress(CorruptPayload):
        decode_stored(text, frame)


@settings(max_examples=100)
@given(
    hostile_bytes([b"\x00\x00\x00\x08\x04\xd2\x16\x2f", b"Q\x00\x00\x00\x0eSELECT 1\x00", b"Z\x00\x00\x00\x05I"]),
    st.booleans(),
    st.integers(1, 20),
)
def test_a_stream_is_cut_into_messages_or_refused(data: bytes, has_startup: bool, chunk: int) -> None:
    framer = MessageFramer(has_startup=has_startup)
    with suppress(LabError):
        for start in range(0, len(data), chunk):
            for message in framer.feed(data[start : start + chunk]):
                assert 0 < message.end <= chunk


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from(["work_mem", "search_path"]), hostile_text(["64MB"])))
def test_settings_of_a_server_are_read_back_as_they_were_or_refused(asked: dict[str, str]) -> None:
    try:
        checked = check_settings(asked)
    except InvalidInput:
        return
    assert read_settings(render_settings(checked, base="")) == checked


# -- files -------------------------------------------------------------------------------------------------------------

NOTEBOOK = json.dumps(
    {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}},
        "cells": [
            {
                "cell_type": "code",
                "id": "a",
                "metadata": {"tags": ["parameters"]},
                "source": "batch_size: int = 500  # items\n",
                "outputs": [],
                "execution_count": None,
            }
        ],
    }
)
CELLS = ("batch_size: int = 500  # items", "name: str = 'a'\nprofile: str = 'smoke'", "sizes: list = [1, 2]")
TRACE = b"time,bytes\n2023-11-16 18:17:03.9799600,10\n2023-11-16 18:17:04,11\n"
SUMMARY = b'{"blocks": 1, "comparisons": [], "measured_at": "2026-01-01T00:00:00Z", "environment": {}, "engines": []}'


def notebook_of(cell: str) -> bytes:
    whole: dict[str, Any] = json.loads(NOTEBOOK)
    whole["cells"][0]["source"] = cell
    return json.dumps(whole).encode()


def read_declared(path: Path) -> object:
    return declared_parameters(path, read_notebook(path))


def read_bench(path: Path) -> object:
    folder = path.with_suffix(".folder")
    folder.mkdir(exist_ok=True)
    (folder / "bench.csv").write_text("operation,engine\n")
    path.replace(folder / "bench.json")
    return read_one(folder)


FILE_READERS: dict[str, tuple[Callable[[Path], object], type[Exception], st.SearchStrategy[bytes]]] = {
    "a notebook": (read_declared, InvalidInput, hostile_bytes([NOTEBOOK.encode()])),
    "a cell of parameters": (read_declared, InvalidInput, hostile_text(CELLS).map(notebook_of)),
    "a trace": (lambda path: read_trace(path, "time", ["bytes"]), InvalidInput, hostile_bytes([TRACE])),
    "a store of results": (read_one, StoreError, hostile_bytes([b"DUCK" + bytes(4_096)])),
    "a folder of a bench": (read_bench, StoreError, hostile_bytes([SUMMARY]) | st.just(b"[" * 3_000)),
}


@pytest.mark.case("F44")
@pytest.mark.parametrize("reader", FILE_READERS)
def test_a_file_is_read_or_refused(reader: str, tmp_path: Path) -> None:
    read, refusal, contents = FILE_READERS[reader]
    path = tmp_path / ("trace.csv" if reader == "a trace" else "notebook.ipynb")
    refused = []

    @settings(max_examples=30)
    @given(contents)
    def try_it(content: bytes) -> None:
        path.write_bytes(content)
        try:
            read(path)
        except refusal:
            refused.append(content)

    try_it()
    assert refused
