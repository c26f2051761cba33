"""The example for continuous integration: its shell runs here, over a `perflab` whose benches have known costs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.gate.written_runs import write_bench_folder

EXAMPLES = Path(__file__).parents[2] / "examples" / "ci"


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((EXAMPLES / "performance.yml").read_text())
    return loaded


def installation(folder: Path, factor: float, *, fails: bool = False, over_limit: bool = False) -> Path:
    """A `perflab` whose bench hands out a run that was written before, and notes the call; the rest is ours."""
    for number in range(1, 7):
        write_bench_folder(folder / "runs" / f"{number}", factor=factor, seed=number + int(100 * factor), blocks=6)
    command = folder / "perflab"
    command.write_text(
        f"""#!/bin/bash
if [ "$1" != bench ]; then exec {sys.executable} -m perflab "$@"; fi
echo "{folder.name} $*" >> {folder.parent}/calls
{"echo broken >&2; exit 2" if fails else ""}
while [ $# -gt 0 ]; do case $1 in --output) output=$2;; --seed) seed=$2;; esac; shift; done
mkdir -p "$(dirname "$output")" && cp -r {folder}/runs/$seed "$output"
exit {int(over_limit)}
"""
    )
    command.chmod(0o755)
    return command


def run_compare(base: Path, head: Path, output: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", EXAMPLES / "compare.sh", base, head, output, "6", "enqueue"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=EXAMPLES.parents[1],
        env={**os.environ},
    )


@pytest.mark.parametrize(("factor", "code", "outcome"), [(1.001, 0, "pass"), (1.3, 1, "regression")])
def test_the_shell_measures_in_turns_and_ends_with_the_verdict(
    tmp_path: Path, factor: float, code: int, outcome: str
) -> None:
    base, head = installation(tmp_path / "base", 1.0, over_limit=True), installation(tmp_path / "head", factor)
    result = run_compare(base, head, tmp_path / "rounds")
    assert result.returncode == code, result.stderr
    assert (tmp_path / "rounds" / "comment.md").read_text().startswith(f"### Performance: {outcome}")
    calls = [line.split()[0] for line in (tmp_path / "calls").read_text().splitlines()]
    assert calls == ["base", "head", "head", "base"] * 3


def test_a_bench_that_fails_is_no_verdict_on_speed(tmp_path: Path) -> None:
    base, head = installation(tmp_path / "base", 1.0), installation(tmp_path / "head", 1.0, fails=True)
    result = run_compare(base, head, tmp_path / "rounds")
    assert result.returncode == 3
    assert "broken" in result.stderr


def test_old_rounds_are_not_mixed_with_new_ones(tmp_path: Path) -> None:
    (tmp_path / "rounds").mkdir()
    result = run_compare(Path("base"), Path("head"), tmp_path / "rounds")
    assert result.returncode == 3
    assert "is there already" in result.stderr


def test_the_workflow_measures_both_in_one_job_and_each_verdict_has_its_end(
    workflow: dict[str, Any], tmp_path: Path
) -> None:
    (job,) = workflow["jobs"].values()
    assert workflow["permissions"]["pull-requests"] == "write"
    checkouts = [step["with"] for step in job["steps"] if "checkout" in step.get("uses", "")]
    assert {each["path"] for each in checkouts} == {"base", "head"}
    scripts = {step["name"]: step["run"] for step in job["steps"] if "run" in step}
    for script in scripts.values():
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert "examples/ci/compare.sh" in scripts["Measure in turns and compare"]
    for verdict, code in ((0, 0), (1, 1), (2, 0), (3, 1)):
        script = re.sub(r"\$\{\{ steps.compare.outputs.verdict \}\}", str(verdict), scripts["Verdict"])
        found = subprocess.run(["bash", "-e"], input=script, capture_output=True, text=True, check=False)
        assert found.returncode == code
        assert bool(found.stdout) == (verdict != 0)
