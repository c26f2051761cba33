from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from perflab.cli import main
from tests.lab.gate.written_runs import write_bench_folder


@pytest.fixture
def rising(tmp_path: Path) -> Path:
    for number in range(12):
        moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)
        factor = 1.0 if number < 8 else 1.4
        write_bench_folder(tmp_path / "runs" / f"{number:02}", seed=number, factor=factor, measured_at=moment)
    return tmp_path / "runs"


def test_a_rise_ends_with_1_until_it_is_known(rising: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", str(rising)]) == 1
    assert "since 2026-01-09 00:00" in capsys.readouterr().out
    assert main(["history", str(rising), "--since", "2026-01-10"]) == 0


def test_the_page_and_the_data_are_written(rising: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "history.html"
    assert main(["history", str(rising), "--html", str(page), "--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["cells"][0]["changes"][0]["run"] == 8
    assert page.read_text().startswith("<!doctype html>")


def test_what_is_refused_does_not_look_like_a_rise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", str(tmp_path / "missing")]) == 3
    assert "a history needs two runs, and there are none" in capsys.readouterr().err
    assert main(["history", str(tmp_path), "--since", "yesterday"]) == 3


def test_a_fault_of_ours_does_not_look_like_a_rise(rising: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perflab.lab.gate.run_history.read_history", lambda *_, **__: 1 / 0)
    assert main(["history", str(rising)]) == 3
