from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from perflab.cli import main


def test_a_bench_writes_its_table_its_samples_and_its_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "life", "--blocks", "6", "--output", str(tmp_path / "new")]) == 0
    table = (tmp_path / "new" / "bench.md").read_text()
    assert "bare future and append (fastest)" in table
    assert table.splitlines()[-1] in capsys.readouterr().out
    samples = pd.read_csv(tmp_path / "new" / "bench.csv")
    assert len(samples) == 6 * 2
    assert (samples["seconds_per_item"] > 0).all()
    assert json.loads((tmp_path / "new" / "bench-environment.json").read_text())["python"]


@pytest.mark.parametrize(
    ("arguments", "message"), [(["claims"], "there is no bench 'claims'"), (["life", "--blocks", "2"], "blocks is 2")]
)
def test_bad_input_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["bench", *arguments, "--output", str(tmp_path / "new")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
