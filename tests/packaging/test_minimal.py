"""Without any extra the parts work, and each thing of an extra says which one it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("core_only.py")


def test_the_core_works_alone_and_each_missing_extra_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", PROGRAM, "--hide"], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "the core works alone" in done.stdout
    assert "pip install 'perflab[lab]'" in done.stderr
