from __future__ import annotations

import json
from pathlib import Path

import pytest

from perflab.cli import main
from tests.lab.gate.written_runs import drop_samples, outcomes, write_bench_folder


def test_each_outcome_has_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = str(write_bench_folder(tmp_path / "base"))
    runs = {
        "pass": write_bench_folder(tmp_path / "same", seed=2),
        "regression": write_bench_folder(tmp_path / "slow", seed=2, factor=1.2),
        "inconclusive": write_bench_folder(tmp_path / "noisy", seed=2, noise=0.5),
        "could not measure": write_bench_folder(tmp_path / "cut", seed=2),
    }
    drop_samples(runs["could not measure"], block=11)
    for code, (outcome, run) in enumerate(runs.items()):
        assert main(["compare", base, str(run)]) == code
        assert capsys.readouterr().out.splitlines()[-1].startswith(f"{outcome}: 1 {outcome} of 1 cell")


def test_the_formats_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write_bench_folder(tmp_path / "a"), write_bench_folder(tmp_path / "b", seed=2, factor=1.2)
    assert main(["compare", str(a), str(b), "--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["outcome"], found["exit_code"]) == ("regression", 1)
    assert outcomes(found) == {"enqueue, sqlite": "regression"}
    assert main(["compare", str(a), str(b), "--format", "markdown"]) == 1
    page = capsys.readouterr().out
    assert page.startswith("### Performance: regression\n\n1 regression of 1 cell.\n\n| cell |")
    ratio = f"{found['cells'][0]['ratio']['value']:.3f}"
    assert f"| {ratio} [" in page
    assert main(["compare", str(a), str(b)]) == 1
    assert f" {ratio} [" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a"], "Missing argument 'B'"),
        (["a", "b", "--magin", "5"], "No such option"),
        (["a", "b", "--margin", "ten"], "Invalid value for '--margin'"),
        (["a", "missing"], "there is no run at"),
        (["a", "b", "--margin", "-1"], "margin is -0.01"),
    ],
)
def test_what_is_refused_does_not_look_like_a_verdict(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_bench_folder(tmp_path / "a")
    write_bench_folder(tmp_path / "b", seed=2)
    assert main(["compare", *arguments]) == 3
    assert message in capsys.readouterr().err


def test_a_change_of_machine_needs_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write_bench_folder(tmp_path / "a"), write_bench_folder(tmp_path / "b", seed=2, cpu="another")
    assert main(["compare", str(a), str(b)]) == 3
    assert main(["compare", str(a), str(b), "--force"]) == 0
    assert "Differs: cpu: one → another." in capsys.readouterr().out
