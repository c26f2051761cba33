"""py-spy: a process of its own that looks into this one, and so disturbs it least."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import TextIO

from perflab.errors import LabError

RATE_PER_SECOND = 500
_BEGUN = "Press Control-C to exit"
_LONGEST_SECONDS = 60.0


class PySpy:
    """Stacks of all threads.

    Args:
        program: the path of py-spy.

    Raises:
        LabError: the system does not let it look into this process.
    """

    suffix = ".svg"

    def __init__(self, program: str) -> None:
        self._program = program
        tried = subprocess.run(  # noqa: S603  # py-spy as it is installed
            [program, "dump", "--pid", str(os.getpid())], capture_output=True, text=True, check=False
        )
        if tried.returncode:
            raise _refused(tried.stderr)

    def profile(self, call: Callable[[], object], file: Path) -> None:
        options = ["--format", "flamegraph", "--rate", str(RATE_PER_SECOND), "--output", file.name]
        # its picture has the command as the title: without the folders of this machine
        command = ["py-spy", "record", *options, "--pid", str(os.getpid())]
        # not a pipe: it could fill, and py-spy would wait while it holds this process
        with TemporaryFile("w+", encoding="utf-8") as said:
            spy = subprocess.Popen(  # noqa: S603
                command, executable=self._program, cwd=file.parent, stdout=said, stderr=subprocess.STDOUT
            )
            try:
                _wait_until_it_samples(spy, said)
                call()
                spy.send_signal(signal.SIGINT)
                spy.wait(_LONGEST_SECONDS)
            except subprocess.TimeoutExpired as error:
                raise LabError("py-spy does not end: it has written no profile") from error
            finally:
                if spy.poll() is None:
                    spy.kill()
                    spy.wait()
            if not file.is_file():
                raise LabError(f"py-spy has written no profile: {_last(_text(said))}")


def _wait_until_it_samples(spy: subprocess.Popen[bytes], said: TextIO) -> None:
    end = time.monotonic() + _LONGEST_SECONDS
    while _BEGUN not in (text := _text(said)):
        if spy.poll() is not None or time.monotonic() > end:
            raise _refused(text)
        time.sleep(0.01)


def _text(file: TextIO) -> str:
    """All that is in it. Read by position: the process that writes shares the offset of the file."""
    return os.pread(file.fileno(), 1 << 20, 0).decode(errors="replace")


def _refused(said: str) -> LabError:
    return LabError(
        f"py-spy cannot look into this process: {_last(said)}; allow it (kernel.yama.ptrace_scope=0, or the capability "
        "SYS_PTRACE of a container), or use another profiler"
    )


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "it says nothing"
