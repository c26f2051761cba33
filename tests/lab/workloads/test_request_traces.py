"""Traces that are not ours to ship: found by an environment variable, and missed with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from perflab.errors import LabError
from perflab.lab.workloads.request_traces import TRACES_VARIABLE, missing_traces, request_arrivals


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(TRACES_VARIABLE, str(tmp_path))
    for name in ("code", "conv"):
        lines = ["TIMESTAMP,ContextTokens,GeneratedTokens", "2023-11-16 18:17:03.5000000,1,1"]
        lines.append("2023-11-16 18:17:05.0000000,1,1" if name == "code" else "2023-11-16 18:17:04.0000000,1,1")
        (tmp_path / f"azure_llm_2023_{name}.csv").write_bytes("\r\n".join(lines).encode())
    return tmp_path


def test_the_times_count_from_the_first_request(folder: Path) -> None:
    assert missing_traces() == ""
    assert request_arrivals("azure code").tolist() == [0.0, 1.5]
    assert request_arrivals("azure conversations").tolist() == [0.0, 0.5]


def test_a_trace_that_is_not_there_is_named(folder: Path) -> None:
    (folder / "azure_llm_2023_conv.csv").unlink()
    assert missing_traces() == f"The folder that {TRACES_VARIABLE} names has no azure_llm_2023_conv.csv."
    with pytest.raises(LabError, match=r"has no azure_llm_2023_conv\.csv"):
        request_arrivals("azure code")


def test_without_the_variable_the_reason_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TRACES_VARIABLE, raising=False)
    assert missing_traces().startswith(f"The environment variable {TRACES_VARIABLE} does not name a folder")
