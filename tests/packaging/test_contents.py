"""What is built has what it needs, and nothing else: a wheel the package, a source distribution the project."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from perflab.version import __version__

PROJECT = Path(__file__).parents[2]
NAME = f"perflab-{__version__}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder), "-t", "sdist", "-t", "wheel"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def project_files() -> set[str]:
    """All files of the project that git would keep."""
    if not (PROJECT / ".git").exists():
        pytest.skip("this is no checkout, so nothing says which files are the project's")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.splitlines()
    return {name for name in listed if (PROJECT / name).is_file()}


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(built / f"{NAME}-py3-none-any.whl")


def test_the_wheel_is_the_package(wheel: zipfile.ZipFile, project_files: set[str]) -> None:
    found = {name for name in wheel.namelist() if not name.startswith(f"{NAME}.dist-info/")}
    assert found == {name for name in project_files if name.startswith("perflab/")}
    assert "perflab/py.typed" in found
    assert f"{NAME}.dist-info/licenses/LICENSE" in wheel.namelist()


def test_the_wheel_says_what_it_needs(wheel: zipfile.ZipFile) -> None:
    metadata = Parser().parsestr(wheel.read(f"{NAME}.dist-info/METADATA").decode())
    core = {line.split(">")[0] for line in metadata.get_all("Requires-Dist", []) if ";" not in line}
    assert core == {"sqlalchemy", "alembic", "cronsim"}
    assert metadata["Requires-Python"] == ">=3.11"
    entry_points = wheel.read(f"{NAME}.dist-info/entry_points.txt").decode()
    assert "perflab = perflab.cli:main" in entry_points


def test_the_source_distribution_is_the_project(built: Path, project_files: set[str]) -> None:
    with tarfile.open(built / f"{NAME}.tar.gz") as archive:
        found = {member.name.removeprefix(f"{NAME}/") for member in archive.getmembers() if member.isfile()}
    assert found - {"PKG-INFO"} == project_files
