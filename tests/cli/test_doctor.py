"""`perflab doctor`: its exit codes, its JSON, and its colours, which only a terminal gets."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from perflab.cli import main
from perflab.database.doctor.diagnosis import Check, Diagnosis, Verdict

Found = Callable[[Verdict], None]


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Found:
    """Have the look find one thing with a verdict."""

    def set_verdict(verdict: Verdict) -> None:
        diagnosis = Diagnosis(None, (Check("cores", verdict, "one core", "give it two", {"cores": 1}),))
        monkeypatch.setattr("perflab.lab.fitness.examine.examine_machine", lambda scratch: diagnosis)

    return set_verdict


@pytest.mark.parametrize(
    ("verdict", "code", "strict"),
    [(Verdict.OK, 0, 0), (Verdict.NOTE, 0, 0), (Verdict.WARNING, 0, 1), (Verdict.FAILURE, 1, 1)],
)
def test_the_exit_code_follows_the_worst_verdict(found: Found, verdict: Verdict, code: int, strict: int) -> None:
    found(verdict)
    assert main(["doctor"]) == code
    assert main(["doctor", "--strict"]) == strict


def test_machines_get_json(found: Found, capsys: pytest.CaptureFixture[str]) -> None:
    found(Verdict.WARNING)
    assert main(["doctor", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["verdict"] == "warn"
    assert "perflab selftest" in shown["next"]
    assert shown["checks"][0]["values"] == {"cores": 1}
    assert "url" not in shown


def test_it_looks_at_the_real_machine(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code = main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    verdicts = [line.split()[0] for line in lines[:-2]]
    assert set(verdicts) <= set(Verdict)
    assert code == int("fail" in verdicts)
    assert {"cores", "quiet", "scratch", "sqlite", "postgresql", "[lab]"} <= {line.split()[1] for line in lines[:-2]}
    assert list(tmp_path.iterdir()) == []


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """What a command shows on a terminal."""
    ours, theirs = pty.openpty()
    inherited = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    process = subprocess.Popen(
        [sys.executable, "-m", "perflab", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**inherited, "TERM": "xterm-256color", **environment},
    )
    os.close(theirs)
    shown = bytearray()
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # Linux says so when the other end is closed
        pass
    finally:
        os.close(ours)
        process.wait(timeout=120)
    return shown.decode()


def test_colour_is_for_terminals_that_want_it() -> None:
    assert "\x1b[32mok" in on_a_terminal("doctor")
    assert "\x1b" not in on_a_terminal("doctor", NO_COLOR="1")
    piped = subprocess.run([sys.executable, "-m", "perflab", "doctor"], capture_output=True, text=True, check=False)
    assert "ok    python" in piped.stdout
    assert "\x1b" not in piped.stdout
    assert "\x1b" not in on_a_terminal("sweep", "--no-such-option", NO_COLOR="1")
