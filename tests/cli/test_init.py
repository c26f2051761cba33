"""`perflab init`: what it writes keeps our rules and runs, and nothing of the user's is overwritten."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from perflab.cli import main
from perflab.lab.report.lint import lint_notebook
from perflab.lab.starter.write import NOTEBOOK, WORKFLOW
from perflab.version import __version__
from tests.docs.blocks import parse, perflab_calls


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    assert main(["init", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def scripts(project: Path) -> dict[str, str]:
    """The shell of the workflow, by the names of its steps."""
    workflow: dict[str, Any] = yaml.safe_load((project / WORKFLOW).read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    assert job["strategy"]["matrix"]["engine"] == ["sqlite", "postgresql"]
    return {step["name"]: step["run"] for step in job["steps"] if "run" in step}


def test_it_writes_two_files_and_says_what_to_do_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path)]) == 0
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == [tmp_path / WORKFLOW, tmp_path / NOTEBOOK]
    (following,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("next: ")]
    for arguments in perflab_calls(following.removeprefix("next: ")):
        parse(arguments)


def test_the_notebook_keeps_the_rules(project: Path) -> None:
    assert [str(finding) for finding in lint_notebook(project / NOTEBOOK)] == []


def test_the_workflow_installs_this_version(scripts: dict[str, str]) -> None:
    assert f"perflab[lab,postgres]=={__version__}" in scripts["Install"]
    assert [arguments for script in scripts.values() for arguments in perflab_calls(script)]


@pytest.mark.slow
def test_what_the_workflow_measures_runs(project: Path, scripts: dict[str, str]) -> None:
    (arguments,) = perflab_calls(scripts["Measure"].replace("--profile quick", "--profile smoke"))
    assert "smoke" in arguments
    words = [word.replace("$ENGINE", "sqlite") for word in arguments]
    done = subprocess.run(
        [sys.executable, "-m", "perflab", *words], cwd=project, capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stderr + done.stdout
    page = project / done.stdout.splitlines()[0]
    assert page.is_file()
    assert "Our database under load" in page.read_text(encoding="utf-8")
    assert (project / "reports").is_dir()


@pytest.mark.parametrize("there", [NOTEBOOK, WORKFLOW])
def test_nothing_is_overwritten(there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / there).parent.mkdir(parents=True)
    (tmp_path / there).write_text("mine")
    assert main(["init", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(there) in line
    assert "move it away" in line
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / there]
    assert (tmp_path / there).read_text() == "mine"


def test_half_of_it_is_not_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".github").write_text("a file where a folder should be")
    assert main(["init", str(tmp_path)]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / ".github"]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path / "missing")]) == 2
    assert shlex.quote(str(tmp_path / "missing")).strip("'") in capsys.readouterr().err
