from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from perflab.cli import main


def test_a_run_writes_its_page_and_says_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["peers", "raw driver, full", "--engine", "sqlite", "--profile", "smoke"]
    assert main([*arguments, "--output", str(tmp_path / "new")]) == 0
    samples = pd.read_csv(tmp_path / "new" / "peers.csv")
    assert len(samples) == 2 * 3, "two blocks of ours at both durabilities, and the one that was named"
    assert (samples["runs"] == samples["jobs"]).all()
    printed = capsys.readouterr().out
    assert "| raw driver, full | 200 |" in printed
    assert (tmp_path / "new" / "peers.md").read_text().startswith("# Queues beside each other")
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["peers.csv", "peers.json", "peers.md"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["celery"], "there is no queue 'celery'"),
        (["--url", "postgresql:///x", "--engine", "sqlite"], "add --engine postgresql"),
        (["--url", "sqlite:///x", "--engine", "postgresql"], "give a URL that begins with postgresql://"),
    ],
)
def test_bad_input_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["peers", *arguments, "--output", str(tmp_path / "new")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
