"""Each profiler really watches a visit, and its page names what was called and needs nothing but itself."""

from __future__ import annotations

import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest

from perflab.errors import InvalidInput, LabError, MissingExtra
from perflab.lab.bench.bench_files import bench_table
from perflab.lab.profiling import profiler as profilers
from perflab.lab.profiling.pages import Profile, file_name, write_index
from perflab.lab.profiling.profiler import ProfilerName, open_profiler
from perflab.lab.profiling.py_spy import PySpy
from perflab.lab.profiling.visits import profile_visits
from tests.lab.bench.test_comparison import run


@dataclass
class Busy:
    """Work that a sampling profiler cannot miss, and that leaves something allocated."""

    calls: int = 0

    def spend_time_here(self) -> None:
        self.calls += 1
        end, kept = time.thread_time() + 0.5, []  # however busy the machine is
        while time.thread_time() < end:
            kept.append(bytearray(1_000))


@pytest.mark.parametrize("name", get_args(ProfilerName))
def test_a_profile_names_what_was_called_in_a_page_that_needs_nothing_else(name: ProfilerName, tmp_path: Path) -> None:
    busy = Busy()
    try:
        profiler = open_profiler(name)
    except LabError as error:  # a container may not let it look
        assert name == "py-spy"
        pytest.skip(str(error))
    (profile,) = profile_visits([("a cell, of 5", busy.spend_time_here)], profiler, name, tmp_path / "profiles")
    assert busy.calls == 1
    page = profile.file.read_text(encoding="utf-8")
    assert "spend_time_here" in page
    assert (
        re.findall(r"""<(?:script|img|iframe)[^>]*\ssrc\s*=\s*["'](?!data:)|<link[^>]*href\s*=\s*["']http""", page)
        == []
    )
    index = (tmp_path / "profiles" / "index.html").read_text(encoding="utf-8")
    assert f'href="{profile.file.name}"' in index
    assert f"a cell, of 5</a>, {name}" in index


def test_an_unknown_profiler_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no profiler 'perf': use cprofile, pyinstrument, py-spy, memray"):
        open_profiler("perf")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["pyinstrument", "memray", "py-spy"])
def test_a_missing_package_is_one_sentence(name: ProfilerName, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profilers, "find_spec", lambda _name: None)
    monkeypatch.setattr("shutil.which", lambda *_arguments, **_options: None)
    with pytest.raises(MissingExtra, match=rf"needs the package {name}: pip install 'perflab\[profilers\]'"):
        open_profiler(name)


def _program(folder: Path, text: str) -> str:
    program = folder / "py-spy"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return str(program)


def test_a_system_that_does_not_let_it_look_is_named_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"cannot look into this process: Permission denied; allow it"):
        PySpy(_program(tmp_path, "echo 'Permission denied.' >&2; exit 1"))


def test_a_recording_that_ends_at_once_never_calls(tmp_path: Path) -> None:
    busy = Busy()
    spy = PySpy(_program(tmp_path, '[ "$1" = dump ] || { echo gone; exit 1; }'))
    with pytest.raises(LabError, match="cannot look into this process: gone"):
        spy.profile(busy.spend_time_here, tmp_path / "out.svg")
    assert busy.calls == 0


def test_a_visit_that_fails_is_raised_and_the_recording_ends(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    body = f'[ "$1" = dump ] || {{ echo $$ > {note}; echo "Press Control-C to exit"; exec sleep 60; }}'

    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        PySpy(_program(tmp_path, body)).profile(fail, tmp_path / "out.svg")
    assert subprocess.run(["kill", "-0", note.read_text().strip()], capture_output=True, check=False).returncode


def test_file_names_hold_nothing_that_a_path_cannot() -> None:
    assert file_name("replay, 5 at 10 ms/x", "cprofile", ".html") == "replay-5-at-10-ms-x.cprofile.html"


def test_the_list_escapes_what_it_names(tmp_path: Path) -> None:
    page = write_index([Profile("<b>", "cprofile", tmp_path / "b.html")], tmp_path)
    assert "&lt;b&gt;" in page.read_text(encoding="utf-8")


def test_a_table_of_a_bench_links_ours_to_its_profile() -> None:
    result = run(1.0, 2.0)
    assert result.comparison.title == "work, engine"
    assert "| [ours](profiles/x.html) |" in bench_table([result], {"work, engine": "profiles/x.html"})
    assert "](" not in bench_table([result])
