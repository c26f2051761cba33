from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from perflab.cli import main
from perflab.lab.peers.findings import PeersFindings
from perflab.lab.peers.plan import peers_plan
from perflab.lab.sweep.environment import Environment


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
    ("raw_seconds", "code", "verdict"), [(10e-6, 0, "beyond the raw driver"), (1e-6, 1, "missed"), (None, 1, "missed")]
)
def test_only_a_promise_that_the_raw_driver_keeps_can_fail_the_command(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    raw_seconds: float | None,
    code: int,
    verdict: str,
) -> None:
    """Huey is 10 times as slow as ours, and 25 times were promised."""
    seconds = {"perflab, full": 20e-6, "raw driver, full": raw_seconds, "huey": 200e-6}
    visit = {"what": "drain", "measured_at": datetime.now(UTC), "jobs": 200, "runs": 200}
    rows = [
        {**visit, "block": block, "queue": queue, "enqueue_each": each, "enqueue_bulk": each, "drain": each}
        for block in range(6)
        for queue, each in seconds.items()
        if each
    ]
    environment: Environment = {"engine": "SQLite 3", "python": "3", "cpu": "x", "cores": 2}
    found = PeersFindings(peers_plan("smoke", engine="sqlite"), rows, {}, environment)
    monkeypatch.setattr("perflab.lab.peers.measure.measure_peers", lambda *_, **__: found)
    arguments = ["peers", "huey", "raw driver, full", "--engine", "sqlite", "--output", str(tmp_path)]
    assert main(arguments) == code
    assert f"| {verdict} |" in capsys.readouterr().out
    assert f"| {verdict} |" in (tmp_path / "peers.md").read_text()


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
