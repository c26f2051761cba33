from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from perflab.cli import main
from perflab.lab.bench import submit


@pytest.fixture(autouse=True)
def _few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "ROUNDS", 3)


def test_a_bench_writes_its_table_its_samples_and_its_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["bench", "life", "--blocks", "6", "--most-blocks", "6", "--output", str(tmp_path / "new")]
    assert main(arguments) == 0
    table = (tmp_path / "new" / "bench.md").read_text()
    assert "bare future and append (fastest)" in table
    assert table.splitlines()[-1] in capsys.readouterr().out
    samples = pd.read_csv(tmp_path / "new" / "bench.csv")
    assert len(samples) == 6 * 2 * 2, "threads and asyncio, each with its bare form"
    assert (samples["seconds_per_item"] > 0).all()
    summary = json.loads((tmp_path / "new" / "bench.json").read_text())
    assert summary["environment"]["python"]
    assert summary["noise"]["readings"] == 6
    assert (summary["level"], summary["stop"]) == (0.95, None)  # there was one look
    for comparison in summary["comparisons"]:
        assert comparison["ratio_low"] <= comparison["ratio"] <= comparison["ratio_high"]
        assert f"{comparison['ratio']:.2f}" in table


def test_a_profile_is_a_visit_more_that_the_table_links_to_and_no_sample_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["bench", "life", "--blocks", "6", "--profile-with", "cprofile", "--output", str(tmp_path)]
    assert main(arguments) == 0
    assert f"profiles: {tmp_path / 'profiles' / 'index.html'}" in capsys.readouterr().out
    links = json.loads((tmp_path / "bench.json").read_text())["profiles"]
    assert list(links) == ["AsyncRequestBatcher, whole life", "RequestBatcher, whole life"]
    for link in links.values():
        assert f"]({link})" in (tmp_path / "bench.md").read_text()
        assert "submit" in (tmp_path / link).read_text()
    assert len(pd.read_csv(tmp_path / "bench.csv")) == 6 * 2 * 2


def test_a_bench_says_on_which_server_it_ran(tmp_path: Path, postgres_url: str) -> None:
    arguments = ["bench", "life", "--engine", "postgresql", "--url", postgres_url, "--blocks", "6"]
    assert main([*arguments, "--output", str(tmp_path)]) == 0
    assert "PostgreSQL 1" in (tmp_path / "bench.md").read_text()
    assert "fsync=off" in json.loads((tmp_path / "bench.json").read_text())["engines"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["claims"], "there is no bench 'claims'"),
        (["life", "--blocks", "2"], "blocks is 2"),
        (["life", "--blocks", "12", "--most-blocks", "6"], "most_blocks is 6"),
        (["done", "--url", "postgresql:///x"], "add --engine postgresql"),
        (["done", "--engine", "postgresql", "--url", "sqlite:///x"], "give a URL that begins with postgresql://"),
    ],
)
def test_bad_input_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["bench", *arguments, "--output", str(tmp_path / "new")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
