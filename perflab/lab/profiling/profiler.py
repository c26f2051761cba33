"""The profilers by name. Each writes one page that needs nothing but itself.

`pyinstrument` and `py-spy` sample stacks, `memray` follows allocations, and these three draw flame graphs; `cprofile`
counts calls, of which it has a table. `cprofile` and `pyinstrument` see the thread that calls, the other two see all.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, Protocol, get_args

from perflab.errors import InvalidInput, MissingExtra
from perflab.lab.profiling.cprofile import CProfile
from perflab.lab.profiling.py_spy import PySpy

ProfilerName = Literal["cprofile", "pyinstrument", "py-spy", "memray"]


class Profiler(Protocol):
    """Something that watches a call."""

    @property
    def suffix(self) -> str:
        """Of its files, such as ".html"."""

    def profile(self, call: Callable[[], object], file: Path) -> None:
        """Call, and write what was seen into a file.

        Raises:
            LabError: it did not work; what the call itself raises is raised, too.
        """


def open_profiler(name: ProfilerName) -> Profiler:
    """A profiler that can be used here.

    Raises:
        InvalidInput: there is none of the name.
        MissingExtra: its package is not installed.
        LabError: the system does not let it look into this process.
    """
    if name not in get_args(ProfilerName):
        raise InvalidInput(f"there is no profiler {name!r}: use {', '.join(get_args(ProfilerName))}")
    if name == "cprofile":
        return CProfile()
    if name == "py-spy":
        return PySpy(_program(name))
    if find_spec(name) is None:
        raise _missing(name)
    return PyInstrument() if name == "pyinstrument" else Memray()


class PyInstrument:
    """Stacks of the calling thread, a thousand times a second."""

    suffix = ".html"

    def profile(self, call: Callable[[], object], file: Path) -> None:
        from pyinstrument import Profiler as Sampler  # noqa: PLC0415  # an extra

        with Sampler(interval=0.001, async_mode="disabled") as sampler:
            call()
        file.write_text(sampler.output_html(), encoding="utf-8")


class Memray:
    """What was allocated when the memory was at its peak, by all threads."""

    suffix = ".html"

    def profile(self, call: Callable[[], object], file: Path) -> None:
        from memray import Tracker  # noqa: PLC0415  # an extra

        with TemporaryDirectory(prefix="perflab-memray-") as folder:
            allocations = Path(folder) / "allocations.bin"
            with Tracker(allocations):
                call()
            # --no-web: the page has its scripts in it
            command = ["-m", "memray", "flamegraph", "--no-web", "--force", "--output", str(file), str(allocations)]
            subprocess.run([sys.executable, *command], check=True, capture_output=True)  # noqa: S603  # our own paths


def _program(name: str) -> str:
    beside = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if beside is None:
        raise _missing(name)
    return beside


def _missing(package: str) -> MissingExtra:
    return MissingExtra(f"this profile needs the package {package}: pip install 'perflab[profilers]'")
