from __future__ import annotations

import hashlib
import os
from pathlib import Path

import duckdb
import numpy as np
import pytest

from perflab.errors import InvalidInput
from perflab.lab.workloads.arrivals import index_of_dispersion, interarrival_cv
from perflab.lab.workloads.trace_file import read_trace


def test_a_trace_with_crlf_seven_digits_and_no_last_line_end(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_bytes(
        b"TIMESTAMP,Tokens\r\n2023-11-16 18:17:03.9799600,4808\r\n2023-11-16 18:17:04.0319601,3180\r\n"
        b"2023-11-16 18:18:03.9799600,1"
    )
    assert read_trace(path, "TIMESTAMP").offsets_seconds == pytest.approx([0, 0.0520001, 60], abs=1e-12)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("t\n10\n10.5\n12e0\n", [0, 0.5, 2]),
        ("t\n1e99\n1e99\n", [0, 0]),
        ("t\n1700000000.123456789\n1700000000.123456790\n", [0, 1e-9]),
        ("a,t\nx,12\n\ny,10\n", [0, 2]),  # not in order; a blank line
        ("\ufefft\n2013-01-01T00:00Z\n2013-01-01T01:00:00+01:00\n2012-12-31T19:00:01-0500\n", [0, 0, 1]),
        ('t\n"2013-01-01 00:00:00,5"\n2013-01-01 00:00:01\n', [0, 0.5]),
    ],
)
def test_forms_of_time(tmp_path: Path, content: str, expected: list[float]) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(content, encoding="utf-8")
    assert read_trace(str(path), "t").offsets_seconds == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no header"),
        (b"u,v\n1,2\n", "no column 't': it has u, v"),
        (b"t\n", "no rows"),
        (b"t\n1\nNA\n", "row 2 .* 'NA'"),
        (b"u,t\n1\n", "row 1 .* ''"),
        (b"t\n2013-02-30 00:00:00\n", "2013-02-30"),
        (b"t\nnan\n", "'nan'"),
        (b"t\n1e400\n", "'1e400'"),
        (b"t\n1\n2013-01-01 00:00:00\n", "has a local time .* a number of seconds"),
        (b"t\n2013-01-01 00:00:00\n2013-01-01 00:00:00Z\n", "has a time with UTC offset .* a local time"),
        (b"t\n\xff\n", "UTF-8"),
    ],
)
def test_bad_traces_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=message):
        read_trace(path, "t")


def test_a_missing_trace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot read the trace"):
        read_trace(tmp_path / "absent.csv", "t")


@pytest.fixture
def azure_traces() -> Path:
    directory = os.environ.get("PERFLAB_TRACES")
    if not directory:
        pytest.skip("PERFLAB_TRACES does not name the directory of the Azure LLM inference traces (2023)")
    return Path(directory)


@pytest.mark.parametrize(
    ("name", "sha256", "rows", "expected"),
    [
        ("code", "54e9a6d2a4bd06ba1e060304b900abbc74cbea53de96506e60fe5bb4f2277fb6", 8_819, (57.3, 13.15, 13.2)),
        ("conv", "2f1e5b666d4e3055fdbba98598ce2ec307767b9064e03e2fa46676dbcc7d0bf8", 19_366, (58.4, 1.09, 1.39)),
    ],
)
def test_the_azure_traces(
    azure_traces: Path, name: str, sha256: str, rows: int, expected: tuple[float, float, float]
) -> None:
    minutes, cv, dispersion_1_s = expected
    path = azure_traces / f"azure_llm_2023_{name}.csv"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    offsets = read_trace(path, "TIMESTAMP").offsets_seconds
    assert len(offsets) == rows
    assert offsets[0] == 0
    assert (np.diff(offsets) > 0).all()  # no two share a time stamp: the seventh digit is kept
    assert offsets[-1] / 60 == pytest.approx(minutes, abs=0.05)
    assert interarrival_cv(offsets) == pytest.approx(cv, abs=0.005)
    assert index_of_dispersion(offsets, 1.0) == pytest.approx(dispersion_1_s, abs=0.05)


def test_parquet_keeps_nanoseconds_and_its_further_columns(tmp_path: Path) -> None:
    path = tmp_path / "trace"  # known by its content, not its name
    duckdb.sql(
        "COPY (SELECT TIMESTAMP_NS '2023-01-01 00:00:00.123456790' AS at, 7 AS size, 0.5 AS took "
        "UNION ALL SELECT TIMESTAMP_NS '2023-01-01 00:00:00.123456789', 8, 1.5) "
        f"TO '{path}' (FORMAT parquet)"
    )
    trace = read_trace(path, "at", ["took", "size"])
    assert trace.offsets_seconds == pytest.approx([0, 1e-9], abs=1e-15)
    assert {name: values.tolist() for name, values in trace.columns.items()} == {"took": [1.5, 0.5], "size": [8, 7]}


@pytest.mark.parametrize(
    "times",
    [
        "TIMESTAMP '2023-01-01 00:00:00', TIMESTAMP '2023-01-01 00:00:01.5'",
        "TIMESTAMPTZ '2023-01-01 02:00:00+02', TIMESTAMPTZ '2023-01-01 00:00:01.5+00'",
        "1700000000::DOUBLE, 1700000001.5::DOUBLE",
        "'2023-01-01 00:00:00Z', '2023-01-01 00:00:01.5Z'",
    ],
)
def test_times_of_parquet_may_have_any_type(tmp_path: Path, times: str) -> None:
    path = tmp_path / "trace.parquet"
    duckdb.sql(f"COPY (SELECT unnest([{times}]) AS t) TO '{path}' (FORMAT parquet)")
    assert read_trace(path, "t").offsets_seconds.tolist() == [0, 1.5]


def test_a_csv_may_have_another_delimiter_and_be_compressed(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv.gz"
    duckdb.sql(f"COPY (SELECT unnest([3, 1]) AS \"my time\", 9 AS b) TO '{path}' (DELIMITER ';', COMPRESSION gzip)")
    trace = read_trace(path, "my time", ["b"])
    assert (trace.offsets_seconds.tolist(), trace.columns["b"].tolist()) == ([0, 2], [9, 9])


def test_a_column_must_hold_numbers(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("t,size\n1,2\n2,NA\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"row 2 .* column 'size', has 'NA'"):
        read_trace(path, "t", ["size"])
    with pytest.raises(InvalidInput, match="no column 'bytes': it has t, size"):
        read_trace(path, "t", ["bytes"])
