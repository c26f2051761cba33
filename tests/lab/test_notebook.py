from __future__ import annotations

from pathlib import Path

import pytest

from perflab.errors import InvalidInput
from perflab.lab.notebook import (
    OUTPUT_VARIABLE,
    PROFILE_VARIABLE,
    URL_VARIABLE,
    output_folder,
    own_server_url,
    resolve_profile,
    run_name,
    to_seconds,
)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PROFILE_VARIABLE, raising=False)
    monkeypatch.delenv(OUTPUT_VARIABLE, raising=False)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, with its notebooks as the current folder."""
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    return tmp_path


@pytest.mark.parametrize("profile", ["smoke", "quick", "full"])
def test_the_profile_is_the_parameter(profile: str) -> None:
    assert resolve_profile(profile) == profile


def test_the_environment_wins_over_the_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROFILE_VARIABLE, "smoke")
    assert resolve_profile("quick") == "smoke"
    monkeypatch.setenv(PROFILE_VARIABLE, "")
    assert resolve_profile("quick") == "quick"


def test_an_unknown_profile_is_refused_with_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="profile is 'fast': use one of smoke, quick, full"):
        resolve_profile("fast")
    monkeypatch.setenv(PROFILE_VARIABLE, "slow")
    with pytest.raises(InvalidInput, match="PERFLAB_PROFILE is 'slow'"):
        resolve_profile("quick")


def test_reports_lie_beside_the_notebooks(project: Path) -> None:
    assert output_folder() == project / "reports"
    assert (project / "reports").is_dir()


def test_outside_a_project_reports_lie_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert output_folder() == tmp_path / "reports"


def test_the_parameter_wins_over_the_environment(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OUTPUT_VARIABLE, str(tmp_path / "from" / "environment"))
    assert output_folder() == tmp_path / "from" / "environment"
    assert output_folder(str(tmp_path / "given")) == tmp_path / "given"
    assert not (project / "reports").exists()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match=r"the output folder .*file' cannot be made"):
        output_folder(str(tmp_path / "file"))


def test_milliseconds_are_checked_and_become_seconds() -> None:
    assert to_seconds(20.0, "latency_target_ms") == 0.02
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InvalidInput, match="latency_target_ms"):
            to_seconds(wrong, "latency_target_ms")


def test_the_own_server_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    assert own_server_url("postgresql") is None
    monkeypatch.setenv(URL_VARIABLE, "postgresql://localhost/shop")
    assert own_server_url("postgresql") == "postgresql://localhost/shop"
    assert own_server_url("sqlite") is None


def test_runs_of_other_engines_have_names_of_their_own() -> None:
    assert run_name("02_sweep", "quick") == run_name("02_sweep", "quick", "sqlite") == "02_sweep-quick"
    assert run_name("02_sweep", "quick", "postgresql") == "02_sweep-postgresql-quick"
