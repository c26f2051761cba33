"""Readings that are given, and what they mean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from perflab.database.doctor.diagnosis import Verdict
from perflab.lab.fitness.examine import examine_machine, next_step
from perflab.lab.fitness.machine import judge_machine
from perflab.lab.fitness.readings import (
    Readings,
    parse_available_memory,
    parse_cpu_times,
    parse_quota,
    read_machine,
    steal_between,
)
from perflab.lab.noise import Noise

QUIET = Noise(readings=40, typical_seconds=0.001, variation=0.01, load_per_core=0.1)
FIT = Readings(
    usable_cores=8,
    quota_cores=None,
    noise=QUIET,
    steal_share=0.0,
    governor="performance",
    memory_available_bytes=8 << 30,
    scratch=Path("scratch"),
    scratch_writable=True,
    scratch_free_bytes=100 << 30,
    scratch_file_system="ext4",
    clock_step_seconds=1e-9,
)


def test_a_fit_machine_is_told_so() -> None:
    assert {check.verdict for check in judge_machine(FIT)} == {Verdict.OK}


@pytest.mark.parametrize(
    ("name", "change", "verdict"),
    [
        ("cores", {"usable_cores": 1}, Verdict.WARNING),
        ("cores", {"quota_cores": 1.5}, Verdict.WARNING),
        ("cores", {"quota_cores": 4.0}, Verdict.NOTE),
        ("quiet", {"noise": replace(QUIET, variation=0.3)}, Verdict.WARNING),
        ("quiet", {"noise": replace(QUIET, load_per_core=2.0)}, Verdict.WARNING),
        ("neighbours", {"steal_share": 0.2}, Verdict.WARNING),
        ("neighbours", {"steal_share": None}, Verdict.NOTE),
        ("frequency", {"governor": "powersave"}, Verdict.NOTE),
        ("clock", {"clock_step_seconds": 0.016}, Verdict.WARNING),
        ("memory", {"memory_available_bytes": 100 << 20}, Verdict.WARNING),
        ("memory", {"memory_available_bytes": None}, Verdict.NOTE),
        ("scratch", {"scratch_file_system": "tmpfs"}, Verdict.WARNING),
        ("scratch", {"scratch_free_bytes": 500 << 20}, Verdict.WARNING),
        ("scratch", {"scratch_free_bytes": 1 << 20}, Verdict.FAILURE),
        ("scratch", {"scratch_writable": False}, Verdict.FAILURE),
    ],
)
def test_what_is_wrong_is_found_alone_with_one_next_step(
    name: str, change: dict[str, object], verdict: Verdict
) -> None:
    (found,) = [check for check in judge_machine(replace(FIT, **change)) if check.verdict is not Verdict.OK]  # type: ignore[arg-type]
    assert (found.name, found.verdict) == (name, verdict)
    assert found.advice


def test_the_last_line_says_what_to_do(tmp_path: Path) -> None:
    fit = examine_machine(tmp_path, FIT)
    assert fit.verdict in {Verdict.OK, Verdict.NOTE}, fit.describe()
    assert "perflab report" in next_step(fit)
    assert "perflab selftest" in next_step(examine_machine(tmp_path, replace(FIT, usable_cores=1)))
    assert "fail" in next_step(examine_machine(tmp_path, replace(FIT, scratch_writable=False)))


def test_this_machine_can_be_read(tmp_path: Path) -> None:
    found = read_machine(tmp_path, loops=3)
    assert found.usable_cores >= 1
    assert found.noise.readings == 3
    assert found.scratch_writable
    assert found.scratch_free_bytes > 0


@pytest.mark.parametrize(("text", "cores"), [("150000 100000\n", 1.5), ("max 100000\n", None), ("", None)])
def test_a_quota_is_read(text: str, cores: float | None) -> None:
    assert parse_quota(text) == cores


def test_stolen_time_is_a_share_of_what_passed() -> None:
    before = parse_cpu_times("cpu  100 0 50 800 0 0 0 50 7 0\ncpu0 1 1 1 1\n")
    after = parse_cpu_times("cpu  150 0 60 820 0 0 0 70 9 0\n")
    assert steal_between(before, after) == pytest.approx(20 / 100)
    assert steal_between(before, before) is None
    assert steal_between([], parse_cpu_times("something else")) is None


def test_available_memory_is_read() -> None:
    assert parse_available_memory("MemTotal: 10 kB\nMemAvailable:    2048 kB\n") == 2 << 20
    assert parse_available_memory("MemTotal: 10 kB\n") is None
